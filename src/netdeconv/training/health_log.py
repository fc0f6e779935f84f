"""What a run's whitened layers were like while it trained: ``health.jsonl``."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from torch import nn

from netdeconv.health import Monitor, monitor
from netdeconv.health.monitor import as_numbers
from netdeconv.nn import WhitenedLayer
from netdeconv.training.checkpoint import write_atomically
from netdeconv.training.measuring import finite

HEALTH = "health.jsonl"
_EVERY = 50


class HealthLog:
    """Reads the whitened layers of a network every 50 steps, at least once an epoch; does nothing where there are none.

    Args:
        folder: run directory.
        network: that is trained.
        steps: of an epoch.
        parts: forward passes of a step.
    """

    def __init__(self, folder: Path, network: nn.Module, *, steps: int, parts: int = 1) -> None:
        self._file, self._parts, self._done = folder / HEALTH, parts, 0
        if any(isinstance(module, WhitenedLayer) for module in network.modules()):
            monitor(network, every=min(_EVERY, steps) * parts, warn=False, on_reading=self._note)

    def begin(self, steps: int) -> None:
        """Keep what was read in so many steps; the next ones are trained now."""
        self._done = steps
        if self._file.exists():
            kept = []
            for line in self._file.read_text(encoding="utf-8").splitlines(keepends=True):
                with contextlib.suppress(ValueError):  # a run that was killed may have left half a line
                    if json.loads(line)["step"] <= self._done:
                        kept.append(line)
            write_atomically(self._file, "".join(kept).encode())

    def _note(self, seen: Monitor) -> None:
        step = self._done + -(-seen.step // self._parts)
        layers = {name: finite(dict(as_numbers(health))) for name, health in seen.latest.items()}
        warned: dict[str, dict[str, str]] = {}
        for (name, kind), text in seen.warned.items():
            warned.setdefault(name, {})[kind] = text
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "layers": layers, "warnings": warned}) + "\n")
