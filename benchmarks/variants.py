"""What is compared: functions from a network with batch norm to the same network with another normalisation, as data.

The whitened ones are the named settings of ``netdeconv.convert``; this needs torch alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from netdeconv import convert, models
from netdeconv.lookup import look_up
from netdeconv.published import Delinear, FastDeconv
from netdeconv.surgery import SETTINGS, Settings

BATCH_NORM, NO_NORM = "batch_norm", "no_norm"


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


def as_published(model: nn.Module) -> nn.Module:
    """The published layers in place of convolutions and linear layers, without norms."""
    without_norm(model)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d) and child.padding_mode == "zeros" and not isinstance(child.padding, str):
                sizes = child.in_channels, child.out_channels, child.kernel_size
                geometry = child.stride, child.padding, child.dilation, child.groups
                layer: nn.Module = FastDeconv(*sizes, *geometry)
            elif isinstance(child, nn.Linear):
                layer = Delinear(child.in_features, child.out_features)
            else:
                continue
            layer.weight, layer.bias = child.weight, child.bias
            setattr(parent, name, layer)
    return model


def _converted(settings: Settings) -> Callable[[nn.Module], nn.Module]:
    return lambda model: convert(model, settings, inplace=True)


def _few(settings: Settings) -> Settings:
    """The same from fewer images: 16 rows a feature."""
    kinds = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    return Settings(**{kind: own and dataclasses.replace(own, rows_per_feature=16) for kind, own in kinds.items()})


VARIANTS: dict[str, Variant] = {
    NO_NORM: Variant("no normalisation, convolutions with a bias", without_norm),
    BATCH_NORM: Variant("batch norm", lambda model: model),
    **{name: Variant(f'convert(model, "{name}")', _converted(settings)) for name, settings in SETTINGS.items()},
    "full16_few": Variant("as full16, from fewer images", _converted(_few(SETTINGS["full16"]))),
    "published": Variant("the published layers, as netdeconv.published has them", as_published),
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
