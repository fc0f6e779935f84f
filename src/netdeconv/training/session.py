"""One training loop for all tasks, on Lightning Fabric: a run in one process, from the first epoch that remains."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from netdeconv.data.splits import Splits
from netdeconv.training.checkpoint import State, save_checkpoint
from netdeconv.training.config import TrainingConfig
from netdeconv.training.devices import TERMINATED, build_fabric, noted_termination, process_settings
from netdeconv.training.logs import LOGGERS, log_health
from netdeconv.training.measuring import measure, share_statistics
from netdeconv.training.network import initial_network
from netdeconv.training.optimizers import build_optimizer, learning_rate
from netdeconv.training.plain import changed_settings, to_plain
from netdeconv.training.progress import Reporter
from netdeconv.training.results import RunResult, environment
from netdeconv.training.run_directory import RunDirectory, open_directory
from netdeconv.training.update import Update, averaged, require_finite

# Reading the loss waits for the device: on a graphics card only this often.
_DEVICE_CHECK_EVERY = 50


def run(config: TrainingConfig, progress: Reporter | None = None, *, resume: bool = False) -> RunResult:
    """Train and evaluate one network, and leave everything about it in a run directory.

    Under torchrun every process calls it; the first one writes.

    Args:
        config: the settings.
        progress: who is told of it.
        resume: whether ``config.result_path`` holds a run to go on with, in any number of processes.

    Returns:
        The measurements of every epoch, and the network.

    Raises:
        RunDirectoryError: when the directory is in use, holds a run already, or holds none to resume.
        CheckpointError: when the checkpoint is damaged or of another network, or cannot be written.
        MissingDataError: when the data set is not on this machine.
        FloatingPointError: when the loss of training or evaluation is NaN or infinite, with the step or epoch.
        ValueError: when settings contradict each other, the data or the machine.
        KeyboardInterrupt: when stopped, with how to go on.
        SystemExit: with code 143 after SIGTERM, when all is saved.
    """
    with process_settings(config.threads):
        fabric, precision = build_fabric(config.device, config.precision)
        reporter = progress if progress and fabric.is_global_zero else Reporter()
        network = config.network
        name = f"{network.arch.replace('/', '-')}-{network.norm.name}-{config.data.dataset}"
        with open_directory(fabric, config.result_path, name=name, resume=resume) as directory:
            return Session(config, directory, reporter, fabric, precision).finish()


class Session:
    """Network, optimiser, data and history of a run while it lasts.

    Args:
        config: the settings.
        directory: the run's folder; only the first process writes there.
        reporter: is told what happens.
        fabric: device, precision and processes.
        precision: its name, for the record.

    Raises:
        RunDirectoryError: when the folder holds a run with other settings, or one whose checkpoint is gone.
        ValueError: when settings contradict each other, the data or the machine.
    """

    def __init__(
        self, config: TrainingConfig, directory: RunDirectory, reporter: Reporter, fabric: Fabric, precision: str
    ) -> None:
        changed = changed_settings(config, directory)
        self.config, self.directory, self.reporter, self.fabric = config, directory, reporter, fabric
        shard = (fabric.global_rank, fabric.world_size)
        self.data: Splits = config.task.open(config.data, seed=config.seed, device=fabric.device, shard=shard)
        self.network = initial_network(config, self.data, fabric)
        average = averaged(self.network, config.averaging) if config.averaging else None
        self.evaluated: nn.Module = self.network if average is None else average.module
        self.model: Any = fabric.setup_module(self.network)
        optimizer = build_optimizer(self.model.parameters(), config.optimizer)
        self.update = Update(config, self.model, optimizer, average, fabric, self.data.info.num_classes)
        self.state = State(self.network, optimizer, average, fabric)
        directory.begin(to_plain(config), environment(fabric.device, precision, fabric.world_size))
        self.loggers = [LOGGERS[name](directory.path) for name in config.loggers if fabric.is_global_zero]
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        processes = f" in {fabric.world_size} processes" if fabric.world_size > 1 else ""
        reporter.note(
            f"{config.network.arch}, {config.network.norm.name}, {parameters:,} parameters; {config.data.dataset}; "
            f"{fabric.device.type}, {precision}{processes}; {directory.path}{changed}"
        )

    def finish(self) -> RunResult:
        """Train the epochs that remain."""
        state = self.state
        if self.directory.checkpoint.exists():
            state.load(self.directory.checkpoint)
        self.directory.write_metrics(state.history)
        first, steps = len(state.history) + 1, len(self.data.train)
        if self.fabric.is_global_zero:
            done = len(state.history) * steps + len(state.losses)
            log_health(self.directory.path, self.network, steps=steps, parts=self.config.accumulation, done=done)
        self.reporter.start(epochs=self.config.epochs, steps=steps, first_epoch=first)
        self._saved = time.monotonic()
        with noted_termination() as self._terminated:
            for epoch in range(first, self.config.epochs + 1):
                self._train(epoch)
                record = self._record(epoch)
                state.history, state.losses, state.seconds = [*state.history, record], [], []
                # The checkpoint decides what has happened; the metrics are made to fit it when resuming.
                self._save()
                self.directory.write_metrics(state.history)
                for logger in self.loggers:
                    numbers = {name: value for name, value in record.items() if isinstance(value, (int, float))}
                    logger.log_metrics(numbers, step=epoch)
                    logger.save()
                self.reporter.epoch(record)
            metric = self.config.task.metric
            result = RunResult(self.directory.path, tuple(state.history), self.evaluated.eval(), metric)
            self.directory.write_json("summary.json", result.summary())
        # A process that ends resets the connections of those that are still collecting the last state.
        self.fabric.barrier()
        return result

    def _record(self, epoch: int) -> dict[str, Any]:
        """Evaluate, and return what is known of an epoch that has been trained."""
        state, steps = self.state, len(self.data.train)
        train_loss: Any = torch.tensor(statistics.fmean(state.losses), dtype=torch.float64)
        if self.fabric.world_size > 1:
            train_loss = self.fabric.all_reduce(train_loss)
        share_statistics(self.network, self.fabric)
        measured = measure(self.config, self.data, self.fabric, self.evaluated, epoch)
        before = state.history[-1]["cumulative_seconds"] if state.history else 0.0
        return {
            "epoch": epoch,
            "evaluated_on": self.data.evaluated_on,
            "train_loss": float(train_loss),
            **measured,
            "lr": learning_rate(self.config.optimizer, epoch * steps - 1, self.config.epochs * steps),
            "seconds": sum(state.seconds),
            "cumulative_seconds": before + sum(state.seconds),
            "seconds_per_step": statistics.median(state.seconds),
            "steps": steps,
        }

    def _train(self, epoch: int) -> None:
        """Train what remains of an epoch; the state has every step's loss and seconds."""
        state, steps = self.state, len(self.data.train)
        total, before = self.config.epochs * steps, (epoch - 1) * steps
        if self.fabric.global_rank:  # dropout and mixing differ between processes, the first weights do not
            torch.manual_seed((self.config.seed * 1_000_003 + epoch) * 8191 + self.fabric.global_rank)
        batches = self.data.train.epoch(epoch)
        start = len(state.losses)
        for _ in range(start):  # which were trained before the run was stopped
            next(batches)
        if start:
            state.restore_random()
        self.model.train()
        read_every = 1 if self.fabric.device.type == "cpu" else _DEVICE_CHECK_EVERY
        waiting: list[Tensor] = []
        begun = time.perf_counter()
        for step in range(start, steps):
            rate = learning_rate(self.config.optimizer, before + step, total)
            try:
                inputs, targets = next(batches)
            except Exception:
                # SIGTERM ends the loader's processes as well; several processes could not save as one here
                if not waiting and self.fabric.world_size == 1 and self._terminated():
                    self._save_within(epoch)
                raise
            waiting.append(self.update(inputs, targets, rate))
            if len(waiting) == read_every or step + 1 == steps:
                losses = torch.stack(waiting).tolist()
                now = time.perf_counter()
                require_finite(losses, step + 2 - len(waiting), epoch)
                state.losses += losses
                state.seconds += [(now - begun) / len(waiting)] * len(waiting)
                waiting.clear()
                begun = time.perf_counter() if self._save_within(epoch) else now
            known = state.losses[-1] if state.losses else float("nan")
            images = len(targets) * self.fabric.world_size
            self.reporter.step(epoch=epoch, step=step + 1, images=images, loss=known)

    def _save_within(self, epoch: int) -> bool:
        """Save within an epoch, when that is due or the process is to end; all processes decide as one.

        Raises:
            SystemExit: when SIGTERM has come and all is saved.
        """
        due = 0 < 60 * self.config.checkpoint_minutes <= time.monotonic() - self._saved
        wish = torch.tensor(2.0 if self._terminated() else float(due), device=self.fabric.device)
        wish = self.fabric.all_reduce(wish, reduce_op="max")  # type: ignore[assignment]
        if wish:
            self._save()
        if wish == 2:
            self.reporter.note(
                f"stopped by SIGTERM; --resume {self.directory.path} continues after step {len(self.state.losses)} "
                f"of epoch {epoch}"
            )
            self.fabric.barrier()  # as at the end of a run
            raise SystemExit(TERMINATED)
        return bool(wish)

    def _save(self) -> None:
        """Write the state; every process takes part in collecting it."""
        self._saved = time.monotonic()
        saved = self.state.collect()
        if self.fabric.is_global_zero:
            save_checkpoint(self.directory.checkpoint, saved)
