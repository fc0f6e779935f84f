"""Which learning rates are worth trying: a range test whose curve still means something without batch norm.

The rate grows exponentially from step to step and the training loss is watched. Networks that whiten learn so fast, and
lose what they learned so gently, that the usual test with one noisy pass says little of them. Here

- the test is repeated from the same weights, with other batches, and the median counts;
- a few steps at the lowest rate come first: averages of the optimiser are filled, and the statistics are warm;
- schedules of whitened layers stand still, so that no layer starts to be held in the middle of the curve;
- smoothing is centred, so that it moves nothing towards larger rates, and a running median takes single bad batches;
- divergence is judged by what the network had gained, not by a multiple of the smallest loss.

Source: Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, for the test itself.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from netdeconv.experiments.rate_curve import RateCurve, read_curve
from netdeconv.experiments.rows import require_one_process
from netdeconv.nn import WhitenedLayer
from netdeconv.training import TrainingConfig, environment
from netdeconv.training.devices import build_fabric
from netdeconv.training.optimizers import build_optimizer
from netdeconv.training.precision import process_settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class RangeTest:
    """How the rates are tried.

    Args:
        lowest: first learning rate.
        highest: last learning rate.
        steps: rates; ``None``: one pass over the training images, but no more than 150.
        repeats: passes from the same weights, with other batches.
        warmup: steps at the lowest rate before.

    Raises:
        ValueError: when a number is out of range.
    """

    lowest: float = 1e-5
    highest: float = 10.0
    steps: int | None = None
    repeats: int = 3
    warmup: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.lowest < self.highest < math.inf:
            raise ValueError(f"rates must be 0 < lowest < highest, got {self.lowest} and {self.highest}")
        if self.steps is not None and self.steps < _FEWEST:
            raise ValueError(f"steps must be at least {_FEWEST}, got {self.steps}")
        for name, least in (("repeats", 1), ("warmup", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


_FEWEST, _MOST = 20, 150
# Beyond so many times the first loss the rest of a pass would tell nothing more.
_HOPELESS = 4.0


def find_rate(
    config: TrainingConfig, test: RangeTest, *, told: Callable[[int, int, float], None] = lambda done, total, loss: None
) -> tuple[RateCurve, dict[str, Any]]:
    """Try learning rates on training batches; nothing of the evaluation images is looked at.

    Args:
        config: a run's settings; its own learning rate and schedule do not matter.
        test: which rates, how often.
        told: of every step: how many are done, of how many, and its loss.

    Returns:
        The curve with what it suggests, and versions and hardware.

    Raises:
        MissingDataError: when the data set is not on this machine.
        ValueError: when the run is to be trained in several processes.
    """
    require_one_process(config)
    with process_settings(config.threads, deterministic=config.deterministic, tf32=config.tf32):
        fabric, precision = build_fabric(config.parallel, device=config.device, precision=config.precision)
        data = config.task.open(config.data, seed=config.seed, device=fabric.device, shard=(0, 1))
        torch.manual_seed(config.seed)
        network = config.task.build_network(config.network, data.info).to(fabric.device)
        network.to(memory_format=torch.channels_last)
        model = fabric.setup_module(network)
        optimizer: Any = fabric.setup_optimizers(build_optimizer(model.parameters(), config.optimizer))
        steps = test.steps or max(_FEWEST, min(len(data.train), _MOST))
        trial = _Trial(config, fabric, model, optimizer, data.info.num_classes)
        trial.tell(told, test.warmup + 1 + test.repeats * (steps + 1))
        rates = [test.lowest * (test.highest / test.lowest) ** (step / (steps - 1)) for step in range(steps)]
        model.train()
        with standing_schedules(network):
            trial.run(_batches(data.train, 0), [test.lowest] * test.warmup)
            start = copy.deepcopy((network.state_dict(), optimizer.optimizer.state_dict()))
            passes = []
            for number in range(test.repeats):
                network.load_state_dict(start[0])
                optimizer.optimizer.load_state_dict(copy.deepcopy(start[1]))
                passes.append(trial.run(_batches(data.train, 1 + number), rates))
        return read_curve(rates, passes), environment(fabric.device, precision)


class _Trial:
    """A network that takes steps at given rates."""

    def __init__(self, config: TrainingConfig, fabric: Any, model: Any, optimizer: Any, num_classes: int) -> None:
        self.config, self.fabric, self.model, self.optimizer = config, fabric, model, optimizer
        self._num_classes = num_classes

    def tell(self, told: Callable[[int, int, float], None], total: int) -> None:
        """Report every batch, of so many in all."""
        self._told, self._done, self._total = told, 0, total

    def run(self, batches: Iterator[tuple[Tensor, Tensor]], rates: list[float]) -> list[float]:
        """Return the loss after the step at each rate, on the next batch; infinity from where it is hopeless."""
        losses: list[float] = []
        for rate, (inputs, targets) in zip([*rates, None], batches, strict=False):
            inputs, targets = self.config.task.mix(inputs, targets, self._num_classes)
            loss = self.config.task.compute_loss(self.model(inputs), targets)
            losses.append(float(loss.detach()))
            self._done += 1
            self._told(self._done, self._total, losses[-1])
            if rate is None or not losses[-1] <= _HOPELESS * losses[0]:
                break
            self._step(loss, rate)
        self._done += len(rates) + 1 - len(losses)
        after = [loss if math.isfinite(loss) else math.inf for loss in losses[1:]]
        return after + [math.inf] * (len(rates) - len(after))

    def _step(self, loss: Tensor, rate: float) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if self.config.optimizer.clip_norm is not None:
            self.fabric.clip_gradients(self.model, self.optimizer, max_norm=self.config.optimizer.clip_norm)
        self.optimizer.step()


def _batches(train: Any, number: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Training batches without end, others for every number."""
    for epoch in itertools.count(1 + 1000 * number):
        yield from train.epoch(epoch)


@contextlib.contextmanager
def standing_schedules(network: nn.Module) -> Iterator[None]:
    """Let whitened layers use each batch's statistics in every step; afterwards they follow their schedules again."""
    layers = [module for module in network.modules() if isinstance(module, WhitenedLayer)]
    settings = [layer.whitening for layer in layers]
    for layer in layers:
        layer.whitening = dataclasses.replace(layer.whitening, freeze=None, refresh_interval=1)
    try:
        yield
    finally:
        for layer, own in zip(layers, settings, strict=True):
            layer.whitening = own
