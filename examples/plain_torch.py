"""Plain torch: convert, train, recalibrate, evaluate, fold.

python examples/plain_torch.py
"""

from __future__ import annotations

import torch
from digits import datasets
from torch import nn
from torch.utils.data import DataLoader

import netdeconv as nd


def network() -> nn.Module:
    """Return a small network with batch norm."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 4, 10))


def train(model: nn.Module, loader: DataLoader, *, epochs: int = 2, lr: float = 0.1) -> None:
    """Minimise the cross entropy with SGD and a rate that falls to zero."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    model.train()
    for _ in range(epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def accuracy(model: nn.Module, loader: DataLoader) -> float:
    """Return the share of right answers."""
    model.eval()
    right = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in loader)
    return right / len(loader.dataset)  # type: ignore[arg-type]


def main() -> float:
    """Train, and return the folded network's accuracy."""
    torch.manual_seed(0)
    training, test = (DataLoader(part, batch_size=64, shuffle=True) for part in datasets())
    model = nd.convert(network())
    train(model, training)
    nd.recalibrate(model, (images for images, _ in training))
    deployed = nd.fold(model)
    print(f"accuracy {accuracy(model, test):.3f}, folded {accuracy(deployed, test):.3f}")
    return accuracy(deployed, test)


if __name__ == "__main__":
    main()
