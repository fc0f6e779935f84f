"""With which normalisation a network trains: one list of names, and what a run changes of them.

A network is built with batch norm and then converted: :func:`netdeconv.convert` whitens, ``replace_norms`` puts other
norms where nothing is whitened.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from torch import nn

from netdeconv.models.entry import StemSettings
from netdeconv.models.norm_config import BATCH_NORM, NONE, NormConfig
from netdeconv.models.norms import replace_norms
from netdeconv.nn import Freeze, WhitenedLayer, Whitening
from netdeconv.surgery import convert
from netdeconv.surgery.settings import SETTINGS, Settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Normalisation:
    """One normalisation.

    Args:
        description: for captions and lists.
        norm: what stands where nothing is whitened, one of :data:`netdeconv.models.NORMS`.
        settings: what is whitened; ``None``: nothing.
    """

    description: str
    norm: str = BATCH_NORM
    settings: Settings | None = None


NORMALISATIONS: Mapping[str, Normalisation] = {
    NONE: Normalisation(description="no normalisation", norm=NONE),
    BATCH_NORM: Normalisation(description="batch norm"),
    "group_norm": Normalisation(description="group norm", norm="group_norm"),
    "default": Normalisation(
        description="the first layer whitens its patches, the others their channels", settings=SETTINGS["default"]
    ),
    "channel": Normalisation(description="every layer whitens its channels", settings=SETTINGS["channel"]),
    "full16": Normalisation(
        description="every layer whitens its patches, 16 channels a block", settings=SETTINGS["full16"]
    ),
    "paper": Normalisation(
        description="every layer whitens its patches, 64 channels a block, as published", settings=SETTINGS["paper"]
    ),
    "stem": Normalisation(
        description="the first layer whitens its patches, batch norm elsewhere", settings=SETTINGS["stem"]
    ),
}


class ConversionData(Protocol):
    """What the table of networks says of a network's conversion, see :class:`netdeconv.models.Architecture`."""

    @property
    def stem(self) -> StemSettings | None:
        """Steps and schedule of the first convolution, as published."""

    @property
    def grouped(self) -> int | None:
        """Steps of convolutions with groups of several channels."""

    @property
    def depthwise(self) -> int | None:
        """Steps of convolutions with one input channel for each group."""

    @property
    def named(self) -> Mapping[str, int]:
        """Steps of further layers, by a pattern of names."""

    @property
    def published_select(self) -> tuple[str, ...] | None:
        """What the published experiments converted."""


def settings_of(config: NormConfig, entry: ConversionData | None = None) -> Settings | None:
    """Return what becomes of each kind of layer.

    Args:
        config: the normalisation.
        entry: a network's own steps for some of its layers.

    Raises:
        ValueError: when a number is out of range.
    """
    base = NORMALISATIONS[config.name].settings
    if base is None:
        return None
    shared = _given(config, "eps", "sampling_stride", "rows_per_feature", "momentum")
    every = shared | _given(config, "num_iterations")
    blocks = every | _given(config, "group_size", "structure")
    convolution = _changed(base.convolution, blocks)
    stem = _stem(config, base, shared | _given(config, "group_size"), entry)
    return Settings(
        convolution=convolution,
        stem=stem if config.stem is not False else convolution,
        linear=_linear(config, base, every),
        grouped=_with_steps(_changed(base.grouped, blocks), entry.grouped if entry else None),
        depthwise=_with_steps(_changed(base.depthwise, blocks), entry.depthwise if entry else None),
        gate=_changed(base.gate, blocks),
    )


def _given(config: NormConfig, *names: str) -> dict[str, Any]:
    return {name: getattr(config, name) for name in names if getattr(config, name) is not None}


def _stem(
    config: NormConfig, base: Settings, changes: dict[str, Any], entry: ConversionData | None
) -> Whitening | None:
    stem = base.stem
    if stem is not None and stem.freeze is not None and entry is not None and entry.stem is not None:
        freeze = Freeze() if entry.stem.freeze else None
        stem = dataclasses.replace(stem, num_iterations=entry.stem.num_iterations, freeze=freeze)
    if config.stem_iterations is not None:
        changes = changes | {"num_iterations": config.stem_iterations}
    if config.stem_eps is not None:
        changes = changes | {"eps": config.stem_eps}
    if isinstance(config.freeze, tuple):
        changes = changes | {"freeze": Freeze(active=config.freeze[0], period=config.freeze[1])}
    elif config.freeze is not None:
        changes = changes | {"freeze": Freeze() if config.freeze else None}
    return _changed(stem, changes)


def _linear(config: NormConfig, base: Settings, changes: dict[str, Any]) -> Whitening | None:
    if config.linear_group_size == 0:
        return None
    size = {} if config.linear_group_size is None else {"group_size": config.linear_group_size}
    return _changed(base.linear, changes | size)


def normalise(
    model: nn.Module, config: NormConfig, entry: ConversionData, *, calibration: Iterable[Any] | None = None
) -> nn.Module:
    """Return a network that was built with batch norm with the normalisation of the settings.

    Args:
        model: with batch norm.
        config: what is whitened, and what stands where nothing is.
        entry: steps that the network has for some of its layers.
        calibration: batches on which a trained network's outputs are kept.
    """
    settings = settings_of(config, entry)
    if settings is not None:
        named = {pattern: _with_steps(settings.convolution, steps) for pattern, steps in entry.named.items()}
        select = entry.published_select if config.published else None
        model = convert(model, settings, named=named, select=select, calibration=calibration)
        if not config.bias:
            _remove_biases(model)
    return replace_norms(model, NORMALISATIONS[config.name].norm)


def _changed(whitening: Whitening | None, changes: dict[str, Any]) -> Whitening | None:
    return None if whitening is None else dataclasses.replace(whitening, **changes)


def _with_steps(whitening: Whitening | None, steps: int | None) -> Whitening | None:
    return whitening if whitening is None or steps is None else dataclasses.replace(whitening, num_iterations=steps)


def _remove_biases(model: nn.Module) -> None:
    """Take the bias from whitened convolutions; the mean that whitening subtracts stays."""
    for module in model.modules():
        if isinstance(module, WhitenedLayer) and not isinstance(module, nn.Linear):
            module.register_parameter("bias", None)
