"""At which precision D keeps its value: ``python -m benchmarks.precision --data-dir ROOT``.

Covariances are those of a real network: a VGG-11 with full whitening, blocks of 16 and 64 channels, after a few steps
on CIFAR-10 (random images without a data set, which the table says). The n-step root is computed
with products in float32 and with rounded factors, as tensor cores take them: TF32 (10 bits), bfloat16 (7 bits), and
bfloat16 split into two parts with three products. Sums are float32 in every case. Errors are relative to float64.

The covariance itself is also made of rows rounded to bfloat16, as the library does for bfloat16 input, and of the next
batch: the change that training lives with anyway. Its roots are exact.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.harness import options, tables
from netdeconv import Whitening, convert, models
from netdeconv.data.config import DataConfig
from netdeconv.linalg import patch_statistics
from netdeconv.nn import WhitenedConv2d
from netdeconv.tasks import Classification

Product = Callable[[Tensor, Tensor], Tensor]
STEPS, BATCH, EPS = 20, 128, 1e-5


def round_mantissa(tensor: Tensor, bits: int) -> Tensor:
    """Float32 numbers rounded to nearest with this many bits behind the leading one."""
    spare = 23 - bits
    integers = tensor.contiguous().view(torch.int32)
    half = (1 << (spare - 1)) - 1 + ((integers >> spare) & 1)  # ties to even
    return ((integers + half) & ~((1 << spare) - 1)).view(torch.float32)


def _split(left: Tensor, right: Tensor) -> Tensor:
    highs = round_mantissa(left, 7), round_mantissa(right, 7)
    lows = round_mantissa(left - highs[0], 7), round_mantissa(right - highs[1], 7)
    return highs[0] @ highs[1] + (highs[0] @ lows[1] + lows[0] @ highs[1])


PRODUCTS: dict[str, Product] = {
    "float32": torch.matmul,
    "split bfloat16, three products": _split,
    "TF32": lambda a, b: round_mantissa(a, 10) @ round_mantissa(b, 10),
    "bfloat16": lambda a, b: round_mantissa(a, 7) @ round_mantissa(b, 7),
}


def root(matrix: Tensor, steps: int, product: Product) -> Tensor:
    """The n-step root, as in ``netdeconv.linalg.newton_schulz``, with products of a given kind."""
    norm = torch.linalg.matrix_norm(matrix, keepdim=True)
    p = matrix / norm
    eye = torch.eye(p.shape[-1], dtype=p.dtype).expand_as(p)
    z = 1.5 * eye - 0.5 * p
    for _ in range(steps - 1):
        half = 1.5 * p - 0.5 * product(p, p)
        p = 1.5 * half - 0.5 * product(p, half)
        z = 1.5 * z - 0.5 * product(p, z)
    return (z + z.mT) / 2 / norm.sqrt()


def whitened_error(matrix: Tensor, actual: Tensor, exact: Tensor) -> float:
    """Largest relative change of the standard deviation of any direction of the data after whitening."""
    factor = torch.linalg.cholesky(matrix)
    difference = torch.linalg.matrix_norm(factor.mT @ (actual.double() - exact), 2)
    return float((difference / torch.linalg.matrix_norm(factor.mT @ exact, 2)).max())


class Covariances(NamedTuple):
    """Of one layer's bfloat16 input: exact, of rounded rows, and exact of the next batch, all in float64."""

    exact: Tensor
    rounded: Tensor
    next: Tensor


def covariances(data_dir: str | None, group_size: int) -> tuple[dict[str, Covariances], str]:
    """Those of the 3x3 layers of a network that has trained for a few steps, by name."""
    torch.manual_seed(0)
    model = convert(models.build("vgg11", num_classes=10, in_channels=3), Whitening(group_size=group_size))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    found: dict[str, list[Tensor]] = {}

    def note(name: str, layer: WhitenedConv2d) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].detach().bfloat16()
            plan = layer.sampler.plan(x.shape)[0], layer.sampler.grouping
            exact = patch_statistics(x.double(), *plan)[2]
            rounded = patch_statistics(x, *plan, factors=x.dtype)[2].double()
            own = EPS * torch.eye(exact.shape[-1], dtype=exact.dtype)
            found.setdefault(name, []).extend((exact + own, rounded + own))

        return hook

    batches, source = _batches(data_dir)
    for step, (images, labels) in enumerate(batches):
        if step == STEPS:
            for name, module in model.named_modules():
                if isinstance(module, WhitenedConv2d):
                    module.register_forward_pre_hook(note(name, module))
        if step > STEPS:
            model(images)
            return {name: Covariances(*own[:3]) for name, own in found.items()}, source
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        if step < STEPS:
            optimizer.step()
    raise ValueError("too few batches")


def _batches(data_dir: str | None) -> tuple[Iterator[tuple[Tensor, Tensor]], str]:
    if data_dir is None:
        random = ((torch.randn(BATCH, 3, 32, 32), torch.randint(10, (BATCH,))) for _ in range(STEPS + 2))
        return random, "random images"
    data = DataConfig(dataset="cifar10", batch_size=BATCH, data_dir=data_dir)
    return iter(Classification().open(data, seed=0, device=torch.device("cpu")).train.epoch(1)), "CIFAR-10"


def measure(settings: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """One row for each block size, number of steps and kind of rounding; the worst layer."""
    rows = []
    for group_size in (16, 64):
        found, source = covariances(settings.data_dir, group_size)
        for steps in (5, 7, 10, 15):
            for name, matrix in _roots(steps).items():
                worst = _worst(list(found.values()), steps, matrix)
                rows.append({"channels in a block": group_size, "steps": steps, "rounded": name} | worst)
    return {
        "name": f"Precision of covariances and of the inverse root's products, covariances of {source}",
        "config": {"arch": "vgg11", "training steps": STEPS, "batch": BATCH, "eps": EPS, "data": source},
        "rows": rows,
        "note": "The worst of the layers. Error of D: in the Frobenius norm. Change of the whitened data: the largest "
        "singular value of the change of L^T D against that of L^T D, L L^T being the covariance.",
    }


def _roots(steps: int) -> dict[str, Callable[[Covariances], Tensor]]:
    """By what is rounded: how the whitening matrix is made of a layer's covariances."""

    def by(product: Product) -> Callable[[Covariances], Tensor]:
        return lambda own: root(own.exact.float(), steps, product)

    return {f"root: {name}": by(product) for name, product in PRODUCTS.items()} | {
        "covariance: bfloat16": lambda own: root(own.rounded, steps, torch.matmul),
        "nothing: the next batch": lambda own: root(own.next, steps, torch.matmul),
    }


def _worst(found: list[Covariances], steps: int, matrix: Callable[[Covariances], Tensor]) -> dict[str, float]:
    errors, changes = [], []
    for own in found:
        exact, actual = root(own.exact, steps, torch.matmul), matrix(own)
        errors.append(float((actual - exact).norm() / exact.norm()))
        changes.append(whitened_error(own.exact, actual, exact))
    return {"error of D": max(errors), "change of the whitened data": max(changes)}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = options.parser("precision", __doc__)
    parser.add_argument("--data-dir", default=None, help="folder of the data sets; without it, random images")
    return options.parse(parser, arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, write."""
    file = tables.FOLDER / "precision.json"
    options.main("precision", arguments, parse, measure, lambda settings: settings.output or file)


if __name__ == "__main__":
    main()
