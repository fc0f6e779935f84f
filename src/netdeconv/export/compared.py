"""Whether an exported model says what the model says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """How the outputs of an exported model compare with the model's own.

    Args:
        predictions: that were compared: of images, or of pixels.
        same_top1: of these, with the same class on top.
        difference: largest difference of any output, relative to the largest output.
        accuracy: of the model, per cent; labels that are no class, such as 255, do not count.
        accuracy_exported: of the exported model, per cent.
    """

    predictions: int
    same_top1: int
    difference: float
    accuracy: float
    accuracy_exported: float


@torch.no_grad()
def agreement(
    model: nn.Module, exported: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]
) -> Agreement:
    """Compare a model in evaluation mode with what was exported of it.

    Args:
        model: whitened or plain.
        exported: from images to class scores.
        batches: images, normalised, and labels or masks.
    """
    count = labelled = same = right = right_exported = 0
    largest = difference = 0.0
    for inputs, labels in batches:
        expected, actual = model(inputs).float().cpu(), exported(inputs.contiguous()).float().cpu()
        labels, top, exported_top = labels.cpu(), expected.argmax(1), actual.argmax(1)
        count += labels.numel()
        labelled += int((labels < expected.shape[1]).sum())
        same += int((top == exported_top).sum())
        right += int((top == labels).sum())
        right_exported += int((exported_top == labels).sum())
        largest = max(largest, float(expected.abs().max()))
        difference = max(difference, float((actual - expected).abs().max()))
    return Agreement(
        predictions=count,
        same_top1=same,
        difference=difference / largest,
        accuracy=100 * right / labelled,
        accuracy_exported=100 * right_exported / labelled,
    )
