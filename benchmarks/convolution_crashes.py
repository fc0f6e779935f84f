"""Which convolutions crash the process? ``python -m benchmarks.convolution_crashes [--layer whitened]``.

On some processors torch 2.15 corrupts memory in the backward pass of strided 1x1 convolutions. Every combination of
channels, kernel, stride, groups, memory formats, dtype and dimensions is trained for some steps in a child process of
its own, so that a crash is a row of the table. ``--layer torch`` sweeps torch's function, ``--layer whitened`` ours.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

import netdeconv as nd
from benchmarks.harness import options, tables

STEPS, BATCH, OUTPUTS, TIME_LIMIT = 6, 8, 48, 60
SIZES = {1: 4096, 2: 96, 3: 24}
LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
PLAIN: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
WHITENED: dict[int, type[nn.Module]] = {1: nd.WhitenedConv1d, 2: nd.WhitenedConv2d, 3: nd.WhitenedConv3d}


class Case(NamedTuple):
    """One convolution."""

    axes: int
    channels: int
    kernel: int
    stride: int
    groups: int
    input_last: bool
    weight_last: bool
    dtype: str


def cases(channels: Sequence[int]) -> Iterator[Case]:
    """All combinations; memory formats exist from two dimensions on."""
    for axes, c, kernel, stride, dtype in itertools.product(
        (1, 2, 3), channels, (1, 2, 3), (1, 2, 3), ("float32", "float64", "bfloat16")
    ):
        formats = [(False, False)] if axes == 1 else list(itertools.product((False, True), repeat=2))
        for groups, (input_last, weight_last) in itertools.product(sorted({1, c}), formats):
            yield Case(axes, c, kernel, stride, groups, input_last, weight_last, dtype)


def train(case: Case, *, whitened: bool) -> None:
    """Some steps of one layer; the process may not survive them."""
    dtype: torch.dtype = getattr(torch, case.dtype)
    outputs = OUTPUTS if case.groups == 1 else case.groups
    kinds = WHITENED if whitened else PLAIN
    layer = kinds[case.axes](case.channels, outputs, case.kernel, stride=case.stride, groups=case.groups, dtype=dtype)
    if case.weight_last:
        layer.to(memory_format=LAST[case.axes])
    for _ in range(STEPS):
        x = torch.randn(BATCH, case.channels, *(SIZES[case.axes],) * case.axes, dtype=dtype)
        if case.input_last:
            x = x.to(memory_format=LAST[case.axes])
        layer(x.requires_grad_()).sum().backward()


def outcome(case: Case, *, whitened: bool) -> str:
    """Train in a child process; "" when it lives, else what ended it."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        signal.alarm(TIME_LIMIT)
        torch.set_num_threads(1)
        try:
            train(case, whitened=whitened)
        except Exception:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return "" if os.WEXITSTATUS(status) == 0 else "error"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = options.parser("convolution_crashes", __doc__)
    parser.add_argument("--layer", choices=("torch", "whitened"), default="torch")
    parser.add_argument("--channels", type=int, nargs="+", default=[1, 2, 3, 4, 8, 12, 15, 16, 17, 32])
    return options.parse(parser, arguments)


def measure(settings: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Sweep; one row for each that ended its process."""
    outcomes = {case: outcome(case, whitened=settings.layer == "whitened") for case in cases(settings.channels)}
    rows = [{**case._asdict(), "ended by": found} for case, found in outcomes.items() if found]
    return {
        "name": f"Convolutions whose training ends the process: {settings.layer}",
        "config": {"steps": STEPS, "batch_size": BATCH, "combinations": len(outcomes)},
        "rows": rows or [{"ended by": None}],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, sweep, write."""
    folder = tables.FOLDER.parent / "checks"
    options.main(
        "convolution_crashes",
        arguments,
        parse,
        measure,
        lambda settings: settings.output or folder / f"convolution-crashes-{settings.layer}.json",
    )


if __name__ == "__main__":
    main()
