"""Does rounding change training? ``python -m benchmarks.precision_accuracy --data-dir ROOT``.

A half-width VGG-11 with blocks of 16 channels on CIFAR-10, bfloat16 autocast, evaluated on 5000 images cut from the
training set, with the arithmetic of whitening at different precisions: all of it in float32, as the library does it,
and with the products of the inverse root rounded as in ``benchmarks.precision``, forward and backward. Run directories
are kept and resumed.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks import runs as runs_table
from benchmarks.environment import command
from benchmarks.less_work import NAME, config
from benchmarks.precision import PRODUCTS, Product, root
from netdeconv.linalg import NewtonSchulz
from netdeconv.training import RunResult, TrainingConfig, run

_CANDIDATE = "full 16, fewer rows"


class _Rounded(torch.autograd.Function):
    """A product of rounded factors, whose derivative's products are rounded likewise."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, product: Product) -> Tensor:
        ctx.product = product
        ctx.save_for_backward(left, right)
        return product(left, right)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        left, right = ctx.saved_tensors
        return ctx.product(grads[0], right.mT), ctx.product(left.mT, grads[0]), None


def rounded_root(product: Product) -> Callable[..., Tensor]:
    """Stands in for :func:`netdeconv.inverse_sqrt`."""

    def inverse_sqrt(matrix: Tensor, *, method: NewtonSchulz) -> Tensor:
        with torch.autocast(matrix.device.type, enabled=False):
            return root(matrix, method.num_iterations, lambda a, b: _Rounded.apply(a, b, product))

    return inverse_sqrt


def _wide(dtype: torch.dtype, statistics: torch.dtype, num_iterations: int) -> torch.dtype:
    return torch.promote_types(dtype, statistics)


@contextlib.contextmanager
def arithmetic(name: str) -> Iterator[None]:
    """Train at a precision of :data:`VARIANTS`."""
    with contextlib.ExitStack() as stack:
        if name == "float32":
            for module in ("functional", "weighted"):
                stack.enter_context(mock.patch(f"netdeconv.nn.{module}.product_dtype", _wide))
        elif name.startswith("root: "):
            own = rounded_root(PRODUCTS[name.removeprefix("root: ")])
            stack.enter_context(mock.patch("netdeconv.nn.functional.inverse_sqrt", own))
        yield


VARIANTS = ("float32", "as the library", *(f"root: {name}" for name in PRODUCTS if name != "float32"))


def settings(seed: int, epochs: int, images: int | None) -> TrainingConfig:
    """Those of ``benchmarks.less_work``, in bfloat16 on every processor."""
    return dataclasses.replace(config(_CANDIDATE, seed, epochs, images), precision="bf16-mixed")


def measure(options: argparse.Namespace) -> None:
    """Train what is missing; write the table after every run."""
    epochs, images = options.epochs, options.images
    kind = f"{epochs}-epochs" if images is None else f"{epochs}-epochs-of-{images}"
    results: dict[str, dict[int, RunResult]] = {name: {} for name in VARIANTS}
    for seed in options.seeds:
        for name in VARIANTS:
            folder = options.runs / kind / f"seed{seed}" / name.replace(" ", "_").replace(":", "").replace(",", "")
            own = settings(seed, epochs, images)
            data = dataclasses.replace(own.data, data_dir=options.data_dir)
            own = dataclasses.replace(own, data=data, result_path=str(folder))
            with arithmetic(name):
                results[name][seed] = run(own, resume=(folder / "config.json").exists(), progress=False)
            print(f"seed {seed}, {name}: {results[name][seed].accuracy:.2f} %", flush=True)
            write(results, options)


def write(results: dict[str, dict[int, RunResult]], options: argparse.Namespace) -> None:
    """The table of what is there."""
    trained = "" if options.images is None else f", trained on {options.images} images"
    table = runs_table.build(
        f"Rounding of whitening's arithmetic: a half-width VGG-11 on CIFAR-10{trained}, 5000 others cut from train",
        command=command("precision_accuracy", options.arguments),
        config={"all rows": runs_table.settings(settings(0, options.epochs, options.images))},
        results=[result for by_seed in results.values() for result in by_seed.values()],
        rows=[_row(name, by_seed) for name, by_seed in results.items() if by_seed],
        note="Mean and standard deviation over seeds after the last epoch. As the library: covariance and product with "
        "the weight of bfloat16 factors, inverse root in float32.",
    )
    runs_table.write(table, f"{NAME.replace('less-work', 'precision')}.json")


def _row(name: str, by_seed: dict[int, RunResult]) -> dict[str, Any]:
    accuracies = [result.accuracy for result in by_seed.values()]
    return {
        "arithmetic": name,
        "accuracy %": round(statistics.mean(accuracies), 2),
        "spread": round(statistics.stdev(accuracies), 2) if len(accuracies) > 1 else None,
        "seeds": len(accuracies),
        "train loss": round(statistics.mean(result.history[-1]["train_loss"] for result in by_seed.values()), 4),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision_accuracy", description=__doc__)
    parser.add_argument("--data-dir", default=None, help="folder of the data sets; else NETDECONV_DATA")
    parser.add_argument("--runs", type=Path, default=Path("runs/precision-accuracy"), help="run directories")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--images", type=int, default=None, help="to train on in an epoch; else all 45000")
    arguments = sys.argv[1:] if arguments is None else arguments
    measure(parser.parse_args(arguments, argparse.Namespace(arguments=arguments)))


if __name__ == "__main__":
    main()
