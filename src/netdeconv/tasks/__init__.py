"""What a batch, a loss and a metric are, for every kind of task."""

from __future__ import annotations

from netdeconv.tasks.classification import LOSSES, Classification

TASKS: dict[str, type] = {Classification.name: Classification}

__all__ = ["LOSSES", "TASKS", "Classification"]
