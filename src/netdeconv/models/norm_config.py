"""The normalisation of a run: a name, and what is changed of it. Without torch, so that ``--help`` comes at once."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from netdeconv.lookup import unknown_name

if TYPE_CHECKING:
    from netdeconv.models.entry import Architecture
    from netdeconv.surgery.settings import Settings

BATCH_NORM, NONE = "batch_norm", "none"
NORMALISATIONS = {
    NONE: "no normalisation",
    BATCH_NORM: "batch norm",
    "group_norm": "group norm",
    "default": "the first layer whitens its patches, the others their channels",
    "channel": "every layer whitens its channels",
    "full16": "every layer whitens its patches, 16 channels a block",
    "paper": "every layer whitens its patches, 64 channels a block, as published",
    "stem": "the first layer whitens its patches, batch norm elsewhere",
}
NORM_NAMES = tuple(NORMALISATIONS)
PLAIN_NORMS = NORM_NAMES[:3]  # these whiten nothing


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormChanges:
    """What is changed of a whitening; ``None`` everywhere: as its name says.

    Args:
        structure: of convolutions, the stem excepted: whole patches, or channels alone.
        group_size: channels in a block, of convolutions.
        linear_group_size: features in a block, of linear layers; 0 leaves linear layers plain.
        num_iterations: Newton-Schulz steps, the stem's excepted.
        stem_iterations: the stem's.
        eps: added to the diagonal of covariances.
        stem_eps: the stem's, where it is another.
        sampling_stride: statistics use every n-th output position.
        rows_per_feature: sampled rows that are enough for each feature.
        momentum: weight of a new batch in running statistics.
        freeze: whether the stem's statistics are held constant in 900 of 1000 steps; or two numbers, the steps of a
            period that compute statistics and all of its steps.
        stem: False: the first convolution is whitened like the others.
        bias: whether whitened convolutions have a bias.
    """

    structure: Literal["full", "channel"] | None = None
    group_size: Annotated[int | None, arg(aliases=("--block",))] = None
    linear_group_size: Annotated[int | None, arg(aliases=("--block-fc",))] = None
    num_iterations: Annotated[int | None, arg(aliases=("--deconv-iter",))] = None
    stem_iterations: int | None = None
    eps: float | None = None
    stem_eps: float | None = None
    sampling_stride: Annotated[int | None, arg(aliases=("--stride",))] = None
    rows_per_feature: int | None = None
    momentum: Annotated[float | None, arg(name="whitening-momentum")] = None
    freeze: tuple[int, int] | bool | None = None
    stem: bool | None = None
    bias: bool = True

    def changes(self) -> dict[str, Any]:
        """Return the settings that are not as the name says."""
        fields = dataclasses.fields(NormChanges)
        return {f.name: getattr(self, f.name) for f in fields if getattr(self, f.name) != f.default}


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormConfig(NormChanges):
    """The normalisation of a run: a name, and what is changed of it.

    Args:
        name: with which normalisation the network trains; published: --deconv True is default, --deconv False is
            batch_norm, --batchnorm False is none.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such normalisation.
        ValueError: when something of the whitening is set, but nothing is whitened, or a number is out of range.
    """

    name: Annotated[str, arg(name="norm", metavar="{" + ",".join(NORM_NAMES) + "}")] = BATCH_NORM

    def __post_init__(self) -> None:
        if self.name not in NORM_NAMES:
            raise unknown_name("norm", self.name, NORM_NAMES)
        if not self.whitens and self.linear_group_size == 0:
            # The published program's way to say that nothing is whitened.
            object.__setattr__(self, "linear_group_size", None)
        changed = self.changes()
        if changed and not self.whitens:
            raise ValueError(
                f"{' and '.join(changed)} say how to whiten, but the norm is {self.name}: --deconv True, or --norm "
                f"with one of {', '.join(name for name in NORM_NAMES if name not in PLAIN_NORMS)}"
            )
        if changed:
            self.settings()

    @property
    def whitens(self) -> bool:
        """Whether any layer's input is whitened."""
        return self.name not in PLAIN_NORMS

    def settings(self, entry: Architecture | None = None) -> Settings | None:
        """What becomes of each kind of layer; a network's entry has steps of some of its layers."""
        from netdeconv.models.normalisation import settings_of  # torch, which --help does not need

        return settings_of(self, entry)
