"""Images a second of the whole training program, and where its time goes: ``python -m benchmarks.pipeline``.

The real loop (``netdeconv.training.run``) trains on CIFAR-10, or on random images of its shape. Nothing in it is
changed: the task and the data it is handed, and torch's hooks around every optimiser's step, note the time when

    a batch is asked for | it is ready | the loss is begun | it is there | the optimiser begins | it has finished

so a step is divided into data, forward (with zero_grad), backward, optimiser and the rest (the loss, reading it, the
loop itself).
On a graphics card these moments wait for the device, which slows the program; images a second are then taken from a
second run without them.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from benchmarks import environment, options, tables
from benchmarks.timing import columns, describe, rounded
from netdeconv.data import DataConfig, InMemoryImages, RawImages, Splits, TrainingImages, info, open_splits
from netdeconv.lookup import look_up
from netdeconv.models import NORMALISATIONS, NormConfig
from netdeconv.tasks import Classification
from netdeconv.training import NetworkConfig, OptimizerConfig, TrainingConfig, run

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}
# what happened between two noted moments
PHASES = ("data", "forward", "rest", "backward", "optimizer", "rest")


class Moments:
    """The times of one run, step after step."""

    def __init__(self, synchronize: Callable[[], None], clock: Callable[[], float] = time.perf_counter) -> None:
        self._synchronize, self._clock = synchronize, clock
        self.times: list[float] = []

    def note(self, *_: Any) -> None:
        """Now."""
        self._synchronize()
        self.times.append(self._clock())

    def phases(self, warmup: int) -> dict[str, list[float]]:
        """Seconds of every phase in every step after the first ``warmup``."""
        starts = range(warmup * len(PHASES), len(self.times) - len(PHASES), len(PHASES))
        seconds: dict[str, list[float]] = {name: [] for name in PHASES}
        for start in starts:
            edges = self.times[start : start + len(PHASES) + 1]
            step = dict.fromkeys(PHASES, 0.0)
            for name, begun, ended in zip(PHASES, edges[:-1], edges[1:], strict=True):
                step[name] += ended - begun
            for name, value in step.items():
                seconds[name].append(value)
        return seconds


class _WatchedImages:
    """Training images whose batches' coming is noted; everything else is the images'."""

    def __init__(self, images: TrainingImages, moments: Moments) -> None:
        self._images, self._moments = images, moments

    def __len__(self) -> int:
        return len(self._images)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        self._moments.note()
        for batch in self._images.epoch(epoch):
            self._moments.note()
            yield batch
            self._moments.note()


@dataclasses.dataclass(frozen=True, kw_only=True)
class WatchedTask(Classification):
    """Classification that notes when losses are computed.

    Args:
        images: random training images; 0 reads the data set.
    """

    images: int = 0

    def open(self, config: DataConfig, *, seed: int, device: torch.device, shard: tuple[int, int] = (0, 1)) -> Splits:
        splits = _random_splits(self.images, config, seed, device) if self.images else None
        splits = splits or open_splits(config, seed=seed, device=device, shard=shard)
        # the loop evaluates after training, which is not what is measured: one image will do
        first = RawImages(splits.evaluation.images_NHWC[:1], splits.evaluation.labels_N[:1])
        evaluation = InMemoryImages(first, splits.info, batch_size=1, device=device)
        moments = _current
        train = splits.train if moments is None else _WatchedImages(splits.train, moments)
        return dataclasses.replace(splits, train=train, evaluation=evaluation)  # type: ignore[arg-type]

    def compute_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if _current is None or not torch.is_grad_enabled():
            return super().compute_loss(outputs, targets)
        _current.note()
        loss = super().compute_loss(outputs, targets)
        _current.note()
        return loss


# A run's settings are plain data, so the task cannot hold what records the times.
_current: Moments | None = None


def _random_splits(count: int, config: DataConfig, seed: int, device: torch.device) -> Splits:
    entry = info(config.dataset)
    channels, height, width = entry.shape
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, height, width, channels), generator=generator, dtype=torch.uint8)
    raw = RawImages(images, torch.randint(entry.num_classes, (count,), generator=generator))
    train = TrainingImages(
        raw, entry, batch_size=config.batch_size, device=device, augmentation=entry.augmentation, seed=seed
    )
    return Splits(entry, train, InMemoryImages(raw, entry, batch_size=1, device=device), "random images")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, checked."""
    parser = options.parser("pipeline", __doc__, rounds=60, warmup=10)
    parser.add_argument("--arch", default="vgg11")
    parser.add_argument("--width", type=float, default=1.0, help="factor on all channels")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--data-dir", default=None, help="folder with CIFAR-10; random images otherwise")
    parser.add_argument(
        "--variants",
        nargs="+",
        default=["batch_norm", "default", "paper"],
        metavar="NAME",
        help=", ".join(NORMALISATIONS),
    )
    parsed = parser.parse_args(arguments)
    for name in parsed.variants:
        look_up("variant", name, NORMALISATIONS)
    return parsed


