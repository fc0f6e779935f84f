"""Numbers of the authors' layers, and of a small network's first steps.

``goldens.npz`` has inputs, cotangents and weights as they are, and of every result six projections and the sum of
squares; ``goldens.json`` says where each case comes from. The whole set is read where ../shared holds it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from netdeconv.published import ChannelDeconv, Delinear, FastDeconv

HERE = Path(__file__).parent
WHOLE = Path(__file__).resolve().parents[3] / "shared" / "goldens"
CASES = json.loads((HERE / "goldens.json").read_text())
KINDS = {"conv": FastDeconv, "linear": Delinear, "channel": ChannelDeconv}
PROMISED = 1e-9


def projected(values: np.ndarray) -> np.ndarray:
    flat = np.asarray(values, dtype=np.float64).ravel()
    places = np.arange(flat.size)
    sums = [np.sum(flat * np.cos((j + 1) * 0.7 * places + j)) for j in range(6)]
    return np.array([*sums, np.sum(flat * flat)])


class Case:
    """One layer and what is known of it."""

    def __init__(self, name: str, settings: dict, numbers: np.lib.npyio.NpzFile, *, whole: bool) -> None:
        self.name, self.numbers, self.whole, self.checked = name, numbers, whole, 0
        self.layer = KINDS[settings["kind"]](**settings["args"]).double()
        for parameter, tensor in self.layer.named_parameters():
            tensor.data = self.tensor(f"param.{parameter}")

    def tensor(self, what: str) -> torch.Tensor:
        return torch.tensor(self.numbers[f"{self.name}/{what}"])

    def check(self, what: str, actual: torch.Tensor) -> None:
        if f"{self.name}/{what}" not in self.numbers.files:
            return
        wanted = self.numbers[f"{self.name}/{what}"]
        found = actual.detach().double().numpy()
        found = found.reshape(wanted.shape) if self.whole else projected(found)
        scale = np.abs(wanted).max() if self.whole else max(1.0, np.sqrt(abs(wanted[-1])), abs(wanted[-1]))
        assert np.abs(found - wanted).max() <= PROMISED * max(scale, 1e-30), what
        self.checked += 1

    def run(self, steps: int) -> None:
        for step in range(steps):
            x = self.tensor(f"step{step}.input").requires_grad_()
            self.layer.zero_grad()
            y = self.layer(x)
            y.backward(self.tensor(f"step{step}.cotangent"))
            self.check(f"step{step}.output", y)
            self.check(f"step{step}.grad_input", x.grad)
            for name, parameter in self.layer.named_parameters():
                self.check(f"step{step}.grad_{name}", parameter.grad)
            for name, buffer in self.layer.named_buffers():
                self.check(f"step{step}.buffer_{name}", buffer)
        if f"{self.name}/eval.input" in self.numbers.files and steps == 2:
            self.check("eval.output", self.layer.eval()(self.tensor("eval.input")))


@pytest.mark.parametrize("name", CASES)
def test_every_number_is_the_published_one(name):
    with np.load(HERE / "goldens.npz") as numbers:
        case = Case(name, CASES[name], numbers, whole=False)
        case.run(CASES[name]["steps"])
    assert case.checked >= 4


@pytest.mark.skipif(not WHOLE.is_dir(), reason="the whole set of golden numbers is not beside this checkout")
def test_the_whole_set():
    settings = json.loads((WHOLE / "reference_layers.json").read_text())
    with np.load(WHOLE / "reference_layers.npz") as numbers:
        for name, own in settings.items():
            case = Case(name, own, numbers, whole=True)
            case.run(2)
            assert case.checked >= 9


def determined(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    places = np.arange(int(np.prod(shape)))
    return torch.tensor(np.cos(places * (1.3 + seed * 0.37) + seed * places**0.5)).view(shape)


def test_twenty_steps_of_a_small_network():
    """A frozen stem, grouped, strided and 1x1 layers, blocks of a linear layer; the last number is an evaluation."""
    known = json.loads((HERE / "curve.json").read_text())["losses"]
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
