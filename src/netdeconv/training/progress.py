"""What a person sees of a run: live bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import datetime
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TextIO

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


Silent = Reporter


def epoch_line(record: Mapping[str, Any], epochs: int) -> str:
    """Return one line with the measurements of an epoch."""
    batch, iou = record.get("accuracy_batch_statistics"), record.get("mean_iou")
    return (
        f"epoch {record['epoch']}/{epochs}  train loss {record['train_loss']:.4f}  "
        f"{record['evaluated_on']} loss {record['loss']:.4f}  accuracy {record['accuracy']:.2f} %"
        + (f" (batch statistics {batch:.2f} %)" if batch is not None else "")
        + (f"  mean IoU {iou:.2f} %" if iou is not None else "")
        + f"  {record['seconds']:.1f} s"
    )


class PlainLines(Reporter):
    """Prints a line every so many steps, at least every so many seconds, and after every epoch.

    Args:
        name: put before every line, when there are several runs.
        every: steps between lines.
        seconds: between lines, where steps are slow.
        file: where to; ``None`` for standard output.
    """

    def __init__(self, name: str = "", *, every: int = 50, seconds: float = 20, file: TextIO | None = None) -> None:
        self._prefix = f"{name}: " if name else ""
        self._every, self._seconds, self._file = every, seconds, file
        self._printed = time.perf_counter()

    def note(self, text: str) -> None:
        """Print a line."""
        self._printed = time.perf_counter()
        print(self._prefix + text, file=self._file or sys.stdout, flush=True)

    def start(self, *, epochs: int, steps: int, first_epoch: int) -> None:
        """Note the totals."""
        del first_epoch
        self._epochs, self._steps = epochs, steps
        self._begun, self._images, self._done = time.perf_counter(), 0, 0

    def step(self, *, epoch: int, step: int, images: int, loss: float) -> None:
        """Print the loss, images a second and the time that remains, now and then."""
        self._images += images
        self._done += 1
        now = time.perf_counter()
        if step % self._every == 0 or now - self._printed > self._seconds:
            seconds = max(now - self._begun, 1e-9)
            remaining = ((self._epochs - epoch) * self._steps + self._steps - step) * seconds / self._done
            self.note(
                f"epoch {epoch}/{self._epochs}  step {step}/{self._steps}  loss {loss:.4f}  "
                f"{self._images / seconds:.0f} images/s  ETA {datetime.timedelta(seconds=round(remaining))}"
            )

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Print the epoch's measurements."""
        self.note(epoch_line(record, self._epochs))


@contextlib.contextmanager
def live_bars(console: Console | None = None) -> Iterator[Callable[[str], Reporter]]:
    """Draw bars in a terminal for as long as the context lasts.

    Yields:
        A function from a run's name to its reporter, which is drawn as one bar.
    """
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}")),
        *(TextColumn("ETA"), TimeRemainingColumn()),
    )
    with Progress(*columns, console=console) as progress:
        yield lambda name: _Bar(progress, name)


class _Bar(Reporter):
    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name
        self._task = progress.add_task(name, total=None, state="", start=False)

    def note(self, text: str) -> None:
        self._progress.console.print(f"{self._name}: {text}", highlight=False, markup=False)

    def start(self, *, epochs: int, steps: int, first_epoch: int) -> None:
        self._epochs, self._steps = epochs, steps
        self._progress.start_task(self._task)
        self._progress.update(self._task, total=epochs * steps, completed=(first_epoch - 1) * steps)

    def step(self, *, epoch: int, step: int, images: int, loss: float) -> None:
        rate = images * (self._progress.tasks[self._task].speed or 0)
        self._progress.update(
            self._task,
            completed=(epoch - 1) * self._steps + step,
            description=f"{self._name} epoch {epoch}/{self._epochs}",
            state=f"loss {loss:.3f}  {rate:.0f} images/s",
        )

    def epoch(self, record: Mapping[str, Any]) -> None:
        self.note(epoch_line(record, self._epochs))
