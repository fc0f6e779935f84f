"""The normalisations that can be compared, as data: how each converts a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

from netdeconv import models
from netdeconv.lookup import look_up
from netdeconv.nn import Freeze, Whitening
from netdeconv.training import NetworkConfig

Setting = Whitening | Literal[False] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class WhiteningChoice:
    """What the variants of a comparison share.

    Args:
        base: settings of the convolutions.
        block_fc: features that share one block in linear layers; 0 leaves linear layers plain.
        freeze: whether a stem with settings of its own is frozen most of the time.
        stem: whether there are such settings.
    """

    base: Whitening = dataclasses.field(default_factory=Whitening)
    block_fc: int = 512
    freeze: bool = True
    stem: bool = True

    def linear(self) -> Whitening | Literal[False]:
        """Settings of linear layers; they have one tap, so that all structures are the same."""
        if self.block_fc == 0:
            return False
        return dataclasses.replace(self.base, structure="full", group_size=self.block_fc)

    def patch_stem(self, arch: str) -> Whitening | None:
        """Settings of the first convolution: whole patches, with the steps of the network's entry."""
        stem = models.stem_settings(arch)
        if stem is None or not self.stem:
            return None
        freeze = Freeze() if stem.freeze and self.freeze else None
        return dataclasses.replace(
            self.base,
            structure="full",
            num_iterations=stem.num_iterations,
            freeze=freeze,
            refresh_interval=self.base.refresh_interval if freeze is None else 1,  # one schedule a layer
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """One normalisation.

    Args:
        description: what is whitened, for the table's caption.
        settings: from the shared choice and the network's name to (whitening, stem, linear).
        whitens: whether any layer's input is whitened at all.
        norm: what stands where nothing is whitened.
    """

    description: str
    settings: Callable[[WhiteningChoice, str], tuple[Setting, Setting, Setting]]
    whitens: bool = True
    norm: str = models.BATCH_NORM

    def network(self, choice: WhiteningChoice, base: NetworkConfig) -> NetworkConfig:
        """Return the network with this normalisation."""
        whitening, stem, linear = self.settings(choice, base.arch)
        return dataclasses.replace(base, whitening=whitening, stem=stem, linear=linear, norm=self.norm)


def _unwhitened(choice: WhiteningChoice, arch: str) -> tuple[Setting, Setting, Setting]:
    del choice, arch
    return None, None, None


def _channel(choice: WhiteningChoice, arch: str) -> tuple[Setting, Setting, Setting]:
    del arch
    return dataclasses.replace(choice.base, structure="channel"), None, choice.linear()


def _full(choice: WhiteningChoice, arch: str) -> tuple[Setting, Setting, Setting]:
    return dataclasses.replace(choice.base, structure="full"), choice.patch_stem(arch), choice.linear()


def _full16(choice: WhiteningChoice, arch: str) -> tuple[Setting, Setting, Setting]:
    narrow = dataclasses.replace(choice.base, structure="full", group_size=16)
    return narrow, choice.patch_stem(arch), choice.linear()


def _separable(choice: WhiteningChoice, arch: str) -> tuple[Setting, Setting, Setting]:
    return dataclasses.replace(choice.base, structure="separable"), choice.patch_stem(arch), choice.linear()


def _stem(choice: WhiteningChoice, arch: str) -> tuple[Setting, Setting, Setting]:
    return False, choice.patch_stem(arch), False


def _stem_channel(choice: WhiteningChoice, arch: str) -> tuple[Setting, Setting, Setting]:
    return dataclasses.replace(choice.base, structure="channel"), choice.patch_stem(arch), False


VARIANTS: dict[str, Variant] = {
    "none": Variant(description="no normalisation", settings=_unwhitened, whitens=False, norm="none"),
    "batch_norm": Variant(description="batch norm", settings=_unwhitened, whitens=False),
    "group_norm": Variant(description="group norm", settings=_unwhitened, whitens=False, norm="group_norm"),
    "iterative_norm": Variant(
        description="every layer's output is whitened, where batch norm stood (Huang et al. 2019)",
        settings=_unwhitened,
        whitens=False,
        norm="iterative_norm",
    ),
    "channel": Variant(description="every layer whitens its channels", settings=_channel),
    "full": Variant(description="every layer whitens its patches", settings=_full),
    "full16": Variant(description="every layer whitens its patches, 16 channels a block", settings=_full16),
    "separable": Variant(description="every layer whitens channels, then kernel taps", settings=_separable),
    "stem": Variant(description="the first layer whitens its patches, batch norm elsewhere", settings=_stem),
    "stem_channel": Variant(
        description="the first layer whitens its patches, the others their channels, linear layers are plain",
        settings=_stem_channel,
    ),
}


def is_batch_norm(network: NetworkConfig) -> bool:
    """Whether the network trains with batch norm and nothing is whitened: the baseline of all comparisons."""
    return network.whitening is None and network.norm == models.BATCH_NORM


def variant(name: str) -> Variant:
    """Return one variant.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such variant.
    """
    return look_up("variant", name, VARIANTS)
