"""One training loop for all tasks, on Lightning Fabric."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch import Tensor, nn

from netdeconv.data import Splits
from netdeconv.surgery import check_finite
from netdeconv.training.checkpoint import CheckpointError, load_checkpoint, restore_model, save_checkpoint
from netdeconv.training.config import TrainingConfig, differing_settings, to_plain
from netdeconv.training.evaluation import batch_statistics, evaluate
from netdeconv.training.loggers import build_loggers, scalars
from netdeconv.training.network import build_network
from netdeconv.training.optimizers import build_optimizer, set_learning_rate
from netdeconv.training.precision import process_settings, resolve_precision
from netdeconv.training.progress import LiveBars, PlainLines, Reporter, Silent
from netdeconv.training.run_directory import RunDirectory, RunDirectoryError, environment, read_config
from netdeconv.training.task import Meter

# Reading the loss waits for the device: on a graphics card only this often.
_DEVICE_CHECK_EVERY = 50


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a run measured.

    Args:
        path: its directory.
        history: one record an epoch, as in ``metrics.jsonl``.
        model: the trained network.
    """

    path: Path
    history: tuple[dict[str, Any], ...]
    model: nn.Module = dataclasses.field(repr=False)

    @property
    def accuracy(self) -> float:
        """Accuracy after the last epoch, in per cent."""
        return float(self.history[-1]["accuracy"])

    @property
    def seconds(self) -> float:
        """Seconds of training, without evaluation."""
        return float(self.history[-1]["cumulative_seconds"])

    @property
    def seconds_per_step(self) -> float:
        """Median over the epochs of the median step."""
        return statistics.median(record["seconds_per_step"] for record in self.history)


def run(config: TrainingConfig, *, progress: bool | Reporter = True, resume: bool = False) -> RunResult:
    """Train and evaluate one network, and leave everything about it in a run directory.

    Args:
        config: the settings.
        progress: whether to show it, or who is told.
        resume: whether ``config.result_path`` holds a run to continue from its last finished epoch.

    Returns:
        The measurements of every epoch, and the network.

    Raises:
        RunDirectoryError: when the directory is in use, holds a run already, or holds none to resume.
        CheckpointError: when the checkpoint is damaged or of another network.
        MissingDataError: when the data set is not on this machine.
        FloatingPointError: when the loss is NaN or infinite, with the step.
        KeyboardInterrupt: when stopped, with how to go on.
    """
    name = f"{config.network.arch}-{config.data.dataset}"
    with (
        process_settings(config.threads),
        RunDirectory(config.result_path, name=name, resume=resume) as directory,
        _reporter(progress) as reporter,
    ):
        try:
            with contextlib.closing(_Run(config, directory, reporter)) as started:
                return started.finish()
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(
                f"stopped; --resume {directory.path} continues after the last finished epoch"
            ) from stop


@contextlib.contextmanager
def _reporter(progress: bool | Reporter) -> Iterator[Reporter]:
    if progress is False:
        yield Silent()
    elif progress is not True:
        yield progress
    elif (console := Console()).is_terminal:
        with LiveBars(console) as bars:
            yield bars.bar("training")
    else:
        yield PlainLines()


