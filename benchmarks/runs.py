"""Tables of training runs: what every one of them says of where its numbers come from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netdeconv.training import RunResult, TrainingConfig, to_plain

RESULTS = Path(__file__).resolve().parent.parent / "results"
_PACKAGES = ("python", "torch", "torchvision", "lightning-fabric")


def settings(config: TrainingConfig) -> dict[str, Any]:
    """Return the settings of a run without the folders, which are this machine's."""
    plain = to_plain(config)
    plain.pop("result_path")
    plain["data"].pop("data_dir")
    return plain


def build(
    name: str,
    *,
    command: str,
    config: Mapping[str, Any],
    results: Sequence[RunResult],
    rows: Sequence[Mapping[str, Any]],
    seeds: Sequence[int] = (),
    note: str = "",
    parts: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return a table in the form that results/README.md describes.

    Versions are of the first session of the first run; threads and precisions are all that occurred.

    Args:
        name: title.
        command: what repeats it.
        config: every setting that matters.
        results: the runs that the numbers are of.
        rows: of the table.
        seeds: of the runs; empty: as their directories say.
        note: what a reader has to know.
        parts: further tables, ``name`` and ``rows``.
    """
    sessions = [session for result in results for session in _read(result, "environment.json")["sessions"]]
    found = sorted({int(_read(result, "config.json")["seed"]) for result in results})
    first = sessions[0]
    threads = _either(str(count) for count in sorted({session["threads"] for session in sessions}))
    precisions = _either(sorted({session["precision"] for session in sessions}))
    table: dict[str, Any] = {
        "name": name,
        "command": command,
        "config": dict(config),
        "seed": list(seeds) or found,
        "versions": {package: first[package] for package in _PACKAGES},
        "hardware": f"{first['processor']}, {threads} threads, {precisions}",
        "minutes": round(sum(result.seconds for result in results) / 60, 1),
        "rows": list(rows),
        "note": note,
    }
    return {**table, "parts": list(parts)} if parts else table


def write(table: Mapping[str, Any], file: str) -> None:
    """Write a table into results/."""
    path = RESULTS / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def _read(result: RunResult, name: str) -> dict[str, Any]:
    return json.loads((result.path / name).read_text(encoding="utf-8"))


def _either(values: Any) -> str:
    return " or ".join(values)
