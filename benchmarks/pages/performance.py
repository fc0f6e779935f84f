"""The page of performance: one short table each for steps, memory and evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.pages.markdown import BEGIN, END, Row, load, render_rows

NETWORKS, DTYPES = {"vgg11": "VGG-11", "resnet18": "ResNet-18"}, ("bfloat16", "float32")
NORM = "batch_norm"


def render_performance(folder: Path) -> str:
    """The page of performance, markers included: one short table each for steps, memory and evaluation."""
    parts = {
        "Training steps: seconds against batch norm's": _steps(folder),
        "Training steps of networks a quarter as wide, and what torch is called for in one": _narrow(folder),
        "Memory kept for the backward pass, against batch norm's": _memory(folder),
        "Evaluation: seconds against the bare convolution network's": _inference(folder),
        "The former library (7c809aa) and the present one, against batch norm": _former(folder),
    }
    blocks = [f"### {title}\n\n{render_rows(rows)}" for title, own in parts.items() if (rows := list(own))]
    return "\n\n".join([BEGIN, *(blocks or ["No measurements are recorded yet."]), END])


def _measured(folder: Path, kind: str) -> Iterator[tuple[dict[str, Any], list[Row]]]:
    """What a row of a network begins with, and the rows of its file."""
    for network, title in NETWORKS.items():
        for device in ("cpu", "cuda"):
            for dtype in DTYPES:
                file = folder / f"{kind}-{network}-{dtype}-{device}.json"
                if file.exists():
                    yield {"network": title, "device": f"{device.upper()}, {dtype}"}, load(file)["rows"]


def _steps(folder: Path) -> Iterator[Row]:
    for named, rows in _measured(folder, "training-step"):
        yield named | _picked({row["variant"]: row["to batch norm"] for row in rows})


def _narrow(folder: Path) -> Iterator[Row]:
    """Of every narrow network: ratios of steps, and calls by kind of operation."""
    for network, title in NETWORKS.items():
        for file in sorted(folder.glob(f"training-step-{network}-width*-float32-cpu.json")):
            table = load(file)
            ratios = {row["variant"]: row["to batch norm"] for row in table["rows"]}
            (calls,) = (part["rows"] for part in table["parts"])
            counted = {row["operations"]: [row[f"{name}, calls"] for name in (NORM, "default")] for row in calls}
            shown = {"views and the rest": "views", "products of matrices": "products"}
            yield {
                "network": title,
                "threads": table["hardware"].split(", ")[1].removesuffix(" threads"),
                "no norm": ratios["none"],
                "default": ratios["default"],
                **{f"calls, {name}": counted["all"][n] for n, name in enumerate(("batch norm", "default"))},
                **{f"default, {name}": counted[kind][1] for kind, name in shown.items()},
            }


def _memory(folder: Path) -> Iterator[Row]:
    files = (each for kind in ("training-step", "memory") for each in _measured(folder, kind))
    for named, rows in {tuple(named.values()): (named, rows) for named, rows in files}.values():
        megabytes = {row["variant"]: row["memory, MB"] for row in rows}[NORM]
        own = {row["variant"]: row["memory to batch norm"] for row in rows}
        yield named | {"batch norm, MB": megabytes} | _picked(own)


def _picked(found: Mapping[str, float | None]) -> dict[str, float | None]:
    names = {"batch norm": NORM, "default": "default", "channel": "channel", "full 16": "full16", "paper": "paper"}
    return {title: found.get(name) for title, name in names.items()}


def _former(folder: Path) -> Iterator[Row]:
    """Ratios of the former library and of the present one, from the processes that took turns."""
    for dtype in DTYPES:
        file = folder / f"against-{dtype}-cpu.json"
        rows = load(file)["rows"] if file.exists() else []
        found = {(row["network"], row["variant"], row["checkout"] == "here"): row for row in rows}
        for network, variant in dict.fromkeys(key[:2] for key in found if key[1] != NORM):
            pair = [found[network, variant, present] for present in (False, True)]
            ratios = {
                f"{kind}, {which}": row[f"{kind} / batch norm"]
                for kind in ("step", "memory")
                for which, row in zip(("former", "present"), pair, strict=True)
            }
            yield {"network": NETWORKS[network], "device": f"CPU, {dtype}", "setting": variant} | ratios


def _inference(folder: Path) -> Iterator[Row]:
    names = {"batch norm": NORM, "batch norm, fused": f"{NORM}, fused", "paper, folded": "paper, folded"}
    for named, rows in _measured(folder, "inference"):
        found = {row["network"]: row["to no norm"] for row in rows}
        yield named | {shown: found.get(name) for shown, name in (names | {"published layers": "published"}).items()}
