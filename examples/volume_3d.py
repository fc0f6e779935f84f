"""A volume: digits as bars in space, with a network of MONAI where it is installed, else three layers of torch.

python examples/volume_3d.py
"""

from __future__ import annotations

import torch
from digits import datasets
from plain_torch import accuracy, train
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import netdeconv as nd


def network() -> nn.Module:
    """Return a 3-D network with batch norm."""
    try:
        from monai.networks.nets import Classifier
    except ModuleNotFoundError:
        layers: list[nn.Module] = []
        for inputs, outputs in ((1, 8), (8, 16)):
            layers += [nn.Conv3d(inputs, outputs, 3, stride=2, padding=1, bias=False), nn.BatchNorm3d(outputs)]
            layers += [nn.ReLU()]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 8, 10))
    return Classifier((1, 8, 8, 8), 10, channels=(8, 16), strides=(2, 2), num_res_units=2, act="relu", norm="batch")


def main() -> float:
    """Train, and return the accuracy."""
    torch.manual_seed(0)
    volumes = [
        TensorDataset(part.tensors[0][:, :, None].repeat(1, 1, 8, 1, 1), part.tensors[1]) for part in datasets(size=8)
    ]
    training, test = (DataLoader(part, batch_size=64, shuffle=True) for part in volumes)
    model = nd.convert(network())
    assert any(isinstance(module, nd.WhitenedConv3d) for module in model.modules())
    train(model, training, epochs=2, lr=0.05)
    nd.recalibrate(model, (batch for batch, _ in training))
    found = accuracy(model, test)
    print(f"accuracy {found:.3f}")
    return found


if __name__ == "__main__":
    main()