class _Run:
    """The state of a run between epochs: network, optimiser, history."""

    def __init__(self, config: TrainingConfig, directory: RunDirectory, reporter: Reporter) -> None:
        if directory.is_resumed:
            conflicts = differing_settings(config, read_config(directory.path))
            if conflicts:
                raise RunDirectoryError(f"{directory.path} has other settings: {'; '.join(conflicts.values())}")
        self.config = config
        self.directory = directory
        self.reporter = reporter
        probe = Fabric(accelerator=config.device, devices=1)
        precision = resolve_precision(config.precision, probe.device)
        self.fabric = Fabric(
            accelerator=config.device,
            devices=1,
            precision=precision,
            loggers=build_loggers(config.loggers, directory.path),
        )
        device = self.fabric.device
        self.data: Splits = config.task.open(config.data, seed=config.seed, device=device)
        torch.manual_seed(config.seed)
        self.network = build_network(config.network, self.data.info).to(device)
        self.network.to(memory_format=torch.channels_last)
        optimizer = build_optimizer(self.network.parameters(), config.optimizer)
        self.model, self.optimizer = self.fabric.setup(self.network, optimizer)
        self.history: list[dict[str, Any]] = []
        directory.begin(to_plain(config), environment(device, precision))

    def close(self) -> None:
        """Close the loggers' files."""
        for logger in self.fabric.loggers:
            logger.finalize("finished")

    def finish(self) -> RunResult:
        """Train the epochs that remain."""
        if self.directory.checkpoint.exists():
            self._restore()
        self.directory.write_metrics(self.history)
        first = len(self.history) + 1
        self.reporter.start(epochs=self.config.epochs, steps=len(self.data.train), first_epoch=first)
        for epoch in range(first, self.config.epochs + 1):
            record = self._epoch(epoch)
            self.history.append(record)
            # The checkpoint decides what has happened; a line beyond it is cut off when resuming.
            self.directory.append_metrics(record)
            self.fabric.log_dict(scalars(record), step=epoch)
            self._save()
            self.reporter.epoch(record)
        result = RunResult(self.directory.path, tuple(self.history), self.network)
        self.directory.write_json("summary.json", summary(result))
        return result

    def _epoch(self, epoch: int) -> dict[str, Any]:
        losses, step_seconds, rate = self._train(epoch)
        seconds = sum(step_seconds)
        evaluated = self._evaluate()
        before = self.history[-1]["cumulative_seconds"] if self.history else 0.0
        return {
            "epoch": epoch,
            "evaluated_on": self.data.evaluated_on,
            "train_loss": float(losses.mean()),
            **evaluated,
            "lr": rate,
            "seconds": seconds,
            "cumulative_seconds": before + seconds,
            "seconds_per_step": statistics.median(step_seconds),
            "steps": len(losses),
        }

    def _train(self, epoch: int) -> tuple[Tensor, list[float], float]:
        """Train one epoch; return every step's loss and seconds, and the last learning rate."""
        steps, task = len(self.data.train), self.config.task
        total, done = self.config.epochs * steps, (epoch - 1) * steps
        losses = torch.zeros(steps, dtype=torch.float64)
        on_device: list[Tensor] = []
        self.model.train()
        seconds: list[float] = []
        begun = time.perf_counter()
        for step, (inputs, targets) in enumerate(self.data.train.epoch(epoch)):
            rate = set_learning_rate(self.optimizer, self.config.optimizer, done + step, total)
            self.optimizer.zero_grad(set_to_none=True)
            with check_finite(self.network) if self.config.check_finite else contextlib.nullcontext():
                outputs = self.model(inputs)
            loss = task.compute_loss(outputs, targets)
            self.fabric.backward(loss)
            if self.config.optimizer.clip_norm is not None:
                self.fabric.clip_gradients(self.model, self.optimizer, max_norm=self.config.optimizer.clip_norm)
            self.optimizer.step()
            on_device.append(loss.detach())
            if len(on_device) == self._read_every or step + 1 == steps:
                losses[step + 1 - len(on_device) : step + 1] = torch.stack(on_device).cpu().double()
                self._require_finite(losses[: step + 1], done, epoch)
                now = time.perf_counter()
                seconds += [(now - begun) / len(on_device)] * len(on_device)
                begun = now
                on_device.clear()
            known = float(losses[max(len(seconds), 1) - 1])
            self.reporter.step(epoch=epoch, step=step + 1, images=len(targets), loss=known)
        return losses, seconds, rate

    @property
    def _read_every(self) -> int:
        return 1 if self.fabric.device.type == "cpu" else _DEVICE_CHECK_EVERY

    def _require_finite(self, losses: Tensor, done: int, epoch: int) -> None:
        bad = (~losses.isfinite()).nonzero()
        if len(bad):
            step = int(bad[0])
            raise FloatingPointError(
                f"the training loss is {float(losses[step])} at step {done + step + 1} "
                f"(epoch {epoch}, step {step + 1}); "
                "a lower learning rate may help, and --check-finite names the layer where it begins"
            )

    def _evaluate(self) -> dict[str, float]:
        self.model.eval()
        measured = evaluate(self.model, self.data.evaluation, self._meter())
        if self.config.evaluate_batch_statistics:
            with batch_statistics(self.network):
                again = evaluate(self.model, self.data.evaluation, self._meter())
            measured |= {f"{name}_batch_statistics": value for name, value in again.items()}
        return measured

    def _meter(self) -> Meter:
        return self.config.task.meter(self.data.info.num_classes, self.fabric.device)

    def _save(self) -> None:
        state = {
            "format": 1,
            "epoch": len(self.history),
            "step": len(self.history) * len(self.data.train),
            "history": self.history,
            "model": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": torch.get_rng_state(),
            "rng_cuda": torch.cuda.get_rng_state_all() if self.fabric.device.type == "cuda" else [],
        }
        save_checkpoint(self.directory.checkpoint, state)

    def _restore(self) -> None:
        path = self.directory.checkpoint
        state = load_checkpoint(path)
        restore_model(self.network, state["model"], path)
        try:
            self.optimizer.load_state_dict(state["optimizer"])
        except ValueError as error:
            raise CheckpointError(f"{path} belongs to another optimizer: {error}") from error
        torch.set_rng_state(state["rng"])
        if state["rng_cuda"] and self.fabric.device.type == "cuda":
            torch.cuda.set_rng_state_all(state["rng_cuda"])
        self.history = state["history"]


def summary(result: RunResult) -> dict[str, Any]:
    """Return the numbers of a finished run."""
    last = result.history[-1]
    return {
        "epochs": len(result.history),
        "evaluated_on": last["evaluated_on"],
        "accuracy": result.accuracy,
        "loss": last["loss"],
        "seconds": result.seconds,
        "seconds_per_step": result.seconds_per_step,
        "parameters": sum(parameter.numel() for parameter in result.model.parameters()),
    }
