"""What is compared: functions from a network with batch norm to the same network with another normalisation, as data.

Settings are those of the comparisons in ``netdeconv.experiments`` (a test compares them), which needs the extra "train";
this needs torch alone. Linear layers are whitened in blocks like the convolutions', except in "default" and the stems;
"paper" has the published blocks of 512. A further candidate is a further entry of VARIANTS.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from benchmarks import published
from netdeconv import Whitening, convert, models
from netdeconv.lookup import look_up

BATCH_NORM, NO_NORM = "batch_norm", "no_norm"
STEM = Whitening.paper_stem()
FEW_ROWS: dict[str, Any] = {"rows_per_feature": 16}


@dataclasses.dataclass(frozen=True)
class Variant:
    """One candidate.

    Args:
        description: what is whitened.
        apply: changes a network with batch norm, and returns it.
    """

    description: str
    apply: Callable[[nn.Module], nn.Module]


def without_norm(model: nn.Module) -> nn.Module:
    """Batch norms become identities, and convolutions get the bias that a norm made superfluous.

    Activations stay in place only if every norm stood behind a convolution, whose output nothing else reads. What a
    norm in front of a convolution reads, a shortcut may read too.
    """
    shared = False
    for parent in list(model.modules()):
        before: nn.Module | None = None  # the last child with parameters
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm):
                shared |= not isinstance(before, (_ConvNd, nn.Linear))
                setattr(parent, name, nn.Identity())
            elif isinstance(child, _ConvNd) and child.bias is None:
                child.bias = nn.Parameter(child.weight.new_zeros(child.out_channels))
            before = child if next(child.parameters(), None) is not None else before
    for module in model.modules():
        if shared and getattr(module, "inplace", False):
            module.inplace = False
    return model


def _whitened(
    whitening: Whitening | bool, *, stem: Whitening | None = None, linear: Whitening | bool | None = None
) -> Callable[[nn.Module], nn.Module]:
    return lambda model: convert(model, whitening, stem=stem, linear=linear, inplace=True)


VARIANTS: dict[str, Variant] = {
    NO_NORM: Variant("no normalisation, convolutions with a bias", without_norm),
    BATCH_NORM: Variant("batch norm", lambda model: model),
    "default": Variant(
        "convert(model), nothing set: stem_channel from fewer images", lambda model: convert(model, inplace=True)
    ),
    "channel": Variant("every layer whitens its channels", _whitened(Whitening(structure="channel"))),
    "separable": Variant(
        "every layer whitens channels, then kernel taps", _whitened(Whitening(structure="separable"), stem=STEM)
    ),
    "full16": Variant(
        "every layer whitens its patches, 16 channels a block",
        _whitened(Whitening(structure="full", group_size=16), stem=STEM),
    ),
    "full": Variant("every layer whitens its patches", _whitened(Whitening(structure="full"), stem=STEM)),
    "separable_few": Variant(
        "as separable, from fewer images",
        _whitened(Whitening(structure="separable", **FEW_ROWS), stem=STEM),
    ),
    "full16_few": Variant(
        "as full16, from fewer images",
        _whitened(Whitening(structure="full", group_size=16, **FEW_ROWS), stem=STEM),
    ),
    "paper": Variant(
        "the paper's settings: every layer whitens its patches, linear layers in blocks of 512",
        _whitened(Whitening.paper(), stem=STEM, linear=Whitening(group_size=512)),
    ),
    "stem_channel": Variant(
        "the first layer whitens its patches, the others their channels, linear layers are plain",
        _whitened(Whitening(structure="channel"), stem=STEM, linear=False),
    ),
    "stem": Variant(
        "the first layer whitens its patches, batch norm elsewhere", _whitened(False, stem=STEM, linear=False)
    ),
    "published": Variant(
        "a plain transcription of the published algorithm", lambda model: published.whiten(without_norm(model))
    ),
}


def build_network(
    arch: str, variant: str, *, num_classes: int, image_size: int, imagenet: bool = False, seed: int = 0
) -> nn.Module:
    """A network with the normalisation of a variant; the same weights for all variants.

    Args:
        arch: a name of ``netdeconv.models``, or of torchvision where ``imagenet``.
        variant: a name of VARIANTS.
        num_classes: outputs.
        image_size: of the images.
        imagenet: whether to take torchvision's network.
        seed: of the weights.

    Raises:
        UnknownNameError: when there is no such network or variant.
    """
    kind = look_up("variant", variant, VARIANTS)
    torch.manual_seed(seed)
    if imagenet:
        import torchvision

        return kind.apply(torchvision.models.get_model(arch, weights=None, num_classes=num_classes))
    return kind.apply(models.build(arch, num_classes=num_classes, in_channels=3, image_size=image_size))
