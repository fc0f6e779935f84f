"""Parameter counts of the tables, and equality with torchvision's networks where it has the same ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netdeconv import convert, models
from tolerances import assert_close

torchvision = pytest.importorskip("torchvision")

# With batch norm and 10 classes, for images of three channels.
COUNTS = {
    "vgg11": 9_231_114,
    "vgg13": 9_416_010,
    "vgg16": 14_728_266,
    "vgg19": 20_040_522,
    "resnet18": 11_173_962,
    # torchvision's with 10 classes, less the 147 - 27 weights for each of 64 channels of its 7x7 stem
    "resnet34": 21_797_672 - 990 * 513 - 64 * 120,
    "resnet50": 23_520_842,
    "resnet101": 44_549_160 - 990 * 2049 - 64 * 120,
    "densenet121": 6_956_298,
    "preact_resnet18": 11_171_274,
    "senet18": 11_260_354,
    "resnext29_32x4d": 4_774_218,
    "mobilenet_v2": 2_296_922,
    "dpn92": 34_236_634,
    "pnasnet_a": 130_646,
    "efficientnet_b0": 2_912_089,
}

# Millions, as the paper prints them: converted, with biases instead of batch norms.
PRINTED = {
    "vgg16": 14.71,
    "resnet18": 11.17,
    "preact_resnet18": 11.17,
    "densenet121": 6.88,
    "resnext29_32x4d": 4.76,
    "mobilenet_v2": 2.28,
    "dpn92": 34.18,
    "pnasnet_a": 0.13,
    "senet18": 11.26,
    "efficientnet_b0": 2.91,
}


def count(name: str, **settings: int) -> int:
    with torch.device("meta"):
        model = models.build(name, **{"num_classes": 10, "in_channels": 3, **settings})
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", COUNTS)
def test_networks_have_the_published_number_of_parameters(name):
    assert count(name) == COUNTS[name]


@pytest.mark.parametrize("name", PRINTED)
def test_converted_networks_have_the_printed_number_of_parameters(name):
    with torch.device("meta"):
        model = models.build(name, num_classes=10, in_channels=3)
        # The published EfficientNet is whitened at its ends.
        converted = convert(model, select=("stem", "head") if name == "efficientnet_b0" else None)
    millions = sum(parameter.numel() for parameter in converted.parameters()) / 1e6
    # Two digits are printed; that of VGG-16, 14.7198, is not rounded but cut.
    assert abs(millions - PRINTED[name]) < (0.01 if name == "vgg16" else 0.005)


def densenet_count(growth: int) -> int:
    total, channels = 27 * 2 * growth, 2 * growth
    for depth in (6, 12, 24, 16):
        for _ in range(depth):  # batch norm, 1x1 to 4 growth, batch norm, 3x3 to growth
            total += 2 * channels + channels * 4 * growth + 2 * 4 * growth + 9 * 4 * growth * growth
            channels += growth
        if depth != 16:  # batch norm, 1x1 to half
            total += 2 * channels + channels * (channels // 2)
            channels //= 2
    return total + 2 * channels + 10 * channels + 10


def test_a_dense_network_has_the_parameters_of_its_definition():
    assert count("densenet121") == densenet_count(32)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # conv 6x25+6, 16x150+16; linear 400x120+120, 120x84+84, 84x10+10; batch norms 2 (6+16+120+84)
        ("lenet", 156 + 2416 + 48120 + 10164 + 850 + 2 * 226),
        # linear 784x128+128, twice 128x128+128, 128x10+10; three batch norms of 128
        ("linear", 784 * 10 + 10),
        ("conv", 784 * 10 + 10),
        ("mlp", 100480 + 2 * 16512 + 1290 + 3 * 256),
    ],
)
def test_small_networks_have_the_parameters_of_their_definition(name, expected):
    assert count(name, in_channels=1, image_size=28) == expected


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_networks_compute_what_those_of_torchvision_do(name):
    theirs = torchvision.models.get_model(name, weights=None, num_classes=10).eval()
    theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    with torch.device("meta"):
        ours = models.build(name, num_classes=10, in_channels=3).eval()
    # Both register their layers in the order of computation.
    own = ours.state_dict()
    values = list(theirs.state_dict().values())
    assert len(own) == len(values)
    ours.load_state_dict(dict(zip(own, values, strict=True)), assign=True)
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert_close(ours(x), theirs(x), size=64)
