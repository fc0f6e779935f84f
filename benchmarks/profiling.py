"""Where a step's time goes, by operation and by stage, as parts of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.machine import measure_peak
from benchmarks.recording import Recording
from benchmarks.stages import input_shapes, stage_rows
from benchmarks.steps import TrainingStep


def profiles(
    steps: Mapping[str, TrainingStep], dtypes: set[torch.dtype], device: torch.device, *, compiled: bool = False
) -> list[dict[str, Any]]:
    """Profile the steps of some variants, and print the profiler's own tables.

    Args:
        steps: by variant, warmed up.
        dtypes: of their products.
        device: where they run.
        compiled: whether they are, and show no stages.
    """
    if not steps:
        return []
    peak = measure_peak(device, dtypes)
    parts: list[dict[str, Any]] = []
    for name, step in steps.items():
        recording = Recording(step, device)
        print(recording.text)
        parts.append({"name": f"Where the time of a step of {name} goes (self time)", "rows": recording.longest()})
        shapes = {} if compiled else input_shapes(step, step.network)
        if shapes:
            title = f"Stages of a step of {name}, and the least time of each: operations and bytes at {peak}"
            parts.append({"name": title, "rows": stage_rows(recording, shapes, peak)})
    return parts
