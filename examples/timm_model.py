"""timm: create_model, converted; timm's optimizer, schedule and average of weights.

python examples/timm_model.py
"""

from __future__ import annotations

import timm
import torch
from digits import datasets
from plain_torch import accuracy
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import nn
from torch.utils.data import DataLoader

import netdeconv as nd


def main(epochs: int = 3) -> float:
    """Train, and return the accuracy of the averaged weights."""
    torch.manual_seed(0)
    training, test = (DataLoader(part, batch_size=64, shuffle=True) for part in datasets(size=32, channels=3))
    model = nd.convert(timm.create_model("test_resnet", num_classes=10, pretrained=False))
    optimizer = create_optimizer_v2(model, opt="sgd", lr=0.05, weight_decay=1e-3, momentum=0.9)
    schedule = CosineLRScheduler(optimizer, t_initial=epochs * len(training))
    average = ModelEmaV3(model, decay=0.9)
    step = 0
    for _ in range(epochs):
        model.train()
        for images, labels in training:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            average.update(model)
            step += 1
            schedule.step(step)
    nd.recalibrate(average.module, (images for images, _ in training))  # averaged weights see other activations
    found = accuracy(average.module, test)
    print(f"accuracy {found:.3f}")
    return found


if __name__ == "__main__":
    main()
