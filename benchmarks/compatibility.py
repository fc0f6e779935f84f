"""Other libraries' networks, converted: ``python -m benchmarks.compatibility``.

Each network has random weights and sees 64 images of CIFAR-10, enlarged, in four batches of 16, again and again: as its
library builds it, and converted with nothing set; SGD, rate 0.01, momentum 0.9. Beside the losses, a row says how an
evaluation after two steps comes out, and what folding and a calibrated conversion change. A network runs in a process
of its own; one that fails or hangs is a row with the error. An output that exists is gone on with.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import netdeconv as nd
from benchmarks.compatibility_networks import NAMES, build, image_size, inputs_of, logits
from benchmarks.harness import environment, tables
from netdeconv.models import NormConfig
from netdeconv.models.normalisation import settings_of
from netdeconv.nn import WhitenedLayer
from netdeconv.surgery.batches import relative_difference
from netdeconv.surgery.norms import is_norm
from netdeconv.surgery.notices import counted
from netdeconv.surgery.plain import plain_base
from netdeconv.surgery.policy import make_plan

BATCH, BATCHES, LR, MOMENTUM = 16, 4, 0.01, 0.9
# networks with more operations an image, forwards, or more weights make a fourth of the steps
_MANY_OPERATIONS, _MANY_WEIGHTS = 4e8, 3e7
# A process that waits may take so many times its seconds.
_WALL = 20


def images_and_labels(root: Path, further: int = 0) -> tuple[Tensor, Tensor]:
    """The first images of CIFAR-10, normalised: training batches, one more to evaluate on, and further images."""
    from torchvision.datasets import CIFAR10

    data = CIFAR10(root, train=True)
    number = (BATCHES + 1) * BATCH + further
    images = torch.from_numpy(data.data[:number]).permute(0, 3, 1, 2).float() / 127.5 - 1
    return images * 2, torch.tensor(data.targets[:number])


class Check:
    """One network's row.

    Args:
        name: of the network.
        images: (N, 3, 32, 32), of the dtype that all is computed in.
        labels: (N,).
        steps: of a small network.
        lr: learning rate.
        iterations: of the inverse roots of all layers; ``None``: the default's.
    """

    def __init__(
        self, name: str, images: Tensor, labels: Tensor, steps: int, lr: float = LR, iterations: int | None = None
    ) -> None:
        size = image_size(name)
        self.lr = lr
        self.settings = settings_of(NormConfig(name="default", num_iterations=iterations, stem_iterations=iterations))
        large = nn.functional.interpolate(images, (size, size), mode="bilinear")
        batches = [*zip(inputs_of(name, large).split(BATCH), labels.split(BATCH), strict=True)]
        self.training, self.held_out = batches[:BATCHES], batches[BATCHES]
        self.inputs = [inputs for inputs, _ in self.training]
        self.further = [inputs for inputs, _ in batches[BATCHES + 1 :]]
        torch.manual_seed(0)
        self.original = build(name).to(images.dtype).train()
        self.row: dict[str, Any] = {"network": name, "pixels": size}
        self.steps = steps

    def run(self) -> dict[str, Any]:
        """Everything, the row as far as it got in ``self.row``."""
        steps = self._steps()
        self.row["steps"] = steps
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = nd.convert(self.original, self.settings)
        self._count(model, [str(w.message) for w in caught])
        with_norms = copy.deepcopy(self.original)
        self._train(with_norms, steps, "batch norm")
        self.row["calibration, difference"] = self._calibration(with_norms)
        del with_norms
        self._train(model, steps, "converted", evaluate=True)
        nd.recalibrate(model, self.inputs[:2])
        model.eval()
        with torch.no_grad():
            expected = model(self.held_out[0])
            self.row["folded, difference"] = relative_difference(nd.fold(model).eval()(self.held_out[0]), expected)
        return self.row

    def _steps(self) -> int:
        model = copy.deepcopy(self.original).eval().requires_grad_(False)  # the counter follows gradients
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(self.inputs[0][:1])
        operations = counter.get_total_flops()
        self.row["GFLOP an image"] = round(operations / 1e9, 3)
        many = operations > _MANY_OPERATIONS or sum(p.numel() for p in model.parameters()) > _MANY_WEIGHTS
        return max(2, self.steps // 4) if many else self.steps

    def _count(self, model: nn.Module, notes: list[str]) -> None:
        layers = sum(plain_base(m) is not None or isinstance(m, WhitenedLayer) for m in model.modules())
        whitened = sum(isinstance(m, WhitenedLayer) for m in model.modules())
        norms = [sum(is_norm(m) for m in net.modules()) for net in (model, self.original)]
        self.row |= {"whitened": f"{whitened} of {layers}", "norms left": f"{norms[0]} of {norms[1]}"}
        kept = make_plan(self.original).skipped
        of_norms = (kept[name] for name, module in self.original.named_modules() if name in kept and is_norm(module))
        self.row |= {"norms left, why": counted(of_norms), "warning": " ".join(notes)[:600]}

    def _loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(logits(model(batch[0])), batch[1])

    def _train(self, model: nn.Module, steps: int, label: str, *, evaluate: bool = False) -> None:
        torch.manual_seed(1)
        optimizer = torch.optim.SGD(model.parameters(), self.lr, MOMENTUM)
        losses = []
        for step in range(steps):
            optimizer.zero_grad()
            loss = self._loss(model, self.training[step % BATCHES])
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            if step == 1 and evaluate:
                self._evaluate(model)
        self.row[f"first loss, {label}"] = losses[0]
        self.row[f"last loss, {label}"] = sum(losses[-BATCHES:]) / min(BATCHES, steps)

    @torch.no_grad()
    def _evaluate(self, model: nn.Module) -> None:
        """Loss on a held-out batch: with its own statistics, with running ones, and with those of a recalibration."""
        state = {name: buffer.clone() for name, buffer in model.named_buffers()}
        with nd.surgery.batch_statistics(model):
            self.row["evaluated, batch statistics"] = float(self._loss(model, self.held_out))
        model.eval()
        self.row["evaluated, running"] = float(self._loss(model, self.held_out))
        nd.recalibrate(model, [*self.inputs, *self.further])
        self.row["evaluated, recalibrated"] = float(self._loss(model, self.held_out))
        for name, buffer in model.named_buffers():
            buffer.copy_(state[name])
        model.train()

    @torch.no_grad()
    def _calibration(self, trained: nn.Module) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nd.recalibrate(trained, self.inputs[:2])  # after few steps running statistics are those of no network
            model = nd.convert(trained.eval(), calibration=self.inputs[:1]).eval()
        return relative_difference(model(self.held_out[0]), trained(self.held_out[0]))


def _child(name: str, images: Tensor, labels: Tensor, options: argparse.Namespace, results: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (options.limit, options.limit + 5))
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    row: dict[str, Any] = {"network": name}
    try:
        check = Check(name, images, labels, options.steps, options.lr, options.num_iterations)
        row = check.row
        row = check.run()
    except Exception as error:  # the row says what a user would see
        row["error"] = f"{type(error).__name__}: {error}"[:400]
        if os.environ.get("COMPATIBILITY_TRACEBACK"):
            import traceback

            traceback.print_exc()
    results.send(row)


def check(name: str, images: Tensor, labels: Tensor, options: argparse.Namespace) -> dict[str, Any]:
    """One network in a process of its own, forked so that it need not import everything again."""
    context, limit = multiprocessing.get_context("fork"), options.limit
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(name, images, labels, options, sending), daemon=True)
    process.start()
    sending.close()
    try:
        if not receiving.poll(_WALL * limit):
            return {"network": name, "error": f"no result after {_WALL * limit} seconds"}
        row: dict[str, Any] = receiving.recv()
        return row
    except EOFError:
        process.join(10)
        slow = process.exitcode == -signal.SIGXCPU
        died = f"its process died with status {process.exitcode}"
        return {"network": name, "error": f"no result after {limit} seconds of the processor" if slow else died}
    finally:
        process.kill()
        process.join()


def main(arguments: Sequence[str] | None = None) -> None:
    """Check all that are asked for and not yet in the output."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compatibility", description=__doc__)
    parser.add_argument("--names", nargs="+", default=NAMES, help="library/network")
    parser.add_argument("--again", nargs="*", default=None, help="run these again")
    parser.add_argument("--merge", nargs="*", type=Path, default=[], help="files of other runs, whose rows come along")
    parser.add_argument(
        "--steps",
        type=int,
        default=20,
        help="a fourth for networks of more than 0.4 GFLOP an image or 30 million weights",
    )
    parser.add_argument(
        "--further", type=int, default=0, help="images that `recalibrate` sees beside those of training"
    )
    parser.add_argument("--lr", type=float, default=LR)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--num-iterations", type=int, default=None, help="steps of all layers' inverse roots")
    parser.add_argument("--limit", type=int, default=120, help="seconds of the processor for a network")
    parser.add_argument("--output", type=Path, default=Path("results/checks/compatibility.json"))
    options = parser.parse_args(given)
    begun = time.perf_counter()
    device = environment.prepare("cpu", 1)
    images, labels = images_and_labels(Path(os.environ.get("NETDECONV_DATA", "data")), options.further)
    images = images.to(getattr(torch, options.dtype))
    if any(name.startswith("timm/") for name in options.names):
        with contextlib.suppress(ImportError):
            import timm  # noqa: F401 (once, before the processes are forked)
    files = [json.loads(file.read_text()) for file in (options.output, *options.merge) if file.exists()]
    known = {row["network"]: row for file in reversed(files) for row in file["rows"]}
    before = sum(file["minutes"] for file in files)
    missing = [name for name in options.names if name not in known or name in (options.again or ())]
    for name in missing:
        known[name] = check(name, images, labels, options)
        print(known[name], flush=True)
        _write(options, known, device, begun - 60 * before)
    if options.merge:
        _write(options, known, device, begun - 60 * before)


def _write(options: argparse.Namespace, known: dict[str, dict[str, Any]], device: torch.device, begun: float) -> None:
    usual = {"further": 0, "lr": LR, "dtype": "float32", "num_iterations": None}
    changed = "".join(
        f" --{key.replace('_', '-')} {own}" for key, value in usual.items() if (own := getattr(options, key)) != value
    )
    table = tables.build(
        "Other libraries' networks",
        command=f"python -m benchmarks.compatibility --steps {options.steps}{changed}",
        config={"batch_size": BATCH, "images": BATCH * BATCHES, "lr": options.lr, "momentum": MOMENTUM},
        seed=0,
        device=device,
        begun=begun,
        rows=[known[name] for name in NAMES if name in known] + [r for n, r in known.items() if n not in NAMES],
    )
    tables.write(table, options.output)


if __name__ == "__main__":
    main()
