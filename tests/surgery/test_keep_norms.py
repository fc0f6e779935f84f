"""A fold with the keys of the original class: loaded into it, it computes what the converted network does."""

from __future__ import annotations

import copy
import io

import pytest
import torch
import torchvision
from torch import nn

import netdeconv as nd
from netdeconv.surgery import ChannelAffine
from surgery.networks import Preactivation, Residual, batches, lived_in
from tolerances import FOLDED_FLOAT32, assert_within

SMALL = nd.Whitening(group_size=8)


def trained(model: nn.Module, data: list[torch.Tensor]) -> nn.Module:
    """The model with random biases after passes in training mode."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.5)
    for batch in data:
        model.train()(batch)
    return model.eval()


def assert_loads(model: nn.Module, original: nn.Module, x: torch.Tensor) -> None:
    folded = nd.fold(model, keep_norms=x)
    file = io.BytesIO()  # as save_pretrained and from_pretrained do
    torch.save(folded.state_dict(), file)
    file.seek(0)
    again = copy.deepcopy(original).eval()
    again.load_state_dict(torch.load(file, weights_only=True), strict=True)
    with torch.no_grad():
        assert_within(again(x), model(x), FOLDED_FLOAT32)
        assert_within(folded(x), model(x), FOLDED_FLOAT32)


@pytest.mark.parametrize("calibrated", [False, True])
def test_the_original_class_loads_it(calibrated):
    original, data = lived_in(Residual()), batches()
    model = nd.convert(original, SMALL, calibration=data if calibrated else None)
    assert [*nd.convert(original, SMALL).state_dict()] == [*model.state_dict()]
    assert_loads(trained(model, data), original, data[0])


def test_torchvisions_resnet_loads_it():
    original, data = torchvision.models.resnet18(num_classes=5), [torch.randn(4, 3, 32, 32) for _ in range(2)]
    assert_loads(trained(nd.convert(original, SMALL), data), original, data[0])


def test_a_bias_that_no_norm_can_hold_is_refused():
    original, data = lived_in(Preactivation()), batches()
    model = nd.convert(original, SMALL, calibration=data)
    assert sum(isinstance(module, ChannelAffine) for module in model.modules()) == 1
    with pytest.raises(ValueError, match="conv2: the original had no bias there"):
        nd.fold(model, keep_norms=data[0])


class NormFirst(nn.Module):
    """A norm that reads what a shortcut reads, too: calibration leaves scale and shift in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.conv = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 1)

    def forward(self, x):
        x = self.stem(x)
        return x + self.conv(torch.relu(self.norm(x)))


def test_scale_and_shift_go_back_into_their_norm():
    original, data = lived_in(NormFirst()), batches()
    model = nd.convert(original, SMALL, calibration=data)
    assert isinstance(model.norm, ChannelAffine)
    assert_loads(model, original, data[0])


def test_group_norm_cannot_come_back():
    model = nd.convert(nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4)), SMALL)
    with pytest.raises(ValueError, match="1: GroupNorm cannot stay"):
        nd.fold(model, keep_norms=torch.randn(2, 3, 5, 5))


def test_timms_reparameterisation_goes_on_from_it():
    timm = pytest.importorskip("timm")
    from timm.utils import reparameterize_model

    original = timm.create_model("repvgg_a0", num_classes=5)
    data = [torch.randn(2, 3, 32, 32) for _ in range(2)]
    model = trained(nd.convert(original, nd.Whitening(structure="channel")), data)
    assert_loads(model, original, data[0])
    with torch.no_grad():
        fused = reparameterize_model(nd.fold(model, keep_norms=data[0]))
        assert sum(1 for _ in fused.modules()) < sum(1 for _ in original.modules())
        assert_within(fused(data[0]), model(data[0]), 100 * FOLDED_FLOAT32)
