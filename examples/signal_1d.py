"""A signal in one dimension: a digit's 64 pixels, one after the other.

python examples/signal_1d.py
"""

from __future__ import annotations

from itertools import islice

import torch
from digits import datasets
from plain_torch import accuracy, train
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import netdeconv as nd


def network() -> nn.Module:
    """Return a small network of 1-D convolutions with batch norm."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 32)):
        layers += [nn.Conv1d(inputs, outputs, 9, stride=2, padding=4, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 16, 10))


def main() -> float:
    """Train, and return the accuracy."""
    torch.manual_seed(0)
    signals = [TensorDataset(part.tensors[0].flatten(2), part.tensors[1]) for part in datasets(size=8)]
    training, test = (DataLoader(part, batch_size=64, shuffle=True) for part in signals)
    model = nd.convert(network())
    assert isinstance(model[0], nd.WhitenedConv1d)
    train(model, training, epochs=1)
    nd.recalibrate(model, (batch for batch, _ in islice(training, 5)))
    print(f"accuracy {accuracy(model, test):.3f}")
    return accuracy(model, test)


if __name__ == "__main__":
    main()
