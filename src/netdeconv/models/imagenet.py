"""Networks for ImageNet by name: torchvision's classification networks."""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision import models as zoo

from netdeconv.lookup import look_up
from netdeconv.models.entry import Architecture

NUM_CLASSES = 1000
KIND = "ImageNet network"
NAMES = {name: name for name in zoo.list_models(module=zoo)}
# Their auxiliary classifiers would make the output a tuple; and they ask to be told that they draw their own weights.
_AUXILIARY = {"googlenet", "inception_v3"}
# What the published experiments do with some layers, where it is more than with those of every network: by the
# beginning of the name. In torchvision's MobileNet v2 the last convolution of a block projects.
_SPECIAL: dict[str, dict[str, Any]] = {
    "mobilenet_v2": {
        "stem_steps": 10,
        "named": {"features.1.conv.1": 1, "features.[2-9].conv.2": 1, "features.1[0-9].conv.2": 1},
    },
    # as the CIFAR form: projections and gates
    "efficientnet_b": {
        "stem_steps": 10,
        "named": {"features.1.*.block.2.0": 1, "features.[2-7].*.block.3.0": 1, "*.fc1": 1, "*.fc2": 1},
    },
    "efficientnet_v2": {
        "stem_steps": 10,
        "named": {"features.[23].*.block.1.0": 1, "*.block.3.0": 1, "*.fc1": 1, "*.fc2": 1},
    },
}


def build_imagenet(name: str, *, num_classes: int = NUM_CLASSES, pretrained: bool = False) -> nn.Module:
    """Build a network with the normalisation it was published with; its output is one tensor, in training too.

    Args:
        name: a classification network of torchvision.
        num_classes: outputs of the last layer.
        pretrained: whether to load the newest published weights, from the network where they are not cached.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when torchvision has no such network.
        ValueError: when ``num_classes`` is below 1, or not 1000 for pretrained weights.

    Example:
        >>> build_imagenet("resnet18", num_classes=10).fc.out_features
        10
    """
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    look_up(KIND, name, NAMES)
    if pretrained and num_classes != NUM_CLASSES:
        raise ValueError(f"the weights of {name!r} are for {NUM_CLASSES} classes, not {num_classes}")
    settings: dict[str, Any] = {"weights": "DEFAULT" if pretrained else None, "num_classes": num_classes}
    if name in _AUXILIARY:
        settings["aux_logits"] = False
        if not pretrained:
            settings["init_weights"] = True
    return zoo.get_model(name, **settings)


def imagenet_architecture(name: str) -> Architecture:
    """Return the entry of a network for ImageNet: how to build it, and the steps of its special layers.

    Args:
        name: as :func:`build_imagenet` takes it.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when torchvision has no such network.

    Example:
        >>> imagenet_architecture("resnext50_32x4d").grouped
        3
    """
    look_up(KIND, name, NAMES)

    def build(*, num_classes: int, in_channels: int, width: float) -> nn.Module:
        if (in_channels, width) != (3, 1.0):
            raise ValueError(
                f"{name!r} takes images of 3 channels and has one width: it cannot have {in_channels} "
                f"channels and width {width:g}"
            )
        return build_imagenet(name, num_classes=num_classes)

    special = next((own for start, own in _SPECIAL.items() if name.startswith(start)), {})
    return Architecture(
        build=build, description="for ImageNet", source="torchvision", **{"grouped": 3, "depthwise": 1, **special}
    )
