"""Networks of torchvision: converted, trained for a step and folded; converted with function preserved."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import netdeconv as nd
from netdeconv.nn import WhitenedLayer
from netdeconv.surgery import ChannelAffine
from tolerances import FOLDED_FLOAT32, assert_within

torchvision = pytest.importorskip("torchvision")

SMALL = nd.Whitening(group_size=16)
# images of a batch, and whitened layers: all that can be. Other networks are in ``benchmarks.compatibility``
NETWORKS = {"mobilenet_v2": (4, 53), "googlenet": (4, 64), "lraspp_mobilenet_v3_large": (4, 66)}


def build(name: str) -> nn.Module:
    if name.startswith("lraspp"):
        return torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=5)
    if name == "small densenet":
        return torchvision.models.DenseNet(growth_rate=16, block_config=(2, 2), num_init_features=16, num_classes=10)
    arguments = {"init_weights": False} if name == "googlenet" else {}
    return torchvision.models.get_model(name, weights=None, num_classes=10, **arguments)


def output(result) -> Tensor:
    """Logits, where the network returns a mapping, or a tuple with auxiliary ones."""
    if isinstance(result, dict):
        return result["out"]
    return result if isinstance(result, Tensor) else result.logits


def layers_seen(model: nn.Module, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Input and output of every whitened layer, in copies: activations overwrite them."""
    seen = {}

    def hook(own: str):
        return lambda layer, args, result: seen.update({own: (args[0].clone(), result.clone())})

    layers = [(own, module) for own, module in model.named_modules() if isinstance(module, WhitenedLayer)]
    handles = [module.register_forward_hook(hook(own)) for own, module in layers]
    model(x)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("name", NETWORKS)
def test_convert_a_step_and_fold(name):
    size, num_layers = NETWORKS[name]
    model = nd.convert(build(name), SMALL, inplace=True)
    assert sum(isinstance(module, WhitenedLayer) for module in model.modules()) == num_layers
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    x = torch.randn(size, 3, 64, 64)
    first = next(model.parameters()).detach().clone()
    output(model(x)).square().mean().backward()
    assert torch.isfinite(nn.utils.clip_grad_norm_(model.parameters(), 1.0))
    optimizer.step()
    optimizer.zero_grad()
    assert not torch.equal(next(model.parameters()), first)
    with torch.no_grad():
        seen = layers_seen(model.eval(), x[:2])
        assert len(seen) >= num_layers - 6  # without the auxiliary heads of GoogLeNet, which only training calls
        nd.fold(model, inplace=True)
        assert not any(isinstance(module, WhitenedLayer) for module in model.modules())
        assert output(model(x[:2])).isfinite().all()
        # each layer on the input that it had: a deep network amplifies the rounding of its first layers
        for own, (given, expected) in seen.items():
            assert_within(model.get_submodule(own)(given), expected, FOLDED_FLOAT32)


# Norms of a DenseNet that no layer can absorb, as they read a concatenation: one a layer, one a transition, the last.
@pytest.mark.parametrize(("name", "affine"), [("resnet18", 0), ("small densenet", 4 + 1 + 1)])
def test_calibration_preserves_the_function(name, affine):
    model = build(name)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
    data = [torch.randn(2, 3, 64, 64)]
    with torch.no_grad():
        expected = output(model.eval()(data[0]))
        assert float(expected.std()) > 0
        converted = nd.convert(model, SMALL, calibration=data, inplace=True)
        assert sum(isinstance(module, ChannelAffine) for module in converted.modules()) == affine
        assert not any(isinstance(module, nn.BatchNorm2d) for module in converted.modules())
        assert_within(output(converted(data[0])), expected, FOLDED_FLOAT32)


def test_layers_whose_weights_a_parent_reads_keep_their_function_in_calibration():
    model = torchvision.models.swin_t(weights=None, num_classes=10).eval()
    data = [torch.randn(2, 3, 64, 64)]
    with torch.no_grad():
        converted = nd.convert(model, SMALL, calibration=data)
        assert type(converted.features[1][0].attn.qkv) is nn.Linear
        assert type(converted.features[1][0].mlp[0]) is nd.WhitenedLinear
        assert_within(converted(data[0]), model(data[0]), FOLDED_FLOAT32)


@pytest.mark.filterwarnings("ignore:.*sampled rows for:RuntimeWarning")  # of the last maps' few pixels
def test_a_detector_is_whitened_and_recalibrated_with_its_targets():
    detector = torchvision.models.get_model(
        "ssdlite320_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=3
    )
    images = [torch.rand(3, 96, 96) for _ in range(2)]
    targets = [{"boxes": torch.tensor([[10.0, 10.0, 60.0, 70.0]]), "labels": torch.tensor([1])}] * 2
    model = nd.convert(detector).train()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    sum(model(images, targets).values()).backward()
    before = {name: buffer.clone() for name, buffer in model.named_buffers() if name.endswith("running_whitening")}
    others = [torch.rand(3, 96, 96) for _ in range(2)]
    nd.recalibrate(model, [others], forward=lambda network, batch: network(batch, targets))
    assert len(before) == 82
    after = dict(model.named_buffers())
    assert not any(torch.equal(after[name], matrix) for name, matrix in before.items())
    with torch.no_grad():
        expected, folded = (network.eval()(images[:1])[0] for network in (model, nd.fold(model)))
    for name in expected:
        assert_within(folded[name].double(), expected[name].double(), FOLDED_FLOAT32)
