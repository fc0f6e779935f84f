"""Segmentation networks of torchvision by name, and smaller ones assembled from its parts.

All return a dictionary: ``out``, class scores at the size of the image, and ``aux`` of the auxiliary head.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from torch import nn
from torchvision.models import ResNet, ResNet18_Weights
from torchvision.models import segmentation as zoo
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.resnet import BasicBlock
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.models.segmentation.fcn import FCN, FCNHead

from netdeconv.lookup import look_up
from netdeconv.models.entry import Architecture

KIND = "segmentation network"
_RESNET18_WIDTH = 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationNetwork(Architecture):
    """One network: how to build it, and what its conversion needs to know.

    Its ``build`` takes ``num_classes``, ``auxiliary``, ``pretrained_backbone``, ``output_stride`` and ``width`` by
    keyword.

    Args:
        output_strides: image pixels to one of the last feature map, along each axis, that it can be built with; the
            first one is the usual.
        narrow: whether its width can be changed.
        auxiliary: whether it can have an auxiliary head.
    """

    output_strides: tuple[int, ...]
    narrow: bool = False
    auxiliary: bool = True


def _published(name: str, *, num_classes: int, auxiliary: bool, pretrained_backbone: bool, **only: Any) -> nn.Module:
    """Build a network that torchvision has."""
    del only  # the one width and output stride that it has
    options = {"aux_loss": auxiliary} if SEGMENTATION_NETWORKS[name].auxiliary else {}
    backbone = "DEFAULT" if pretrained_backbone else None
    built: nn.Module = getattr(zoo, name)(weights=None, weights_backbone=backbone, num_classes=num_classes, **options)
    return built


class _NarrowResNet(ResNet):  # type: ignore[misc]  # torchvision ships no types
    """torchvision's ResNet whose stages have a share of their channels; the stem keeps its own."""

    def __init__(self, layers: list[int], width: float) -> None:
        self._share = width
        super().__init__(BasicBlock, layers)

    def _make_layer(self, block: Any, planes: int, blocks: int, stride: int = 1, dilate: bool = False) -> Any:
        return super()._make_layer(block, max(1, round(planes * self._share)), blocks, stride, dilate)


def _resnet18(
    head: Callable[[int, int], nn.Module],
    network: type[nn.Module],
    *,
    num_classes: int,
    auxiliary: bool,
    pretrained_backbone: bool,
    output_stride: int,
    width: float,
) -> nn.Module:
    """Build a network on torchvision's ResNet-18, with its parts."""
    resnet = _NarrowResNet([2, 2, 2, 2], width)
    if pretrained_backbone:
        resnet.load_state_dict(ResNet18_Weights.DEFAULT.get_state_dict(progress=False))
    _dilate(resnet, output_stride)
    features = {"layer4": "out", "layer3": "aux"} if auxiliary else {"layer4": "out"}
    last, before = (max(1, round(_RESNET18_WIDTH * width / part)) for part in (1, 2))
    # IntermediateLayerGetter leaves out what comes after the last of the features.
    return network(
        IntermediateLayerGetter(resnet, return_layers=features),
        head(last, num_classes),
        FCNHead(before, num_classes) if auxiliary else None,
    )


def _dilate(resnet: nn.Module, output_stride: int) -> None:
    """Trade the strides of the last stages for dilation; torchvision's basic blocks take none when they are built."""
    dilation = 1
    for stage, stride in (("layer3", 16), ("layer4", 32)):
        blocks = resnet.get_submodule(stage)
        before = dilation
        if stride > output_stride:
            dilation *= 2
        for number, block in enumerate(blocks.children()):
            for convolution in (module for module in block.modules() if isinstance(module, nn.Conv2d)):
                if stride > output_stride:
                    convolution.stride = (1, 1)
                if convolution.kernel_size == (3, 3):
                    # The first block still sees the spacing that the stage before it left, as in torchvision's own.
                    spacing = before if number == 0 else dilation
                    convolution.dilation = convolution.padding = (spacing, spacing)


_FCN, _DEEPLAB = "J. Long, E. Shelhamer, T. Darrell, 2015", "L.-C. Chen et al., 2017"
_HEADS: dict[str, tuple[str, str, Any, Any]] = {
    "fcn": ("FCN", _FCN, FCNHead, FCN),
    "deeplabv3": ("DeepLabV3", _DEEPLAB, DeepLabHead, DeepLabV3),
}

SEGMENTATION_NETWORKS: dict[str, SegmentationNetwork] = {
    **{
        f"{kind}_resnet18": SegmentationNetwork(
            build=functools.partial(_resnet18, head, network),
            description=f"{label} on ResNet-18, of torchvision's parts",
            source=source,
            output_strides=(16, 8, 32),
            narrow=True,
        )
        for kind, (label, source, head, network) in _HEADS.items()
    },
    **{
        f"{kind}_resnet{depth}": SegmentationNetwork(
            build=functools.partial(_published, f"{kind}_resnet{depth}"),
            description=f"{label} on ResNet-{depth}, torchvision, auxiliary head after the third stage",
            source=source,
            output_strides=(8,),
        )
        for depth in (50, 101)
        for kind, (label, source, *_) in _HEADS.items()
    },
    "lraspp_mobilenet_v3_large": SegmentationNetwork(
        build=functools.partial(_published, "lraspp_mobilenet_v3_large"),
        description="Lite R-ASPP on MobileNetV3, torchvision; no auxiliary head",
        source="A. Howard et al., 2019",
        output_strides=(16,),
        auxiliary=False,
        stem_steps=10,
        depthwise=1,
    ),
}


def segmentation_network(name: str) -> SegmentationNetwork:
    """Return the entry of one network.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such network.
    """
    return look_up(KIND, name, SEGMENTATION_NETWORKS)


def build_segmentation(
    name: str,
    *,
    num_classes: int,
    auxiliary: bool = True,
    pretrained_backbone: bool = False,
    output_stride: int | None = None,
    width: float = 1.0,
) -> nn.Module:
    """Build a network with batch norm, freshly initialised from torch's global generator.

    Args:
        name: a key of :data:`SEGMENTATION_NETWORKS`.
        num_classes: classes of a pixel.
        auxiliary: whether an auxiliary head sees the features before the last stage, where the network can have one.
        pretrained_backbone: whether the backbone starts from weights of ImageNet, fetched where they are not cached.
        output_stride: image pixels to one of the last feature map; ``None``: the network's usual.
        width: factor on the channels of the backbone's stages.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such network.
        ValueError: when the network cannot have the asked output stride or width.

    Example:
        >>> build_segmentation("fcn_resnet18", num_classes=11, width=0.25).__class__.__name__
        'FCN'
    """
    entry = segmentation_network(name)
    stride = entry.output_strides[0] if output_stride is None else output_stride
    if stride not in entry.output_strides:
        raise ValueError(f"output stride of {name} must be one of {entry.output_strides}, got {stride}")
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    if not width > 0 or (width != 1 and not entry.narrow):
        raise ValueError(f"width of {name} must be {'positive' if entry.narrow else '1'}, got {width:g}")
    if pretrained_backbone and width != 1:
        raise ValueError(f"the weights of the backbone are for width 1, not {width:g}")
    return entry.build(
        num_classes=num_classes,
        auxiliary=auxiliary and entry.auxiliary,
        pretrained_backbone=pretrained_backbone,
        output_stride=stride,
        width=width,
    )
