"""Models and batches that conversion, calibration and folding refuse, each with what to do."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import netdeconv as nd
from surgery.networks import batches

SMALL = nd.Whitening(group_size=4)


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))


class NoCopy(nn.Sequential):
    """As many wrapped models are."""

    def __deepcopy__(self, memo):
        raise RuntimeError("no deepcopy")


class FullyShardedDataParallel(nn.Sequential):
    """Torch's, in name."""


def sharded() -> nn.Module:
    model = network()
    model[0].weight.device_mesh = None  # what a DTensor has, and a tensor has not
    return model


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.parametrize(
    ("model", "remedy"),
    [
        (lambda: nn.DataParallel(network()), "operate on model.module"),
        (lambda: torch.jit.script(network()), "script what fold returns"),
        (lambda: nn.Sequential(nn.LazyLinear(3)), "0.weight has no shape yet: run one batch"),
        (lambda: NoCopy(*network()), "no deepcopy.*inplace=True"),
        (sharded, "the model is sharded: .*get_model_state_dict"),
        (lambda: nn.Sequential(FullyShardedDataParallel(*network())), "the model is sharded"),
    ],
)
@pytest.mark.parametrize("operate", [nd.convert, nd.fold])
def test_wrapped_models(model, remedy, operate):
    with pytest.raises(ValueError, match=remedy):
        operate(model())


def test_meta_tensors_where_values_are_needed():
    model = network().to("meta")
    converted = nd.convert(model)  # shapes are enough
    for operate in (
        lambda: nd.convert(model, calibration=batches()),
        lambda: nd.fold(converted),
        lambda: nd.recalibrate(converted, batches()),
    ):
        with pytest.raises(ValueError, match=r"0\.weight is on the meta device.*load a state first"):
            operate()


def test_a_batch_on_which_the_forward_fails_is_named():
    data = [{"image": batches(1)[0]}, {"picture": None}]
    with pytest.raises(ValueError, match=r"fails on calibration batch 1 \(KeyError: 'image'\).*forward="):
        nd.convert(network(), SMALL, calibration=data, forward=lambda net, batch: net(batch["image"]))


def test_tied_weights_are_refused_in_calibration_alone():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    with pytest.raises(ValueError, match="weight of '0' and '1' is one parameter"):
        nd.convert(model, SMALL, calibration=[torch.randn(8, 4)])
    converted = nd.convert(model, SMALL)
    assert converted[0].weight is converted[1].weight


def test_calibration_runs_the_model_as_it_is_told():
    data = [{"image": batch, "targets": [1, 2]} for batch in batches()]
    model = network().eval()
    converted = nd.convert(model, SMALL, calibration=data, forward=lambda net, batch: net(batch["image"]) * 2)
    assert int(converted[0].statistics.num_batches_tracked) == len(data)
    with torch.no_grad():
        torch.testing.assert_close(converted(data[0]["image"]), model(data[0]["image"]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "compute", [nn.utils.parametrizations.weight_norm, lambda layer: prune.l1_unstructured(layer, "weight", 0.5)]
)
@pytest.mark.parametrize("inplace", [False, True])
def test_whitened_layers_whose_weight_is_computed_are_not_folded(compute, inplace):
    model = nn.Sequential(nd.WhitenedLinear(4, 2))
    compute(model[0])
    with pytest.raises(ValueError, match="'0': its weight is parametrized: remove"):
        nd.fold(model, inplace=inplace)


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning", "ignore:.*:DeprecationWarning")
def test_tools_that_need_a_folded_model_say_so(tmp_path):
    model, file = nd.convert(nn.Sequential(nn.Linear(4, 2))).eval(), tmp_path / "model.onnx"
    for operate in (
        lambda net: torch.jit.script(net),
        lambda net: torch.fx.symbolic_trace(net),
        lambda net: torch.onnx.export(net, (torch.randn(3, 4),), file, dynamo=False),
    ):
        with pytest.raises(TypeError, match="fold the model first"):
            operate(model)
    assert isinstance(torch.fx.symbolic_trace(nd.fold(model)), torch.fx.GraphModule)
    assert isinstance(torch.jit.script(nd.fold(model)), torch.jit.ScriptModule)
