"""Runs as one self-contained page: interactive curves, tables, figures; nothing is fetched when it is opened."""

from __future__ import annotations

import base64
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from netdeconv.data.errors import DataError
from netdeconv.health import LayerHealth, findings
from netdeconv.report.figures import draw_all, family, shown_images
from netdeconv.report.mistakes import mistakes_of
from netdeconv.report.runs import SavedRun, find_runs
from netdeconv.tasks.trained import load_trained
from netdeconv.training.checkpoint import CheckpointError, write_atomically
from netdeconv.training.plain import flat
from netdeconv.training.run_directory import RunDirectoryError
from netdeconv.viz import rate_map
from netdeconv.viz.curves import in_words

# Networks that are drawn, one of each family: the page has to open on a phone.
_MOST_DRAWN = 4
_CAPTIONS = {
    "covariance": "Covariance and correlation of the patches that a layer sees; lines part the blocks of two channels.",
    "filters": "Filters that whiten the centre of a patch: a centre against its surround.",
    "deconvolved": "An image before and after the first layer's whitening. What is left is sparse.",
    "spectra": "Eigenvalues of the layers' covariances, and what the root's steps leave of them.",
    "ranks": "Effective rank and condition number of every layer's input.",
    "sparsity": "Values before and after whitening, and excess kurtosis by layer.",
    "weights": "Size of the weights: as they are, and as they are used.",
    "memory": "What a training step of this batch keeps.",
    "curves": "Training loss and score.",
    "rates": "Accuracy over the learning rate, on images cut from the training set.",
}


def write_report(paths: Sequence[str | Path], output: str | Path, *, data_dir: str | None = None) -> Path:
    """Write the page.

    Args:
        paths: run directories, or folders that hold some.
        output: the file.
        data_dir: folder with the data sets, where it is not the runs'.

    Returns:
        The file.

    Raises:
        RunDirectoryError: when a folder holds no run.
        ModuleNotFoundError: when plotly or jinja2 is not installed.
    """
    import jinja2
    import plotly.offline  # type: ignore[import-untyped]

    runs = find_runs(paths)
    sections = [_drawn(run, data_dir) for run in _one_of_each(runs)]
    rates = [figure for path in paths if (figure := _rates(Path(path).expanduser())) is not None]
    page = resources.files("netdeconv.report")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    html = environment.from_string((page / "page.html").read_text(encoding="utf-8")).render(
        title=" · ".join(dict.fromkeys(f"{r.plain['network']['arch']} on {r.plain['data']['dataset']}" for r in runs)),
        runs=[_row(run) for run in runs],
        metric=in_words(runs[0].metric),
        differences=_differences(runs),
        levels=_levels(runs),
        health=[table for run in runs if (table := _health(run))],
        sections=sections,
        rates=[_embedded(figure) for figure in rates],
        captions=_CAPTIONS,
        style=(page / "page.css").read_text(encoding="utf-8"),
        script=(page / "page.js").read_text(encoding="utf-8"),
        plotly=plotly.offline.get_plotlyjs(),
        data=_for_script(
            {"runs": [_curves(run) for run in runs], "health": [_series(run) for run in runs if run.health]}
        ),
        confusion=_for_script({s["label"]: s["mistakes"] for s in sections if s["mistakes"] is not None}),
    )
    file = Path(output).expanduser()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, html.encode())
    return file


def _one_of_each(runs: Sequence[SavedRun]) -> list[SavedRun]:
    return list({family(run): run for run in reversed(runs)}.values())[::-1][:_MOST_DRAWN]


def _row(run: SavedRun) -> dict[str, Any]:
    last = run.history[-1] if run.history else {}
    plain = run.plain
    session = run.sessions[-1] if run.sessions else {}
    return {
        "label": run.label,
        "state": "finished" if run.is_finished else f"{len(run.history)} of {plain['epochs']} epochs",
        "network": f"{plain['network']['arch']}, width {plain['network']['width']:g}",
        "norm": plain["network"]["norm"]["name"].replace("_", " "),
        "data": f"{plain['data']['dataset']}, batch {plain['data']['batch_size']}",
        "lr": f"{plain['optimizer']['lr']:g}",
        "score": f"{last[run.metric]:.2f}" if run.metric in last else "–",
        "loss": f"{last['train_loss']:.4f}" if last else "–",
        "seconds": f"{last['cumulative_seconds']:.1f}" if last else "–",
        "step": f"{1000 * last['seconds_per_step']:.0f}" if last else "–",
        "parameters": f"{run.summary['parameters']:,}" if "parameters" in run.summary else "–",
        "command": shlex.join(run.command) or "not recorded",
        "environment": {k: str(v) for k, v in session.items() if k != "command"},
        "settings": _flat(plain),
    }


