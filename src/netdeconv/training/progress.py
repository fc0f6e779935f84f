"""What a person sees of a run: bars in a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import datetime
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Reporter:
    """Is told what happens in a run; this one says nothing."""

    def note(self, text: str) -> None:
        """Hear a line about the run."""

    def start(self, *, epochs: int, steps: int, first_epoch: int) -> None:
        """Hear the number of epochs, of steps in each, and which epoch comes first."""

    def step(self, *, epoch: int, step: int, images: int, loss: float) -> None:
        """Hear of a finished step."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Hear the measurements of a finished epoch."""


# Between lines, where steps are slow.
_SECONDS = 20.0


def epoch_line(record: Mapping[str, Any]) -> str:
    """Return one line with the measurements of an epoch."""
    iou = f"  mean IoU {record['mean_iou']:.2f} %" if "mean_iou" in record else ""
    return (
        f"epoch {record['epoch']}  train loss {record['train_loss']:.4f}  {record['evaluated_on']} loss "
        f"{record['loss']:.4f}  accuracy {record['accuracy']:.2f} %{iou}  {record['seconds']:.1f} s"
    )


@contextlib.contextmanager
def reporters(
    show: bool = True, *, every: int = 50, console: Console | None = None
) -> Iterator[Callable[[str], Reporter]]:
    """Draw bars in a terminal, or print a line every so many steps elsewhere, for as long as the context lasts.

    Args:
        show: whether to show anything.
        every: steps between lines; at least every 20 seconds there is one.
        console: where to; ``None`` for standard output.

    Yields:
        A function from a run's name to its reporter, which is drawn as one bar.
    """
    if not show or os.environ.get("RANK", "0") != "0":  # torchrun's; the first process speaks for all
        yield lambda name: Reporter()
        return
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}")),
        *(TextColumn("ETA"), TimeRemainingColumn()),
    )
    console = console or Console()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield lambda name: _Bar(progress, name, every)


class _Bar(Reporter):
    def __init__(self, progress: Progress, name: str, every: int) -> None:
        self._progress, self._name, self._every = progress, name, every
        self._task = progress.add_task(name, total=None, state="", start=False)
        self._printed = time.monotonic()

    def note(self, text: str) -> None:
        self._printed = time.monotonic()
        self._progress.console.print(f"{self._name}: {text}", highlight=False, markup=False, soft_wrap=True)

    def start(self, *, epochs: int, steps: int, first_epoch: int) -> None:
        self._epochs, self._steps = epochs, steps
        self._progress.start_task(self._task)
        self._progress.update(self._task, total=epochs * steps, completed=(first_epoch - 1) * steps)

    def step(self, *, epoch: int, step: int, images: int, loss: float) -> None:
        task = self._progress.tasks[self._task]
        state = f"loss {loss:.4f}  {images * (task.speed or 0):.0f} images/s"
        done = (epoch - 1) * self._steps + step
        self._progress.update(self._task, completed=done, description=f"{self._name} epoch {epoch}", state=state)
        is_due = step % self._every == 0 or time.monotonic() - self._printed > _SECONDS
        if is_due and self._progress.disable:
            left = datetime.timedelta(seconds=task.time_remaining or 0)
            self.note(f"epoch {epoch}/{self._epochs}  step {step}/{self._steps}  {state}  ETA {left}")

    def epoch(self, record: Mapping[str, Any]) -> None:
        self.note(epoch_line(record))
