"""Write the generated part of docs/performance.md: ``python -m benchmarks.performance_report [--check]``.

First the targets, each with what was measured and whether it is met; then every table of results/benchmarks/. What
was not measured says which command does so. Nothing is typed by hand.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.render_results import BEGIN, END, REPOSITORY, load, render_rows, render_table, update

PAGE = REPOSITORY / "docs" / "performance.md"
RESULTS = REPOSITORY / "results"
ON_GPU = "run benchmarks/gpu.sh on a GPU"
NAMES = {"vgg11": "VGG-11", "resnet18": "ResNet-18", "resnet50": "ResNet-50"}


@dataclasses.dataclass(frozen=True)
class Target:
    """One figure of one configuration, and what it may be at most.

    Args:
        figure: what is divided by what.
        configuration: network, device, dtype.
        at_most: the target.
        file: results file, relative to results/.
        column: where the ratio stands.
        rows: which rows have to meet it, by their first column; empty: all but batch norm's.
        how: what measures it.
        best: whether it is enough that one of the rows meets it.
    """

    figure: str
    configuration: str
    at_most: float
    file: str
    column: str
    rows: tuple[str, ...]
    how: str
    best: bool = False

    def judge(self, table: Mapping[str, Any] | None) -> dict[str, str | float]:
        """The line of the table of targets."""
        measured, met = (f"unmeasured: {self.how}", "-") if table is None else self._compare(table)
        return {
            "figure": self.figure,
            "configuration": self.configuration,
            "at most": self.at_most,
            "measured": measured,
            "met": met,
        }

    def _compare(self, table: Mapping[str, Any]) -> tuple[str, str]:
        found = {next(iter(row.values())): row for row in table["rows"]}
        names = self.rows or tuple(name for name in found if not str(name).startswith(("batch_norm", "batch norm")))
        values = {name: found[name].get(self.column) for name in names if name in found}
        texts = [
            f"{name} {_value(found[name], values[name])}" if name in found else f"{name} unmeasured" for name in names
        ]
        passing = [value is not None and value <= self.at_most for value in values.values()]
        if self.best:
            met = "yes" if any(passing) else "no"
        elif not all(passing):
            met = "no"
        else:
            met = "yes" if len(values) == len(names) else "-"
        return ", ".join(texts), met


def _value(row: Mapping[str, Any], value: float | None) -> str:
    if value is not None:
        return f"{value:.4g}"
    if "test accuracy" in row:  # trained, but not to batch norm's
        return f"not reached ({row['test accuracy']:.4g} % after {row['epochs']} epochs)"
    return f"failed ({row['error']})" if row.get("error") else "unmeasured"


def targets() -> Iterator[Target]:
    """The targets, in the order of the table."""
    configurations = [(arch, dtype) for arch in ("vgg11", "resnet18") for dtype in ("bfloat16", "float32")]
    whitened = ("channel", "full16", "full")
    steps = (
        ("training step / batch norm: channel", 1.0, "to batch norm", ("channel",)),
        ("training step / batch norm: block 16", 1.1, "to batch norm", ("full16",)),
        ("training step / batch norm: block 64", 1.5, "to batch norm", ("full",)),
        ("memory for backward / batch norm", 0.9, "memory to batch norm", whitened),
    )
    for figure, at_most, column, rows in steps:
        for arch, dtype in configurations:
            how = f"run `python -m benchmarks.training_step --arch {arch} --dtype {dtype}`"
            where = f"{NAMES[arch]}, batch 128, CPU, {dtype}"
            yield Target(figure, where, at_most, f"benchmarks/training-step-{arch}-{dtype}-cpu.json", column, rows, how)
    for arch, dtype in configurations:
        how = f"run `python -m benchmarks.inference --arch {arch} --dtype {dtype}`"
        file = f"benchmarks/inference-{arch}-{dtype}-cpu.json"
        rows = ("full, folded", "channel, folded")
        where = f"{NAMES[arch]}, batch 128, CPU, {dtype}"
        yield Target("folded inference / bare convolution network", where, 1.02, file, "to no norm", rows, how)
    for arch in ("resnet50", "resnet18"):
        file = f"benchmarks/training-step-imagenet-{arch}-bfloat16-cuda.json"
        where = f"{NAMES[arch]}, ImageNet shape, GPU, bfloat16"
        yield Target("training step / batch norm: default", where, 1.0, file, "to batch norm", ("default",), ON_GPU)
        figure, column = "memory of a step / batch norm: default", "memory to batch norm"
        yield Target(figure, where, 0.9, file, column, ("default",), ON_GPU)
    file = "benchmarks/training-step-resnet18-bfloat16-cuda.json"
    where = "ResNet-18, CIFAR shape, GPU, bfloat16"
    yield Target("training step / batch norm: block 64", where, 1.5, file, "to batch norm", ("full",), ON_GPU)
    for arch in ("vgg11", "resnet18"):
        # written by another program: rows by variant, whose column says seconds over those of the best batch norm
        yield Target(
            "seconds to the final accuracy of a searched batch norm / its seconds (the best variant)",
            f"{NAMES[arch]}, CIFAR-10, 5 epochs",
            0.5,
            f"seconds-to-accuracy-{arch}.json",
            "seconds to batch norm",
            (),
            f"run `python -m benchmarks.seconds_to_accuracy --arch {arch}`",
            best=True,
        )


def render(results: Path) -> str:
    """The whole block, markers included, from a folder of results."""
    rows = []
    for target in targets():
        file = results / target.file
        rows.append(target.judge(load(file) if file.exists() else None))
    tables = [render_table(load(path)) for path in sorted((results / "benchmarks").glob("*.json"))]
    heading = (
        "### Targets\n\nEvery figure is a ratio within one run: the median over the rounds. A row with several names "
        "is met when all of them meet it."
    )
    none_yet = ["No measurements are recorded yet."]
    return "\n\n".join([BEGIN, heading, render_rows(rows), *(tables or none_yet), END])


def main() -> int:
    """Rewrite or check the page; returns the exit status."""
    return update(PAGE, render(RESULTS), check="--check" in sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
