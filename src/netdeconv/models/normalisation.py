"""With which normalisation a network trains: one list of names, and what a run changes of them.

A network is built with batch norm and then converted: :func:`netdeconv.convert` whitens, ``replace_norms`` puts other
norms where nothing is whitened.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from torch import nn

from netdeconv.lookup import look_up
from netdeconv.models.entry import StemSettings
from netdeconv.models.norms import BATCH_NORM, NONE, replace_norms
from netdeconv.nn import Freeze, WhitenedLayer, Whitening
from netdeconv.nn.whitening import Structure
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormConfig:
    """The normalisation of a run: a name, and what is changed of it. ``None`` everywhere: as the name says.

    Args:
        name: one of :data:`NORMALISATIONS`.
        structure: of convolutions, the stem excepted.
        group_size: channels in a block, of convolutions.
        linear_group_size: features in a block, of linear layers; 0 leaves linear layers plain.
        num_iterations: Newton-Schulz steps, the stem's excepted.
        stem_iterations: the stem's.
        eps: added to the diagonal of covariances.
        stem_eps: the stem's, where it is another.
        sampling_stride: statistics use every n-th output position.
        rows_per_feature: sampled rows that are enough for each feature.
        momentum: weight of a new batch in running statistics.
        freeze: whether the stem's statistics are held constant in 900 of 1000 steps, or another schedule.
        stem: False: the first convolution is whitened like the others.
        bias: whether whitened convolutions have a bias.
        published: whiten only what the published experiments whitened, where that is not everything (EfficientNet).

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such normalisation.
        ValueError: when something of the whitening is set, but nothing is whitened, or a number is out of range.
    """

    name: str = BATCH_NORM
    structure: Structure | None = None
    group_size: int | None = None
    linear_group_size: int | None = None
    num_iterations: int | None = None
    stem_iterations: int | None = None
    eps: float | None = None
    stem_eps: float | None = None
    sampling_stride: int | None = None
    rows_per_feature: int | None = None
    momentum: float | None = None
    freeze: Freeze | bool | None = None
    stem: bool | None = None
    bias: bool = True
    published: bool = False

    def __post_init__(self) -> None:
        chosen = look_up("norm", self.name, NORMALISATIONS)
        changed = [f.name for f in dataclasses.fields(self) if f.name != "name" and getattr(self, f.name) != f.default]
        if chosen.settings is None and changed:
            raise ValueError(
                f"{', '.join(changed)} say how layers are whitened, and {self.name} whitens none: choose a norm that "
                f"does ({', '.join(name for name, known in NORMALISATIONS.items() if known.settings)})"
            )
        self.settings()

    @property
    def whitens(self) -> bool:
        """Whether any layer's input is whitened."""
        return NORMALISATIONS[self.name].settings is not None

    def settings(self, entry: ConversionData | None = None) -> Settings | None:
        """What becomes of each kind of layer; a network's entry has steps of some of its layers."""
        base = NORMALISATIONS[self.name].settings
        if base is None:
            return None
        shared = self._given("eps", "sampling_stride", "rows_per_feature", "momentum")
        every = shared | self._given("num_iterations")
        blocks = every | self._given("group_size", "structure")
        convolution = _changed(base.convolution, blocks)
        return Settings(
            convolution=convolution,
            stem=self._stem(base, shared | self._given("group_size"), entry) if self.stem is not False else convolution,
            linear=self._linear(base, every),
            grouped=_with_steps(_changed(base.grouped, blocks), entry.grouped if entry else None),
            depthwise=_with_steps(_changed(base.depthwise, blocks), entry.depthwise if entry else None),
            gate=_changed(base.gate, blocks),
        )

    def _given(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def _stem(self, base: Settings, changes: dict[str, Any], entry: ConversionData | None) -> Whitening | None:
        stem = base.stem
        if stem is not None and stem.freeze is not None and entry is not None and entry.stem is not None:
            freeze = Freeze() if entry.stem.freeze else None
            stem = dataclasses.replace(stem, num_iterations=entry.stem.num_iterations, freeze=freeze)
        if self.stem_iterations is not None:
            changes = changes | {"num_iterations": self.stem_iterations}
        if self.stem_eps is not None:
            changes = changes | {"eps": self.stem_eps}
        if self.freeze is not None:
            changes = changes | {"freeze": (Freeze() if self.freeze is True else self.freeze) or None}
        return _changed(stem, changes)

    def _linear(self, base: Settings, changes: dict[str, Any]) -> Whitening | None:
        if self.linear_group_size == 0:
            return None
        size = {} if self.linear_group_size is None else {"group_size": self.linear_group_size}
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
    settings = config.settings(entry)
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
