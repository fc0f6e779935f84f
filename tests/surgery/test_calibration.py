"""convert(calibration=...): the function is preserved, and the statistics are those of the batches."""

from __future__ import annotations

import copy
import logging
import warnings

import pytest
import torch
from torch import nn
from torch.nn.modules.conv import _ConvTransposeNd

import netdeconv as nd
from netdeconv.nn import WhitenedLayer
from netdeconv.surgery import CalibrationWarning, ChannelAffine
from surgery.networks import AfterActivation, Preactivation, Residual, batches, lived_in
from tolerances import FOLDED_FLOAT32, assert_close, assert_within

SETTINGS = [
    nd.Whitening(group_size=4),
    nd.Whitening(structure="channel", group_size=2),
    nd.Whitening(group_size=3),  # 8 channels: blocks filled up with zeros
]
# Weights are rounded to their dtype between D^-1 and D. The condition of D is at most 1.5^5 with five steps
# (the iteration's largest gain over its gain of 1), and a layer adds up to 72 terms: c eps 1.5^5 72 is 2.6e-4
# with c = 4, if all rounding errors had one sign. They do not: the bound for folded layers is kept here too.
CONDITION, TERMS = 1.5**5, 72
PRESERVED = FOLDED_FLOAT32


def count(model: nn.Module, kind: type[nn.Module]) -> int:
    return sum(type(module) is kind for module in model.modules())


@pytest.mark.parametrize("whitening", SETTINGS, ids=str)
def test_outputs_stay_and_norms_are_absorbed(whitening):
    model = lived_in(Residual())
    converted = nd.convert(model, whitening, calibration=batches())
    assert count(converted, ChannelAffine) == count(converted, nn.BatchNorm2d) == 0
    assert sum(isinstance(module, WhitenedLayer) for module in converted.modules()) == 6
    x = batches(1)[0]
    with torch.no_grad():
        assert_within(converted(x), model(x), PRESERVED)
    inside = converted.body[0]
    assert float((inside.statistics.running_whitening - torch.eye(inside.sampler.matrix_size)).abs().max()) > 0.1


def test_double_precision_is_exact_to_double_precision():
    model = lived_in(Residual()).double()
    data = [batch.double() for batch in batches()]
    converted = nd.convert(model, calibration=data)
    with torch.no_grad():
        assert_close(converted(data[0]), model(data[0]), condition=CONDITION, size=TERMS)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(3, 4, 3, bias=False),
        nn.Conv3d(3, 4, 2),
        nn.ConvTranspose1d(4, 6, 3, stride=2),
        nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2, bias=False),
        nn.ConvTranspose3d(4, 6, 2, groups=2),
        nn.Linear(3, 4),
    ],
    ids=str,
)
def test_every_kind_absorbs_its_norm(layer):
    transposed = isinstance(layer, _ConvTransposeNd)
    outputs = 6 if transposed else 4
    norm = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[layer.weight.dim()](outputs)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    nn.init.normal_(norm.bias)
    channels = 4 if transposed else 3
    data = [torch.randn(16, channels, *(5,) * (layer.weight.dim() - 2)) + 1 for _ in range(2)]
    model = nn.Sequential(layer, norm)
    model(data[0])
    model.eval()
    converted = nd.convert(model, nd.Whitening(group_size=2), calibration=data)
    assert type(converted[1]) is nn.Identity
    with torch.no_grad():
        assert_within(converted(data[1]), model(data[1]), PRESERVED)


def test_statistics_are_the_plain_average_over_batches():
    model = lived_in(Residual())
    data = batches(3)
    converted = nd.convert(model, nd.Whitening(group_size=3, momentum=0.9), calibration=data)
    stem = converted.stem[0]
    assert int(stem.statistics.num_batches_tracked) == 3
    assert stem.whitening.momentum == 0.9
    expected = torch.stack([_observed(batch) for batch in data]).mean(0)
    assert_close(stem.statistics.running_mean, expected, size=81)


def _observed(batch: torch.Tensor) -> torch.Tensor:
    layer = nd.WhitenedConv2d(3, 8, 3, padding=1, whitening=nd.Whitening(group_size=3))
    layer.observe(batch)
    return layer.statistics.running_mean


def test_a_norm_before_the_activation_becomes_a_scale_and_shift():
    model = lived_in(Preactivation())
    converted = nd.convert(model, nd.Whitening(group_size=6), calibration=batches())
    assert type(converted.bn1) is ChannelAffine  # its input is the shortcut's too
    assert type(converted.bn2) is nn.Identity
    x = batches(1)[0]
    with torch.no_grad():
        assert_within(converted(x), model(x), PRESERVED)
    converted.train()(x).sum().backward()
    assert converted.bn1.weight.grad is not None


def test_a_norm_after_an_in_place_activation_is_not_absorbed():
    model = lived_in(AfterActivation())
    converted = nd.convert(model, calibration=batches())
    assert type(converted.bn) is ChannelAffine
    x = batches(1)[0]
    with torch.no_grad():
        assert_within(converted(x), model(x), PRESERVED)


