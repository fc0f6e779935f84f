"""Where a step's time goes, by operation and by stage, as parts of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.machine import measure_peak
from benchmarks.stages import stage_rows
from benchmarks.steps import TrainingStep
from netdeconv.nn import WhitenedLayer

_STEPS = 3


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
        text, shares = profile_step(step, device)
        print(text)
        parts.append({"name": f"Where the time of a step of {name} goes (self time)", "rows": shares})
        if not compiled and any(isinstance(module, WhitenedLayer) for module in step.network.modules()):
            title = f"Stages of a step of {name}, and the least time of each: operations and bytes at {peak}"
            parts.append({"name": title, "rows": stage_rows(step, step.network, device, peak)})
    return parts


def profile_step(
    step: Callable[[], object], device: torch.device, *, top: int = 12
) -> tuple[str, list[dict[str, Any]]]:
    """Profile a few steps.

    Args:
        step: warmed up.
        device: where it runs.
        top: operations to list.

    Returns:
        The profiler's own table, and rows with each operation's share of all self time: the device's on CUDA.
    """
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as recorded:
        for _ in range(_STEPS):
            step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    attribute = f"self_{'device' if device.type == 'cuda' else 'cpu'}_time_total"
    averages = recorded.key_averages()
    # kernels are listed a second time beside the operations that launched them
    launched = [event for event in averages if event.device_type == DeviceType.CPU]
    events = sorted(launched, key=lambda event: getattr(event, attribute), reverse=True)
    total = sum(getattr(event, attribute) for event in events) or 1.0
    rows = [
        {
            "operation": event.key,
            "per cent": float(f"{100 * getattr(event, attribute) / total:.3g}"),
            "calls a step": round(event.count / _STEPS, 1),
        }
        for event in events[:top]
    ]
    return averages.table(sort_by=attribute, row_limit=25), rows
