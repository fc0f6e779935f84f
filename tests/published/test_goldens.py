"""Oracle: the numbers of the authors' layers, and of a small network's first steps.

``goldens.json`` has, of every result of two training steps and an evaluation, six projections and the norm. They are

* ``authors``: results of the authors' layers, for their inputs, which are in ``goldens.npz``; of some cases only.
* ``drawn``: results of ``layout="reference"`` of netdeconv at 7c809aa, which agreed with the authors' layers to 1e-9,
  for inputs that are drawn here; of all fifteen cases, and of four that the authors' set lacks: strided and grouped 1x1
  kernels, blocks inside groups, a sample that does not divide the rows.

Where the whole set of the authors' numbers lies beside the repository, it is checked too, entry by entry.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from netdeconv.published import ChannelDeconv, Delinear, FastDeconv
from tolerances import GOLDEN

HERE = Path(__file__).parent
WHOLE = HERE.parents[2] / "shared" / "goldens"


def cases(file: Path) -> dict:
    """What each case is; nothing where the file is not there."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


CASES = cases(HERE / "goldens.json")
WHOLE_CASES = cases(WHOLE / "reference_layers.json")
KINDS = {"conv": FastDeconv, "linear": Delinear, "channel": ChannelDeconv}
Source = Callable[[str, tuple[int, ...]], Tensor]


def run(case: Mapping, tensor: Source, parts: set[str]) -> dict[str, np.ndarray]:
    """Results of the training steps and the evaluation in ``parts``, by the names of the golden files."""
    layer = KINDS[case["kind"]](**case["args"]).double()
    for name, parameter in layer.named_parameters():
        parameter.data = tensor(f"param.{name}", tuple(parameter.shape))
    results: dict[str, Tensor] = {}
    for step in sorted(parts - {"eval"}):
        x = tensor(f"{step}.input", tuple(case["input_shape"])).requires_grad_()
        layer.zero_grad()
        y = layer(x)
        y.backward(tensor(f"{step}.cotangent", tuple(y.shape)))
        results |= {f"{step}.output": y, f"{step}.grad_input": x.grad}
        results |= {f"{step}.grad_{name}": parameter.grad for name, parameter in layer.named_parameters()}
        results |= {f"{step}.buffer_{name}": buffer.clone() for name, buffer in layer.named_buffers()}
    if "eval" in parts:
        results["eval.output"] = layer.eval()(tensor("eval.input", tuple(case["input_shape"])))
    return {name: result.detach().double().numpy() for name, result in results.items()}


def drawn(what: str, shape: tuple[int, ...]) -> Tensor:
    """A legacy generator of numpy, whose numbers never change."""
    seeds = {"param.weight": 100, "param.bias": 101, "eval.input": 20}
    seed = seeds[what] if what in seeds else int(what[4]) + (10 if what.endswith("cotangent") else 0)
    return torch.tensor(np.random.RandomState(seed).random_sample(shape) - 0.4)


def digest(values: np.ndarray) -> np.ndarray:
    flat = values.ravel()
    places = np.arange(flat.size)
    return np.array([*(np.sum(flat * np.cos((j + 1) * 0.7 * places + j)) for j in range(6)), np.linalg.norm(flat)])


def assert_digests(results: Mapping[str, np.ndarray], wanted: Mapping[str, list[float]]) -> None:
    """All digests agree, relative to the norm."""
    assert wanted.keys() <= results.keys()
    errors = {name: np.abs(digest(results[name]) - numbers).max() for name, numbers in wanted.items()}
    wrong = {name: error for name, error in errors.items() if not error <= GOLDEN * wanted[name][-1]}
    assert not wrong


def test_all_cases_are_here():
    assert len(CASES) == 19
    assert sum("authors" in case for case in CASES.values()) >= 8
    for case in CASES.values():
        assert {name.split(".")[0] for name in case["drawn"]} == {"step0", "step1", "eval"}
        assert len(case["drawn"]) >= 9


@pytest.mark.parametrize("name", CASES)
def test_every_case_for_drawn_inputs(name):
    assert_digests(run(CASES[name], drawn, {"step0", "step1", "eval"}), CASES[name]["drawn"])


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "authors" in case])
def test_the_authors_inputs_give_the_authors_numbers(name):
    wanted = CASES[name]["authors"]
    with np.load(HERE / "goldens.npz") as arrays:
        results = run(
            CASES[name], lambda what, _: torch.tensor(arrays[f"{name}/{what}"]), {key.split(".")[0] for key in wanted}
        )
    assert_digests(results, wanted)


@pytest.mark.skipif(not WHOLE_CASES, reason="the whole set of golden numbers is not beside this checkout")
@pytest.mark.parametrize("name", WHOLE_CASES)
def test_the_whole_set(name):
    assert {key: CASES[name][key] for key in WHOLE_CASES[name]} == WHOLE_CASES[name]
    with np.load(WHOLE / "reference_layers.npz") as arrays:
        own = {key.partition("/")[2]: arrays[key] for key in arrays.files if key.startswith(f"{name}/")}
    results = run(WHOLE_CASES[name], lambda what, _: torch.tensor(own[what]), {"step0", "step1", "eval"})
    given = {what for what in own if what.startswith("param.") or what.endswith((".input", ".cotangent"))}
    assert results.keys() == own.keys() - given
    for what, result in results.items():
        error = np.abs(result.reshape(own[what].shape) - own[what]).max()
        assert error <= GOLDEN * np.abs(own[what]).max(), what


def determined(shape: tuple[int, ...], seed: int) -> Tensor:
    places = np.arange(int(np.prod(shape)))
    return torch.tensor(np.cos(places * (1.3 + seed * 0.37) + seed * places**0.5)).view(shape)


def test_twenty_steps_of_a_small_network():
    """A frozen stem, grouped, strided and 1x1 layers, blocks of a linear layer; the last number is an evaluation."""
    known = json.loads((HERE / "curve.json").read_text(encoding="utf-8"))["losses"]
    network = nn.Sequential(
        FastDeconv(3, 8, 3, padding=1, n_iter=15, freeze=True, freeze_iter=1),
        nn.ReLU(),
        FastDeconv(8, 8, 3, stride=2, groups=2),
        nn.ReLU(),
        FastDeconv(8, 12, 1, block=4, sampling_stride=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        Delinear(48, 4, block=16),
    ).double()
    for index, parameter in enumerate(network.parameters()):
        parameter.data = determined(tuple(parameter.shape), index) * 0.3
    optimizer = torch.optim.SGD(network.parameters(), 0.02, momentum=0.9)
    labels, losses = torch.arange(12) % 4, []
    for step in range(20):
        images = determined((12, 3, 9, 9), step % 5)
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    losses.append(nn.functional.cross_entropy(network.eval()(images), labels).item())
    assert losses == pytest.approx(known, rel=1e-8)
