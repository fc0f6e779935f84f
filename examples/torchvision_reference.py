"""torchvision's training references in short: any network, average of weights, label smoothing, warm-up.

python examples/torchvision_reference.py --model resnet18 --norm default
"""

from __future__ import annotations

import argparse
import itertools

import torch
import torchvision
from digits import datasets
from plain_torch import accuracy
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

import netdeconv as nd


def main(arguments: list[str] | None = None) -> float:
    """Train, and return the accuracy of the averaged weights."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--norm", default="default", help="a name that netdeconv.convert knows, or batch_norm")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--lr", type=float, default=0.05)
    options = parser.parse_args(arguments)

    torch.manual_seed(0)
    images, test_images = datasets(size=32, channels=3)
    training, test = DataLoader(images, batch_size=64, shuffle=True, drop_last=True), DataLoader(test_images, 100)
    model = torchvision.models.get_model(options.model, weights=None, num_classes=10)
    if options.norm != "batch_norm":
        model = nd.convert(model, options.norm)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=options.lr, momentum=0.9, weight_decay=1e-4)
    steps = options.epochs * len(training)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=steps // 10)
    main_schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - steps // 10)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, main_schedule], [steps // 10])
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8))
    for _ in range(options.epochs):
        model.train()
        for images, labels in training:
            optimizer.zero_grad()
            criterion(model(images), labels).backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
    nd.recalibrate(average, (images for images, _ in itertools.islice(training, 8)))
    found = accuracy(average, test)
    print(f"{options.model}, {options.norm}: accuracy {found:.3f}")
    return found


if __name__ == "__main__":
    main()
