"""The loss of pixels, and the meter of intersection over union.

Shape letters: N batch, C classes, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import SumMetric
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from netdeconv.data.registry import IGNORE

Outputs = Tensor | Mapping[str, Tensor]


def mean_loss(outputs: Outputs, targets: Tensor, auxiliary_weight: float) -> Tensor:
    """Return the mean cross entropy of the pixels that count, that of the auxiliary head added in its share.

    Shapes: outputs (N, C, H, W) or a dictionary of such, targets (N, H, W).
    """
    if isinstance(outputs, Tensor):
        outputs = {"out": outputs}
    counted = (targets != IGNORE).sum().clamp_min(1)
    loss = _sum(outputs["out"], targets)
    if "aux" in outputs:
        loss = loss + auxiliary_weight * _sum(outputs["aux"], targets)
    return loss / counted


def _sum(scores: Tensor, targets: Tensor) -> Tensor:
    """The sum of the losses of all pixels that count."""
    return functional.cross_entropy(scores.float(), targets, ignore_index=IGNORE, reduction="sum")


class SegmentationMeter:
    """Intersection over union and accuracy of pixels in per cent, and mean loss, over all processes.

    Counts are integers: the same images give the same result in whatever batches, on however many processes.
    """

    def __init__(self, num_classes: int, device: torch.device) -> None:
        common: dict[str, Any] = {"ignore_index": IGNORE, "validate_args": False}
        # A class that neither occurs nor is predicted has no IoU.
        iou = MulticlassJaccardIndex(num_classes, average="none", zero_division=math.nan, **common)
        self._iou = iou.to(device)
        self._accuracy = MulticlassAccuracy(num_classes, average="micro", **common).to(device)
        # A network whose scores overflow has a loss that is no number, and that is what is said.
        self._loss, self._counted = (
            SumMetric(nan_strategy="disable").set_dtype(torch.float64).to(device) for _ in range(2)
        )

    def update(self, outputs: Outputs, targets: Tensor) -> None:
        """Take one batch of class scores (N, C, H, W), the auxiliary head's left out, and labels (N, H, W)."""
        scores = outputs if isinstance(outputs, Tensor) else outputs["out"]
        self._loss.update(_sum(scores, targets).double())
        self._counted.update((targets != IGNORE).sum().double())
        classes = scores.argmax(1)
        self._iou.update(classes, targets)
        self._accuracy.update(classes, targets)

    def compute(self) -> dict[str, Any]:
        """Return ``loss``, ``accuracy`` of pixels, ``mean_iou`` and ``iou`` of every class, ``None`` where it has none.

        A class that neither occurs nor is predicted takes no part in the mean.
        """
        counted = float(self._counted.compute())
        iou = 100 * self._iou.compute().double().cpu()
        known = iou[~iou.isnan()]
        return {
            "loss": float(self._loss.compute()) / counted if counted else 0.0,
            "accuracy": round(100 * float(self._accuracy.compute()), 4),
            "mean_iou": round(float(known.mean()), 4) if len(known) else 0.0,
            "iou": [None if math.isnan(value) else round(value, 4) for value in iou.tolist()],
        }
