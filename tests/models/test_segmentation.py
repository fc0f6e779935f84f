"""Segmentation networks: torchvision's by name, and ResNet-18's of its parts; conversion reaches everything."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torchvision.models import ResNet18_Weights, resnet50
from torchvision.models import segmentation as zoo

import netdeconv as nd
from netdeconv.models.entry import split_name
from netdeconv.models.segmentation import KIND, SEGMENTATION_NETWORKS, _dilate, build_segmentation

PUBLISHED = {
    "fcn_resnet50": zoo.FCN_ResNet50_Weights,
    "fcn_resnet101": zoo.FCN_ResNet101_Weights,
    "deeplabv3_resnet50": zoo.DeepLabV3_ResNet50_Weights,
    "deeplabv3_resnet101": zoo.DeepLabV3_ResNet101_Weights,
    "lraspp_mobilenet_v3_large": zoo.LRASPP_MobileNet_V3_Large_Weights,
}


def on_meta(name: str, **settings) -> nn.Module:
    """A network without memory: its structure is all that is looked at."""
    with torch.device("meta"):
        return build_segmentation(name, **{"num_classes": 21, **settings})


def convolutions(model: nn.Module) -> list[tuple]:
    return [
        (name, module.kernel_size, module.stride, module.padding, module.dilation)
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d)
    ]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_have_the_published_number_of_parameters(name):
    network = on_meta(name)
    assert sum(each.numel() for each in network.parameters()) == PUBLISHED[name].DEFAULT.meta["num_params"]


def test_every_network_is_covered():
    assert {*PUBLISHED, "fcn_resnet18", "deeplabv3_resnet18"} == {*SEGMENTATION_NETWORKS}


@pytest.mark.parametrize(("stride", "replaced"), [(32, None), (16, (False, False, True)), (8, (False, True, True))])
def test_strides_are_traded_for_dilation_as_torchvision_does_it(stride, replaced):
    with torch.device("meta"):
        ours = resnet50()
        _dilate(ours, stride)
        assert convolutions(ours) == convolutions(resnet50(replace_stride_with_dilation=replaced))


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("name", ["fcn_resnet18", "deeplabv3_resnet18"])
def test_resnet18_has_the_asked_output_stride(name, stride):
    network = on_meta(name, num_classes=5, width=0.125, output_stride=stride)
    seen = {}
    network.backbone.register_forward_hook(lambda module, inputs, outputs: seen.update(outputs))
    outputs = network.eval()(torch.empty(1, 3, 64, 96, device="meta"))
    assert seen["out"].shape == (1, 64, 64 // stride, 96 // stride)
    assert seen["aux"].shape[-2:] == (64 // min(stride, 16), 96 // min(stride, 16))
    assert {key: tuple(value.shape) for key, value in outputs.items()} == {
        "out": (1, 5, 64, 96),
        "aux": (1, 5, 64, 96),
    }


def test_resnet18_is_torchvisions_and_takes_its_weights(monkeypatch):
    # weights of ImageNet cannot be fetched here: any others of the same shapes show that they arrive
    from torchvision.models import resnet18

    torch.manual_seed(1)
    weights = resnet18().state_dict()
    monkeypatch.setattr(type(ResNet18_Weights.DEFAULT), "get_state_dict", lambda self, progress: weights)
    backbone = build_segmentation("fcn_resnet18", num_classes=3, pretrained_backbone=True).backbone.state_dict()
    assert {key for key in weights if not key.startswith("fc.")} == {*backbone}
    assert all(torch.equal(value, weights[key]) for key, value in backbone.items())


def test_the_usual_output_stride_is_16_without_an_auxiliary_head_if_not_asked_for():
    network = on_meta("fcn_resnet18", auxiliary=False)
    assert network.aux_classifier is None
    assert network.backbone.layer4[1].conv2.dilation == (2, 2)
    assert network.backbone.layer3[1].conv2.dilation == (1, 1)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("fcn_resnet51", {}, "unknown segmentation network 'fcn_resnet51'; did you mean 'fcn_resnet"),
        ("fcn_resnet50", {"output_stride": 16}, r"output stride of fcn_resnet50 must be one of \(8,\), got 16"),
        ("fcn_resnet50", {"width": 0.5}, "width of fcn_resnet50 must be 1, got 0.5"),
        ("fcn_resnet18", {"width": 0}, "width of fcn_resnet18 must be positive, got 0"),
        ("fcn_resnet18", {"width": 0.5, "pretrained_backbone": True}, "backbone are for width 1, not 0.5"),
        ("fcn_resnet18", {"num_classes": 0}, "num_classes must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_built_is_refused(name, settings, message):
    with pytest.raises(ValueError, match=message):
        build_segmentation(name, **{"num_classes": 2, **settings})


@pytest.mark.parametrize("name", SEGMENTATION_NETWORKS)
def test_a_d_at_the_end_means_converted(name):
    assert split_name(KIND, f"{name}d", SEGMENTATION_NETWORKS) == (name, True)
    assert split_name(KIND, name, SEGMENTATION_NETWORKS) == (name, False)


def test_a_name_that_is_none_is_refused_with_or_without_d():
    with pytest.raises(ValueError, match="did you mean 'fcn_resnet50'"):
        split_name(KIND, "fcn_resnet5d", SEGMENTATION_NETWORKS)


# The large ones have the heads of ResNet-18's.
CONVERSIONS = [
    *[("fcn_resnet18", "full"), ("deeplabv3_resnet18", "channel"), ("deeplabv3_resnet50", "full")],
    *[("lraspp_mobilenet_v3_large", "full"), ("lraspp_mobilenet_v3_large", "channel")],
]


@pytest.mark.parametrize(("name", "structure"), CONVERSIONS)
def test_conversion_reaches_backbone_head_and_auxiliary_head(name, structure):
    network = on_meta(name)
    before = convolutions(network)
    converted = nd.convert(network, nd.Whitening(structure=structure, group_size=16), inplace=True)
    assert not [module for module in converted.modules() if isinstance(module, _BatchNorm)]
    plain = [
        key
        for key, module in converted.named_modules()
        if isinstance(module, (_ConvNd, nn.Linear)) and not isinstance(module, nd.nn.layer.WhitenedLayer)
    ]
    assert not plain
    assert convolutions(converted) == before  # dilation, too


def test_stems_are_data():
    assert SEGMENTATION_NETWORKS["deeplabv3_resnet18"].stem_steps == 15
    assert SEGMENTATION_NETWORKS["lraspp_mobilenet_v3_large"].stem_steps == 10


# A pooled branch sees one pixel an image: a batch of two gives its 1x1 convolution fewer rows than it has features.


@pytest.mark.parametrize("channels", [16, 64, 256])
@pytest.mark.parametrize("spread", [1.0, 1e-4, 0.0])
def test_fewer_rows_than_features_are_amplified_no_more_than_five_steps_can(channels, spread):
    torch.manual_seed(2)
    layer = nd.WhitenedConv2d(channels, 8, 1)
    x = torch.rand(1, channels, 1, 1) + spread * torch.randn(2, channels, 1, 1)
    layer(x).square().sum().backward()
    rows, group = layer.sampled_rows(x)[0], layer.sampler.matrix_size
    assert rows.shape == (2 * channels // group, group)
    covariance = torch.cov(rows.T, correction=0)
    covariance = covariance.lerp(covariance.diag().diag(), group / (group + len(rows))) + 1e-5 * torch.eye(group)
    # the coupled iteration multiplies by at most 3/2 in every step
    bound = 1.5**5 / covariance.norm().sqrt()
    largest = torch.linalg.eigvalsh(layer.statistics.running_whitening[0]).max()
    assert largest <= 1.01 * bound
    assert layer.weight.grad.isfinite().all()


def halves(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth noisy images whose right part is of another class, and brighter."""
    rough = torch.randn(count, 3, 4, 4, generator=generator)
    images = nn.functional.interpolate(rough, size=(48, 48), mode="bilinear")
    images = images + 0.5 * torch.randn(images.shape, generator=generator)
    targets = torch.zeros(count, 48, 48, dtype=torch.int64)
    for number, edge in enumerate(torch.randint(12, 36, (count,), generator=generator).tolist()):
        targets[number, :, edge:] = 2
        images[number, 0, :, edge:] += 2
    return images, targets


# Six seeds reach 6 to 14 with channels, as batch norm does, and 55 to 102 with patches: two images of 3x3 maps are few
# rows for 144 features. Without shrinkage they reach 2,144, with an exact inverse root in place of five steps 1,367.
@pytest.mark.parametrize(("structure", "bound"), [("channel", 20), ("full", 200)])
def test_a_pooled_branch_does_not_blow_up_at_batch_two(structure, bound):
    torch.manual_seed(3)
    generator = torch.Generator().manual_seed(4)
    network = build_segmentation("deeplabv3_resnet18", num_classes=4, width=0.125, auxiliary=False)
    network = nd.convert(network, nd.Whitening(structure=structure, group_size=16))
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
    for _ in range(6):
        images, targets = halves(2, generator)
        loss = nn.functional.cross_entropy(network(images)["out"], targets)
        assert loss.isfinite()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # so early, running averages are of weights that are long gone
    nd.recalibrate(network, [halves(2, generator)[0] for _ in range(6)])
    seen = []
    network.classifier[0].convs[4].register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        scores = network.eval()(halves(8, generator)[0])["out"]
    assert scores.isfinite().all()
    assert seen[0].abs().max() < bound
