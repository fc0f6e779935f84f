"""What a batch, a loss and a metric are, for every kind of task."""

from __future__ import annotations

from netdeconv.tasks.classification import Classification
from netdeconv.tasks.segmentation import Segmentation

TASKS: dict[str, type] = {Classification.name: Classification, Segmentation.name: Segmentation}

__all__ = ["TASKS", "Classification", "Segmentation"]
