"""Images a second of the whole training program, and where its time goes: ``python -m benchmarks.pipeline``.

The real loop (``netdeconv.training.run``) trains on random images of CIFAR-10's shape. Nothing in it is changed: the
task and the data it is handed, and torch's hooks around every optimiser's step, note the time when

    a batch is asked for | it is ready | the loss is begun | it is there | the optimiser begins | it has finished

so a step is divided into data, forward (with zero_grad), backward, optimiser and the rest (the loss, reading it, the
loop itself). On a graphics card these moments wait for the device, which slows the program; images a second are then
taken from a second run without them.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from benchmarks.harness import environment, options
from benchmarks.harness.timing import columns, describe, rounded
from netdeconv.data import DataConfig, EvaluationData, HeldImages, RawImages, Splits, TrainingData, info
from netdeconv.models import NormConfig
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

    def __init__(self, images: TrainingData, moments: Moments) -> None:
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
    """Classification of random images that notes when batches come and losses are computed.

    Args:
        images: training images.
    """

    images: int = 0

    def open(self, config: DataConfig, *, seed: int, device: torch.device, shard: tuple[int, int] = (0, 1)) -> Splits:
        del shard
        entry = info(config.dataset)
        channels, height, width = entry.shape
        generator = torch.Generator().manual_seed(seed)
        images = torch.randint(256, (self.images, height, width, channels), generator=generator, dtype=torch.uint8)
        raw = RawImages(images, torch.randint(entry.num_classes, (self.images,), generator=generator))
        varied, plain = (HeldImages(raw, device=device, augmentation=each) for each in (entry, None))
        train = TrainingData(varied, entry, torch.arange(self.images), batch_size=config.batch_size, seed=seed)
        # the loop evaluates after training, which is not what is measured: one image will do
        first = EvaluationData(plain, entry, [torch.arange(1)])
        watched = train if _current is None else _WatchedImages(train, _current)
        return Splits(entry, watched, first, "random images")  # type: ignore[arg-type]

    def compute_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if _current is None or not torch.is_grad_enabled():
            return super().compute_loss(outputs, targets)
        _current.note()
        loss = super().compute_loss(outputs, targets)
        _current.note()
        return loss


# A run's settings are plain data, so the task cannot hold what records the times.
_current: Moments | None = None


def train(settings: argparse.Namespace, name: str, moments: Moments | None) -> float:
    """One short training, noted in ``moments``; returns its median seconds a step, as the loop measured them."""
    global _current
    hooks = []
    if moments is not None:
        hooks = [register_optimizer_step_pre_hook(moments.note), register_optimizer_step_post_hook(moments.note)]
    _current = moments
    try:
        with tempfile.TemporaryDirectory() as folder:
            config = TrainingConfig(
                task=WatchedTask(images=settings.batch_size * (settings.rounds + settings.warmup)),
                data=DataConfig(dataset="cifar10", batch_size=settings.batch_size),
                network=NetworkConfig(arch=settings.arch, norm=NormConfig(name=name)),
                optimizer=OptimizerConfig(lr=0.01),
                epochs=1,
                recalibration=0,  # it would ask for batches, too
                seed=settings.seed,
                precision=PRECISIONS[settings.dtype],  # type: ignore[arg-type]
                device=settings.device,
                threads=settings.threads,
                result_path=str(Path(folder) / "run"),
            )
            return run(config, progress=False).seconds_per_step
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


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, checked."""
    variants = ("batch_norm", "default", "paper")
    parser = options.parser("pipeline", __doc__, rounds=60, warmup=10, variants=variants)
    parser.add_argument("--arch", default="vgg11")
    parser.add_argument("--batch-size", type=int, default=128)
    return options.parse(parser, arguments)


def measure(settings: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Train with every variant."""
    return {
        "name": f"Training program: {settings.arch} on random images, {settings.dtype}, {settings.device}",
        "rows": [row(settings, name, device) for name in settings.variants],
        "note": "Images a second: batch over the median step. The rest is the loss, reading it, and the loop itself.",
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print, write."""
    options.main("pipeline", arguments, parse, measure, lambda s: options.output(s, "pipeline", s.arch))


if __name__ == "__main__":
    main()
