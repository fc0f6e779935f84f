"""A few steps under torch's profiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

_STEPS = 3


class Recording:
    """What the operations of a step took, on the host for a processor, on the card for CUDA.

    Args:
        step: warmed up; recorded a few times.
        device: where it runs.
    """

    def __init__(self, step: Callable[[], object], device: torch.device) -> None:
        cuda = device.type == "cuda"
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
        with profile(activities=activities) as recorded:
            for _ in range(_STEPS):
                step()
            if cuda:
                torch.cuda.synchronize(device)
        averages = recorded.key_averages()
        self._kind = "device" if cuda else "cpu"
        # kernels are listed a second time beside the operations that launched them
        self._events = [event for event in averages if event.device_type == DeviceType.CPU]
        self.text = averages.table(sort_by=f"self_{self._kind}_time_total", row_limit=25)  # the profiler's own

    @property
    def seconds(self) -> float:
        """Of all operations of a step."""
        return sum(map(self._self_time, self._events)) / 1e6 / _STEPS

    def inclusive(self) -> dict[str, float]:
        """Seconds a step of each operation, with the operations that it calls."""
        return {event.key: getattr(event, f"{self._kind}_time_total") / 1e6 / _STEPS for event in self._events}

    def longest(self, top: int = 12) -> list[dict[str, Any]]:
        """Rows with the share of the operations that take most by themselves."""
        events = sorted(self._events, key=self._self_time, reverse=True)
        total = sum(map(self._self_time, events)) or 1.0
        return [
            {
                "operation": event.key,
                "per cent": float(f"{100 * self._self_time(event) / total:.3g}"),
                "calls a step": round(event.count / _STEPS, 1),
            }
            for event in events[:top]
        ]

    def _self_time(self, event: Any) -> float:
        return float(getattr(event, f"self_{self._kind}_time_total"))
