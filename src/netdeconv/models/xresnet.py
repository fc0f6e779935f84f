"""XResNet-18, 34 and 50 for small images: ResNets with the tweaks that cost next to nothing.

Three 3x3 convolutions of 32, 32 and 64 channels are the stem; a shortcut that halves the resolution averages 2x2 pixels
before its 1x1 convolution; the last batch norm of every branch starts with weight zero, so that a block starts as its
shortcut. A conversion to network deconvolution removes that batch norm, and the start with it.

Source: He et al., "Bag of Tricks for Image Classification with Convolutional Neural Networks", 2019, sections 3.1 and
4.2; for small images the stem has stride 1 and no pooling.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from torch import nn

from netdeconv.models.blocks import Residual, assemble, classifier, conv_bn, conv_bn_relu, scaled
from netdeconv.models.entry import Architecture, StemSettings
from netdeconv.models.resnet import DEPTHS, Branch, residual_stages


def averaging_projection(in_channels: int, out_channels: int, *, stride: int) -> nn.Module:
    """Return a shortcut: 2x2 average where the stride is 2, then 1x1 convolution and batch norm."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    # Rounding up, as the branch's convolution of stride 2 does.
    pool = [nn.AvgPool2d(stride, ceil_mode=True)] if stride != 1 else []
    return nn.Sequential(*pool, *conv_bn(in_channels, out_channels, 1))


def xresnet(
    depths: Sequence[int],
    branch: Branch,
    *,
    num_classes: int,
    in_channels: int,
    width: float = 1.0,
    image_size: int = 32,
) -> nn.Sequential:
    """Build an XResNet with batch norm.

    Args:
        depths: blocks of every stage.
        branch: makes a block's branch, see :mod:`netdeconv.models.resnet`.
        num_classes: outputs.
        in_channels: channels of the images.
        width: factor on all channels.
        image_size: not needed: all remaining positions are averaged.
    """
    del image_size
    half, first = scaled(32, width), scaled(64, width)
    stem = nn.Sequential(*conv_bn_relu(in_channels, half), *conv_bn_relu(half, half), *conv_bn_relu(half, first))
    stages, channels = residual_stages(first, depths, branch=branch, width=width, shortcut=averaging_projection)
    network = assemble(stem, stages, classifier(channels, num_classes))
    for block in network.modules():
        if isinstance(block, Residual):
            last = list(block.branch.children())[-1]
            assert isinstance(last, nn.BatchNorm2d)
            nn.init.zeros_(last.weight)
    return network


ENTRIES = {
    f"xresnet{number}": Architecture(
        build=functools.partial(xresnet, *DEPTHS[number]),
        stem=StemSettings(),
        description=f"ResNet-{number} with a stem of three convolutions and averaging shortcuts",
        source="He et al. 2019",
    )
    for number in ("18", "34", "50")
}
