"""What is compared: the normalisations of ``netdeconv.models``, and the published layers. Needs torch alone."""

from __future__ import annotations

import torch
from torch import nn

from netdeconv import models
from netdeconv.lookup import look_up
from netdeconv.models import NORMALISATIONS, NormConfig
from netdeconv.published import Delinear, FastDeconv

NONE, BATCH_NORM, PUBLISHED = "none", "batch_norm", "published"
VARIANTS = NORMALISATIONS | {PUBLISHED: "the published layers, as netdeconv.published has them"}


def as_published(model: nn.Module) -> nn.Module:
    """The published layers in place of convolutions and linear layers, without norms."""
    models.replace_norms(model, NONE)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d) and child.padding_mode == "zeros" and not isinstance(child.padding, str):
                sizes = child.in_channels, child.out_channels, child.kernel_size
                layer: nn.Module = FastDeconv(*sizes, child.stride, child.padding, child.dilation, child.groups)
            elif isinstance(child, nn.Linear):
                layer = Delinear(child.in_features, child.out_features)
            else:
                continue
            layer.weight, layer.bias = child.weight, child.bias
            setattr(parent, name, layer)
    return model


def build_network(
    arch: str, variant: str, *, num_classes: int = 10, image_size: int = 32, width: float = 1.0, seed: int = 0
) -> nn.Module:
    """A network with the normalisation of a variant; the same weights for all variants.

    Raises:
        UnknownNameError: when there is no such network or variant.
    """
    look_up("variant", variant, VARIANTS)
    torch.manual_seed(seed)
    model = models.build(arch, num_classes=num_classes, in_channels=3, width=width, image_size=image_size)
    if variant == PUBLISHED:
        return as_published(model)
    return models.normalise(model, NormConfig(name=variant), models.architecture(arch))
