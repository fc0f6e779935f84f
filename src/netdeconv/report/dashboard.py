"""A run in a terminal, while it trains or afterwards: numbers, curves, health; 40 columns are enough."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from netdeconv.report.runs import SavedRun, find_runs
from netdeconv.viz.curves import in_words

_TICKS = " ▁▂▃▄▅▆▇█"
_ASCII_TICKS = " .:-=+*#@"
_MOST_WARNINGS = 8
# A run whose files are older than this writes no more, unless its epochs are longer.
_QUIET_SECONDS = 300


def watch(path: str | Path, *, console: Console, every: float = 2.0, once: bool = False) -> int:
    """Show a run until it has finished, or Ctrl-C.

    Args:
        path: run directory, or a folder of runs: all are shown.
        console: where to.
        every: seconds between looks.
        once: whether one look is enough; likewise where the console is no terminal.

    Returns:
        0.

    Raises:
        RunDirectoryError: when the folder holds no run.
    """
    runs = find_runs([path])
    if once or not console.is_terminal:
        console.print(screen(runs, console))
        return 0
    with Live(console=console, auto_refresh=False, screen=False) as live:
        while True:
            live.update(screen(runs, console), refresh=True)
            if all(run.is_finished for run in runs):
                return 0
            time.sleep(every)
            runs = find_runs([path])


def screen(runs: Sequence[SavedRun], console: Console) -> RenderableType:
    """What is shown of runs: everything of one, a line each of several."""
    plain = console.encoding not in ("utf-8", "utf-16") or console.legacy_windows
    if len(runs) == 1:
        return _one(runs[0], console.width, plain)
    table = Table(box=None, pad_edge=False, expand=False)
    for heading in ("run", "epoch", "score", "curve"):
        table.add_column(heading, no_wrap=heading != "run", overflow="fold")
    for run in runs:
        scores = _values(run, run.metric)
        room = max(4, min(30, console.width - 32))
        last = f"{scores[-1]:.2f}" if scores else "-"
        table.add_row(run.label, f"{len(run.history)}/{run.plain['epochs']}", last, spark(scores, room, plain=plain))
    return table


def _one(run: SavedRun, width: int, plain: bool) -> RenderableType:
    numbers = Table(box=None, pad_edge=False, show_header=False)
    numbers.add_column(style="bold", no_wrap=True)
    numbers.add_column(overflow="fold")
    network, epochs = run.plain["network"], int(run.plain["epochs"])
    numbers.add_row("network", f"{network['arch']}, {network['norm']['name']}")
    numbers.add_row("data", f"{run.plain['data']['dataset']}, lr {run.plain['optimizer']['lr']:g}")
    numbers.add_row("epoch", f"{len(run.history)} of {epochs}")
    numbers.add_row("state", state(run))
    if run.history:
        last = run.history[-1]
        images = last["steps"] * run.plain["data"]["batch_size"] / max(last["seconds"], 1e-9)
        numbers.add_row("loss", f"{last['train_loss']:.4f} training, {last['loss']:.4f} {last['evaluated_on']}")
        numbers.add_row(in_words(run.metric), f"{last[run.metric]:.2f} %")
        numbers.add_row("images/s", f"{images:.0f}")
        if not run.is_finished:
            numbers.add_row(
                "ETA", str(datetime.timedelta(seconds=round((epochs - len(run.history)) * last["seconds"])))
            )
    else:
        numbers.add_row("loss", "no epoch is finished yet")
    parts: list[RenderableType] = [numbers]
    room = max(8, min(72, width - 6))
    for name, key in (("training loss", "train_loss"), (in_words(run.metric), run.metric)):
        values = _values(run, key)
        if len(values) > 1:
            caption = f"{name}: {values[0]:.4g} to {values[-1]:.4g}"
            parts += ["", Text(caption, style="bold"), spark(values, room, plain=plain)]
    parts += ["", *_health(run)]
    if width < 60 or plain:
        return Group(Text(run.label, style="bold reverse"), *parts)
    return Panel(Group(*parts), title=run.label, width=min(width, 84))


def state(run: SavedRun, now: float | None = None) -> str:
    """Whether a run has finished, writes, or has long been silent."""
    if run.is_finished:
        return "finished"
    files = [file for file in run.path.iterdir() if file.is_file()]
    quiet = (time.time() if now is None else now) - max(file.stat().st_mtime for file in files)
    usual = 2 * max((record["seconds"] for record in run.history), default=0.0)
    age = str(datetime.timedelta(seconds=round(max(quiet, 0))))
    return f"running, last wrote {age} ago" if quiet < max(_QUIET_SECONDS, usual) else f"stopped? silent for {age}"


def spark(values: Sequence[float], width: int, *, plain: bool = False) -> str:
    """Values as one line of bars, the lowest to the highest."""
    ticks, few = (_ASCII_TICKS if plain else _TICKS), _thinned(values, width)
    if not few:
        return ""
    low, high = min(few), max(few)
    return "".join(ticks[1 + round((len(ticks) - 2) * (value - low) / ((high - low) or 1))] for value in few)


def _thinned(values: Sequence[float], width: int) -> list[float]:
    known = [value for value in values if value == value and abs(value) != float("inf")]
    if len(known) <= width:
        return known
    return [known[round(place * (len(known) - 1) / (width - 1))] for place in range(width)]


def _values(run: SavedRun, key: str) -> list[float]:
    return [float(record[key]) for record in run.history if record.get(key) is not None]


def _health(run: SavedRun) -> list[RenderableType]:
    """What was found wrong with layers, the latest first; or that all is well."""
    if not run.health:
        return [Text("health: no whitened layers were read")]
    reading: dict[str, Any] = run.health[-1]
    warned = [(name, text) for name, kinds in reading["warnings"].items() for text in kinds.values()]
    if not warned:
        return [Text(f"health: all {len(reading['layers'])} whitened layers are well (step {reading['step']})")]
    lines: list[RenderableType] = [
        Text(f"health: {len(warned)} findings (step {reading['step']})", style="bold yellow")
    ]
    lines += [Text(f"! {name}: {text}", style="yellow", overflow="fold") for name, text in warned[:_MOST_WARNINGS]]
    return lines + ([Text(f"and {len(warned) - _MOST_WARNINGS} more")] if len(warned) > _MOST_WARNINGS else [])
