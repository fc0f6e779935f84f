"""segmentation-models-pytorch: a converted U-Net finds the strokes of digits.

python examples/segmentation_models.py
"""

from __future__ import annotations

import segmentation_models_pytorch as smp
import torch
from digits import datasets
from torch import Tensor
from torch.utils.data import DataLoader

import netdeconv as nd


def strokes(images: Tensor) -> Tensor:
    """Return which pixels are ink: (N, 1, H, W)."""
    return (images > 0).float()


def main() -> float:
    """Train on a part of the images, and return the intersection over union of the strokes."""
    torch.manual_seed(0)
    training, test = (DataLoader(part, batch_size=32, shuffle=True) for part in datasets(size=32))
    model = smp.Unet("resnet18", encoder_weights=None, in_channels=1, classes=1, decoder_channels=(32, 32, 16, 16, 8))
    model = nd.convert(model)
    loss = smp.losses.DiceLoss("binary")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for (images, _), _ in zip(training, range(20), strict=False):
        noisy = images + 0.3 * torch.randn_like(images)
        optimizer.zero_grad()
        loss(model(noisy), strokes(images)).backward()
        optimizer.step()
    some = [images for (images, _), _ in zip(training, range(3), strict=False)]
    nd.recalibrate(model, some)
    images, _ = next(iter(test))
    with torch.no_grad():
        found = (model.eval()(images) > 0).long()
    counts = smp.metrics.get_stats(found, strokes(images).long(), mode="binary")
    score = float(smp.metrics.iou_score(*counts, reduction="micro"))
    print(f"intersection over union {score:.3f}")
    return score


if __name__ == "__main__":
    main()