def _config(settings: argparse.Namespace, name: str, folder: str) -> TrainingConfig:
    images = settings.batch_size * (settings.rounds + settings.warmup)
    return TrainingConfig(
        task=WatchedTask(images=0 if settings.data_dir else images),
        data=DataConfig(
            dataset="cifar10",
            data_dir=settings.data_dir,
            batch_size=settings.batch_size,
            train_size=min(images, 50_000) if settings.data_dir else None,
        ),
        network=NetworkConfig(arch=settings.arch, width=settings.width, norm=NormConfig(name=name)),
        optimizer=OptimizerConfig(lr=0.01),
        epochs=1,
        seed=settings.seed,
        precision=PRECISIONS[settings.dtype],  # type: ignore[arg-type]
        device=settings.device,
        threads=settings.threads,
        result_path=str(Path(folder) / "run"),
    )


def train(settings: argparse.Namespace, name: str, moments: Moments | None) -> float:
    """One short training, noted in ``moments``; returns its median seconds a step, as the loop measured them."""
    global _current
    hooks = []
    if moments is not None:
        hooks = [register_optimizer_step_pre_hook(moments.note), register_optimizer_step_post_hook(moments.note)]
    _current = moments
    try:
        with tempfile.TemporaryDirectory() as folder:
            return run(_config(settings, name, folder), progress=False).seconds_per_step
    finally:
        _current = None
        for hook in hooks:
            hook.remove()


def row(settings: argparse.Namespace, name: str, device: torch.device) -> dict[str, Any]:
    """One line of the table."""
    moments = Moments(environment.synchronizer(device))
    try:
        train(settings, name, moments)
        unwatched = train(settings, name, None) if device.type == "cuda" else None
    except Exception as error:  # a row of the table
        return {"variant": name, "error": describe(error)}
    seconds = moments.phases(settings.warmup)
    total = sum(map(sum, seconds.values()))
    steps = [sum(step) for step in zip(*seconds.values(), strict=True)]
    return {
        "variant": name,
        "images a second": rounded(settings.batch_size / (unwatched or statistics.median(steps))),
        **columns("seconds a step", steps),
        **{f"{phase}, %": rounded(100 * sum(values) / total, 3) for phase, values in seconds.items()},
    }


def measure(settings: argparse.Namespace, command: str) -> dict[str, Any]:
    """Train with every variant; return the table."""
    begun = time.perf_counter()
    device = environment.prepare(settings.device, settings.threads)
    rows = [row(settings, name, device) for name in settings.variants]
    data = "CIFAR-10" if settings.data_dir else "random images"
    named = ("arch", "width", "batch_size", "dtype", "device", "rounds", "warmup")
    return tables.build(
        f"Training program: {settings.arch} on {data}, {settings.dtype}, {settings.device}",
        command=command,
        config={name: getattr(settings, name) for name in named} | {"data": data},
        seed=settings.seed,
        device=device,
        begun=begun,
        rows=rows,
        note="Images a second: batch over the median step. The rest is the loss, reading it, and the loop itself.",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print, write."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    settings = parse(given)
    table = measure(settings, environment.command("pipeline", given))
    tables.show(table)
    tables.write(table, options.output(settings, "pipeline", settings.arch))


if __name__ == "__main__":
    main()
