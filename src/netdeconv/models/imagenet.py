"""Networks for ImageNet by name: torchvision's classification networks, and timm's where it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from netdeconv.lookup import look_up
from netdeconv.models.entry import Architecture, StemSettings

TIMM = "timm/"
NUM_CLASSES = 1000
# Their auxiliary classifiers would make the output a tuple; and they ask to be told that they draw their own weights.
_AUXILIARY = {"googlenet", "inception_v3"}
# What the published experiments do with some layers, where it is more than with those of every network: by the
# beginning of the name. In torchvision's MobileNet v2 the last convolution of a block projects.
_SPECIAL: dict[str, dict[str, Any]] = {
    "mobilenet_v2": {
        "stem": StemSettings(num_iterations=10),
        "named": {"features.1.conv.1": 1, "features.[2-9].conv.2": 1, "features.1[0-9].conv.2": 1},
    },
    # as the CIFAR form: projections and gates
    "efficientnet_b": {
        "stem": StemSettings(num_iterations=10),
        "named": {"features.1.*.block.2.0": 1, "features.[2-7].*.block.3.0": 1, "*.fc1": 1, "*.fc2": 1},
    },
    "efficientnet_v2": {
        "stem": StemSettings(num_iterations=10),
        "named": {"features.[23].*.block.1.0": 1, "*.block.3.0": 1, "*.fc1": 1, "*.fc2": 1},
    },
}


class ImagenetName(NamedTuple):
    """What a name means.

    Args:
        name: torchvision's name, or timm's with ``timm/`` before it.
        converted: whether network deconvolution was asked for by the name.
    """

    name: str
    converted: bool


def parse_imagenet_name(name: str) -> ImagenetName:
    """Return the network that a name means, and whether it is to be converted.

    The published program calls the converted networks ``resnet18d``, ``densenet121d``, ``vgg11d`` and so on; no
    name of torchvision is another one with a ``d`` appended. A name of timm is taken as it is: there
    ``timm/resnet18d`` is a network of its own.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when torchvision has no such network.
        RuntimeError: when torchvision is not installed.

    Example:
        >>> parse_imagenet_name("resnet18d")
        ImagenetName(name='resnet18', converted=True)
    """
    if name.startswith(TIMM):
        return ImagenetName(name, False)
    zoo = _package("torchvision.models", name)
    names = {known: known for known in zoo.list_models(module=zoo)}
    plain = name[:-1]
    if name not in names and name.endswith("d") and plain in names:
        return ImagenetName(plain, True)
    return ImagenetName(look_up("ImageNet network", name, names), False)


def build_imagenet(name: str, *, num_classes: int = NUM_CLASSES, pretrained: bool = False) -> nn.Module:
    """Build a network with the normalisation it was published with; its output is one tensor, in training too.

    Args:
        name: a classification network of torchvision, or ``timm/`` and a name of timm.
        num_classes: outputs of the last layer.
        pretrained: whether to load the newest published weights, from the network where they are not cached.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when torchvision has no such network.
        ValueError: when the name asks for a conversion, which is the caller's; when ``num_classes`` is below 1,
            or not 1000 for pretrained weights of torchvision.
        RuntimeError: when the package is not installed, or timm has no such network.

    Example:
        >>> build_imagenet("squeezenet1_1", num_classes=10).__class__.__name__
        'SqueezeNet'
    """
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    plain, converted = parse_imagenet_name(name)
    if converted:
        raise ValueError(f"{name!r} is {plain!r} converted: build that, and convert it (see parse_imagenet_name)")
    if plain.startswith(TIMM):
        timm = _package("timm", name)
        return timm.create_model(plain.removeprefix(TIMM), pretrained=pretrained, num_classes=num_classes)
    if pretrained and num_classes != NUM_CLASSES:
        raise ValueError(f"the weights of {plain!r} are for {NUM_CLASSES} classes, not {num_classes}")
    settings: dict[str, Any] = {"weights": "DEFAULT" if pretrained else None, "num_classes": num_classes}
    if plain in _AUXILIARY:
        settings["aux_logits"] = False
        if not pretrained:
            settings["init_weights"] = True
    return _package("torchvision.models", name).get_model(plain, **settings)


def imagenet_architecture(name: str) -> Architecture:
    """Return the entry of a network for ImageNet: how to build it, and the steps of its special layers.

    Args:
        name: as :func:`build_imagenet` takes it.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when torchvision has no such network.
        ValueError: when the name asks for a conversion, which is the caller's.

    Example:
        >>> imagenet_architecture("resnext50_32x4d").grouped
        3
    """
    plain, converted = parse_imagenet_name(name)
    if converted:
        raise ValueError(f"{name!r} is {plain!r} converted: name that, and convert it (see parse_imagenet_name)")
    special: Mapping[str, Any] = next((own for start, own in _SPECIAL.items() if plain.startswith(start)), {})

    def build(*, num_classes: int, in_channels: int, width: float, image_size: int) -> nn.Module:
        del image_size
        if (in_channels, width) != (3, 1.0):
            raise ValueError(
                f"{plain!r} takes images of 3 channels and has one width: it cannot have {in_channels} "
                f"channels and width {width:g}"
            )
        return build_imagenet(plain, num_classes=num_classes)

    return Architecture(
        build=build,
        stem=special.get("stem", StemSettings()),
        description="for ImageNet",
        source="timm" if plain.startswith(TIMM) else "torchvision",
        grouped=3,
        depthwise=1,
        named=special.get("named", {}),
    )


def _package(module: str, name: str) -> Any:
    """Import when first needed: the networks of this package need neither."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        raise RuntimeError(f"{name!r} needs {package}, which is not installed: pip install {package}") from error