class Outputs(nn.Module):
    """Returns the convolution's output beside the normalised one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, image):
        features = self.conv(image)
        return {"features": features, "out": [self.bn(features)]}


def test_an_output_that_is_returned_too_is_not_absorbed():
    model = lived_in(Outputs())
    converted = nd.convert(model, calibration=[{"image": batch} for batch in batches()])
    assert type(converted.bn) is ChannelAffine
    x = batches(1)[0]
    with torch.no_grad():
        ours, theirs = converted(x), model(x)
    assert_within(ours["features"], theirs["features"], PRESERVED)
    assert_within(ours["out"][0], theirs["out"][0], PRESERVED)


def test_a_linear_layer_over_a_sequence_does_not_absorb_a_norm_over_positions():
    model = lived_in(nn.Sequential(nn.Flatten(2), nn.Linear(81, 3), nn.BatchNorm1d(3)))
    converted = nd.convert(model, calibration=batches())
    assert type(converted[2]) is ChannelAffine


def test_a_convolution_with_two_norms_absorbs_neither():
    conv = nn.Conv2d(3, 3, 1)
    model = nn.Sequential(conv, nn.BatchNorm2d(3), conv, nn.BatchNorm2d(3))
    model = lived_in(model)
    converted = nd.convert(model, calibration=batches())
    assert count(converted, ChannelAffine) == 2
    x = batches(1)[0]
    with torch.no_grad():
        assert_within(converted(x), model(x), PRESERVED)


def test_what_is_not_affine_or_not_reached_stays(caplog):
    model = nn.ModuleDict(
        {
            "a": nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)),
            "b": nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
            "c": nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)),
        }
    )
    model.forward = lambda x: model["b"](model["a"](x))
    copied = copy.copy(model)
    with caplog.at_level(logging.INFO, logger="netdeconv.surgery"):
        converted = nd.convert(copied.eval(), calibration=batches(), inplace=True)
    assert [type(module) for part in "abc" for module in converted[part]] == [
        nd.WhitenedConv2d,
        nn.GroupNorm,
        nd.WhitenedConv2d,
        nn.BatchNorm2d,
        nn.Conv2d,
        nn.BatchNorm2d,
    ]
    skipped = [message for message in caplog.messages if "skipped" in message]
    assert [message.split(":")[0] for message in skipped] == ["a.1", "b.1", "c.1", "c.0"]
    assert "a group norm is not affine" in skipped[0]
    assert "no running statistics" in skipped[1]
    assert skipped[2] == "c.1: skipped, no calibration batch reached it"


def test_the_original_and_its_tied_weights_are_untouched():
    model = lived_in(Residual())
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    nd.convert(model, calibration=batches())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    tied = nn.ModuleDict({"table": nn.Embedding(9, 4), "out": nn.Linear(4, 9, bias=False)})
    tied["out"].weight = tied["table"].weight
    tied.forward = lambda x: tied["out"](tied["table"](x))
    before = tied["table"].weight.detach().clone()
    nd.convert(tied, calibration=[torch.arange(9)], inplace=True)
    assert type(tied["out"]) is nd.WhitenedLinear
    assert torch.equal(tied["table"].weight, before)


def test_modes_return_and_dropout_draws_nothing():
    model = lived_in(Residual()).train()
    model.stem.eval()
    state = torch.get_rng_state()
    data = batches()
    after_data = torch.get_rng_state()
    assert not torch.equal(state, after_data)
    converted = nd.convert(model, calibration=data)
    assert torch.equal(torch.get_rng_state(), after_data)
    assert [converted.stem[0].training, converted.body[0].training, converted.dropout.training] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    "wrap",
    [lambda x: x, lambda x: (x, 1), lambda x: [x, None], lambda x: ((x, 2), 3), lambda x: {"input": x}],
)
def test_batches_come_in_several_forms(wrap):
    model = lived_in(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    generator = (wrap(batch) for batch in batches())
    converted = nd.convert(model, calibration=generator)
    assert int(converted[0].statistics.num_batches_tracked) == 3


def test_bad_batches_are_refused_and_nothing_is_changed():
    model = lived_in(Residual())
    with pytest.raises(ValueError, match="there are no batches"):
        nd.convert(model, calibration=[], inplace=True)
    with pytest.raises(TypeError, match=r"for a single one pass \[batch\], not a Tensor"):
        nd.convert(model, calibration=torch.randn(4, 3, 9, 9), inplace=True)
    with pytest.raises(TypeError, match="a batch must be a tensor"):
        nd.convert(model, calibration=[3], inplace=True)
    with pytest.raises(ValueError, match="calibrating hidden: whitening needs at least two sampled rows"):
        nd.convert(model, nd.Whitening(group_size=6), calibration=[torch.randn(1, 3, 9, 9)], inplace=True)
    assert count(model, nn.BatchNorm2d) == 4
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


class Bypass(nn.Module):
    """Calls its layer, and reads the weight once more past it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x):
        return nn.functional.linear(self.layer(x), self.layer.weight)


def test_a_function_that_cannot_be_preserved_is_reported():
    data = [torch.randn(32, 6) * torch.arange(1, 7) for _ in range(2)]
    with pytest.warns(CalibrationWarning, match="does not reproduce the original: .* differ by"):
        nd.convert(Bypass(), calibration=data)


def test_folding_a_calibrated_model_gives_the_first_function_back():
    model = lived_in(Residual())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folded = nd.fold(nd.convert(model, calibration=batches()))
    x = batches(1)[0]
    with torch.no_grad():
        assert_within(folded(x), model(x), PRESERVED)