def _flat(plain: Mapping[str, Any]) -> dict[str, str]:
    return {name: "–" if value is None else str(value) for name, value in flat(plain).items()}


def _differences(runs: Sequence[SavedRun]) -> dict[str, list[str]]:
    """Settings that are not the same in all runs, but for where they were written."""
    settings = [_flat(run.plain) for run in runs]
    names = [name for name in dict.fromkeys(n for each in settings for n in each) if name != "result_path"]
    values = {name: [each.get(name, "–") for each in settings] for name in names}
    return {name: each for name, each in values.items() if len(set(each)) > 1}


def _levels(runs: Sequence[SavedRun]) -> dict[str, Any]:
    """Seconds of training and epochs until levels of the score that the runs reach, or some of them."""
    best = [max(record[run.metric] for record in run.history) for run in runs if run.history]
    if not best:
        return {"levels": [], "rows": []}
    levels = sorted({round(share * min(best), 1) for share in (0.8, 0.9)} | {round(min(best), 2), round(max(best), 2)})
    rows = []
    for run in runs:
        cells = []
        for level in levels:
            at = next((r for r in run.history if round(r[run.metric], 2) >= level), None)
            cells.append(f"{at['cumulative_seconds']:.1f} s, epoch {at['epoch']}" if at else "not reached")
        rows.append({"label": run.label, "cells": cells})
    return {"levels": [f"{level:g} %" for level in levels], "rows": rows}


def _curves(run: SavedRun) -> dict[str, Any]:
    steps = 0
    points: dict[str, list[Any]] = {"epoch": [], "seconds": [], "step": [], "train_loss": [], "loss": [], "score": []}
    for record in run.history:
        steps += record.get("steps", 0)
        values = (record["epoch"], record["cumulative_seconds"], steps, record["train_loss"], record["loss"])
        for key, value in zip(points, (*values, record.get(run.metric)), strict=True):
            points[key].append(value)
    return {"label": run.label, **points}


def _series(run: SavedRun) -> dict[str, Any]:
    layers: dict[str, Any] = {}
    for reading in run.health:
        for name, numbers in reading["layers"].items():
            series = layers.setdefault(name, {"step": []})
            series["step"].append(reading["step"])
            for key, value in numbers.items():
                series.setdefault(key, []).append(value)
    return {"label": run.label, "layers": layers}


def _health(run: SavedRun) -> dict[str, Any] | None:
    """The last reading of every layer, with what is wrong and helps."""
    if not run.health:
        return None
    reading = run.health[-1]
    rows = []
    for name, numbers in reading["layers"].items():
        known = {k: v for k, v in numbers.items() if k in LayerHealth.__dataclass_fields__ and v is not None}
        health = LayerHealth(**known)
        rows.append({"name": name, "health": health, "findings": list(findings(health).values())})
    return {"label": run.label, "step": reading["step"], "rows": rows}


def _drawn(run: SavedRun, data_dir: str | None) -> dict[str, Any]:
    """Figures and mistakes of a run, or why there are none."""
    section: dict[str, Any] = {"label": run.label, "figures": {}, "notes": [], "mistakes": None, "pictures": ""}
    try:
        trained = load_trained(run.path)
        batch = shown_images(trained, data_dir)
    except (RunDirectoryError, CheckpointError, DataError, OSError, ValueError) as error:
        section["notes"] = [str(error)]
        return section
    figures, section["notes"] = draw_all(trained.network, batch, run)
    section["figures"] = {name: _embedded(figure) for name, figure in figures.items() if name != "curves"}
    try:
        found, pictures = mistakes_of(trained, data_dir)
    except (DataError, OSError, ValueError) as error:
        section["notes"].append(f"mistakes: {error}")
        return section
    section["mistakes"] = found if found["matrix"] else None
    section["pictures"] = "" if pictures is None else _embedded(pictures)
    return section


def _rates(path: Path) -> Figure | None:
    """Of an experiment that tried learning rates: the score over them."""
    try:
        lines = json.loads((path / "summary.json").read_text(encoding="utf-8"))["table"]
        return rate_map(lines) if any(key.startswith("lr ") for key in lines[0]) else None
    except (OSError, ValueError, KeyError, IndexError):
        return None


def _embedded(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _for_script(value: Any) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(value).replace("<", "\\u003c").replace("&", "\\u0026")
