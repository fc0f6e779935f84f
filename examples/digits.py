"""The data of all examples: scikit-learn's handwritten digits, 8x8 pixels."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch.nn import functional
from torch.utils.data import TensorDataset


def datasets(*, size: int = 16, channels: int = 1) -> tuple[TensorDataset, TensorDataset]:
    """Return 1297 training and 500 test images, of about mean 0 and deviation 1, with their labels."""
    data = load_digits()
    images = torch.from_numpy(data.images).float()[:, None] / 8 - 1
    images = functional.interpolate(images, size=(size, size), mode="bilinear").repeat(1, channels, 1, 1)
    labels = torch.from_numpy(data.target).long()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    images, labels = images[order], labels[order]
    return TensorDataset(images[500:], labels[500:]), TensorDataset(images[:500], labels[:500])
