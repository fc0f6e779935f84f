"""Single layers and single operations over a grid of sizes: ``python -m benchmarks.layers``.

From a base point one size at a time is varied. Every operation is compared with a bound, the time that its fewest
operations and bytes take at the machine's measured peak; whitened layers are compared with the convolution itself.
How fast times grow is the slope of a line through their logarithms.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from benchmarks.harness import environment, options
from benchmarks.harness.layer_parts import STRUCTURES, Point, layers, operations
from benchmarks.harness.machine import Peak, measure_peak
from benchmarks.harness.timing import quartiles, rounded

# What is varied, over which values, and which other sizes of the base point it needs changed.
VARIATIONS: tuple[tuple[str, tuple[int, ...], dict[str, int]], ...] = (
    ("channels", (64, 128, 256, 512, 1024), {}),
    ("kernel", (1, 3, 5, 7), {"group_size": 16}),  # at 64 channels a block, 7x7 kernels would make 3136 features
    ("batch", (32, 64, 128, 256), {}),
    ("size", (8, 16, 32), {}),
    ("group_size", (8, 16, 32, 64), {}),
)
BASES = {"cpu": Point(256, 3, 64, 8, 64), "cuda": Point(256, 3, 256, 14, 64)}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; the base point's sizes are options of the same names."""
    parser = options.parser("layers", __doc__, rounds=20, warmup=1)
    for field in dataclasses.fields(Point):
        flag = "--" + field.name.replace("_", "-")
        parser.add_argument(flag, type=int, default=None, help=f"of the base point (cpu: {BASES['cpu']})")
    parser.add_argument("--vary", nargs="*", default=None, help="quantities to vary; all of them otherwise")
    parser.add_argument("--values", type=int, nargs="+", default=None, help="values instead of the usual ones")
    parser.add_argument("--seconds", type=float, default=4.0, help="of timed rounds at one point, at most")
    parser.add_argument("--peak-scale", type=float, default=1.0, help="factor on the sizes that measure the peak")
    return parser.parse_args(arguments)


def _base(settings: argparse.Namespace) -> tuple[Point, dict[str, int]]:
    """The base point, and which of its sizes were given."""
    names = [field.name for field in dataclasses.fields(Point)]
    given = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    return dataclasses.replace(BASES[settings.device], **given), given


def points(settings: argparse.Namespace) -> list[tuple[str, int, Point]]:
    """Varied quantity, value, and the point."""
    base, given = _base(settings)
    return [
        (name, value, dataclasses.replace(base, **{**changes, **given, name: value}))
        for name, values, changes in VARIATIONS
        if settings.vary is None or name in settings.vary
        for value in settings.values or values
    ]


def measure_point(
    point: Point, settings: argparse.Namespace, device: torch.device, peak: Peak
) -> tuple[dict[str, float], dict[str, Any]]:
    """Median seconds of everything at one point, and the cells of its row."""
    dtype = environment.DTYPES[settings.dtype]
    torch.manual_seed(settings.seed)
    parts = {**dict(layers(point, dtype, device)), **dict(operations(point, dtype, device))}
    actions = {name: part.run for name, part in parts.items()}
    samples = options.timed(settings, actions, device, budget_seconds=settings.seconds)
    found = {name: quartiles(samples.seconds[name]) for name in parts}
    seconds = {name: spread[1] for name, spread in found.items() if spread is not None}
    cells: dict[str, Any] = {}
    for name, part in parts.items():
        if name not in seconds:
            cells[name] = None
            continue
        reference = seconds.get("convolution") if name in STRUCTURES else None
        reference = reference or peak.bound(part.operations, part.moved, part.dtype)
        cells[name] = [rounded(1e3 * seconds[name], 3), rounded(seconds[name] / reference, 3)]
    if samples.errors:
        cells["error"] = "; ".join(f"{name}: {error}" for name, error in samples.errors.items())
    return seconds, cells


def growth(values: Sequence[float], seconds: Sequence[float]) -> float | None:
    """The exponent p of seconds ~ value^p: the slope of the least squares line through the logarithms."""
    if len(set(values)) < 2 or len(values) != len(seconds):
        return None
    x, y = ([math.log(number) for number in numbers] for numbers in (values, seconds))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    covariance = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return covariance / sum((a - mean_x) ** 2 for a in x)


def growth_rows(measured: Sequence[tuple[str, int, Mapping[str, float]]]) -> list[dict[str, Any]]:
    """One row for each varied quantity: the exponents of everything that was timed at all its values."""
    rows = []
    for varied in dict.fromkeys(name for name, _, _ in measured):
        chosen = [(value, seconds) for name, value, seconds in measured if name == varied]
        values = [float(value) for value, _ in chosen]
        names = [name for name in chosen[0][1] if all(name in seconds for _, seconds in chosen)]
        slopes = {name: growth(values, [seconds[name] for _, seconds in chosen]) for name in names}
        rows.append({"varied": varied, **{name: rounded(slope, 3) for name, slope in slopes.items()}})
    return rows


def measure(settings: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Measure the peak, then point after point."""
    begun = time.perf_counter()
    peak = measure_peak(device, {torch.float32, environment.DTYPES[settings.dtype]}, scale=settings.peak_scale)
    rows, measured = [], []
    for varied, value, point in points(settings):
        seconds, cells = measure_point(point, settings, device, peak)
        measured.append((varied, value, seconds))
        rows.append({"varied": varied, "value": value, **cells})
        print(f"{varied} {value}: {time.perf_counter() - begun:.0f} s", flush=True)
    return {
        "name": f"Single layers and operations: {settings.dtype}, {settings.device}",
        "config": {
            "points": [{"varied": varied, **dataclasses.asdict(point)} for varied, _, point in points(settings)]
        },
        "rows": rows,
        "note": (
            "Cells: median milliseconds, then times a reference. Layers are forward and backward together; the "
            "reference of full and channel is the convolution, that of everything else a bound: its fewest operations "
            f"and bytes at the machine's measured peak ({peak}). Single operations are those of structure full, in "
            f"float32. What is not varied: {_described(settings)}."
        ),
        "parts": [{"name": "How times grow: p of time ~ value^p", "rows": growth_rows(measured)}],
    }


def _described(settings: argparse.Namespace) -> str:
    """The base point, and what some variations change about it."""
    base, given = _base(settings)
    text = ", ".join(f"{name} {value}" for name, value in dataclasses.asdict(base).items())
    exceptions = [
        f"{name} {value} where the {varied} varies"
        for varied, _, changes in VARIATIONS
        for name, value in changes.items()
        if name not in given
    ]
    return f"{text} ({', '.join(exceptions)})" if exceptions else text


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print, write."""
    options.main("layers", arguments, parse, measure, lambda settings: options.output(settings, "layers"))


if __name__ == "__main__":
    main()
