"""One run in one process: network, optimiser, data and history, from the first epoch that remains to the last."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from netdeconv.data import Splits
from netdeconv.nn import WhitenedLayer, sync_statistics
from netdeconv.surgery import NothingChangedWarning, batch_statistics, check_finite, recalibrate
from netdeconv.training.averaging import averaged_model, copy_of
from netdeconv.training.checkpoint import load_checkpoint, save_checkpoint
from netdeconv.training.config import TrainingConfig, differing_settings, to_plain
from netdeconv.training.devices import mean_over_processes
from netdeconv.training.evaluation import evaluate
from netdeconv.training.health_log import HealthLog
from netdeconv.training.loggers import build_loggers, scalars
from netdeconv.training.optimizers import build_optimizer, set_learning_rate
from netdeconv.training.progress import Reporter
from netdeconv.training.result import RunResult, best_record, summary
from netdeconv.training.run_directory import RunDirectory, RunDirectoryError, environment, read_config
from netdeconv.training.start import started_network
from netdeconv.training.state import load_model, load_optimizer, whole_model, whole_optimizer
from netdeconv.training.task import Meter

# Reading the loss waits for the device: on a graphics card only this often.
_DEVICE_CHECK_EVERY = 50


class Session:
    """The state of a run between epochs: network, optimiser, history.

    Args:
        config: the settings.
        directory: the run's folder; only the first process writes there.
        reporter: is told what happens.
        fabric: device, precision and processes.
        precision: its name, for the record.

    Raises:
        RunDirectoryError: when the folder holds a run with other settings.
        ValueError: when settings contradict each other, the data or the machine.
    """

    def __init__(
        self, config: TrainingConfig, directory: RunDirectory, reporter: Reporter, fabric: Fabric, precision: str
    ) -> None:
        if directory.is_resumed:
            conflicts = differing_settings(config, read_config(directory.path))
            if conflicts:
                raise RunDirectoryError(f"{directory.path} has other settings: {'; '.join(conflicts.values())}")
        self.config, self.directory, self.reporter, self.fabric = config, directory, reporter, fabric
        shard = (fabric.global_rank, fabric.world_size)
        self.data: Splits = config.task.open(config.data, seed=config.seed, device=fabric.device, shard=shard)
        self._require_choice_off_test()
        torch.manual_seed(config.seed)
        self.network = self._build().to(fabric.device)
        if config.parallel.strategy != "fsdp":  # which shards contiguous parameters only
            self.network.to(memory_format=torch.channels_last)
        # Before the parameters are sharded: an average of weights starts from whole ones.
        self.average = averaged_model(self.network, config.averaging) if config.averaging else None
        self.model: Any = fabric.setup_module(self.network)
        optimizer = build_optimizer(self.model.parameters(), config.optimizer)
        self.optimizer: Any = fabric.setup_optimizers(optimizer)
        self.history: list[dict[str, Any]] = []
        directory.begin(to_plain(config), environment(fabric.device, precision, fabric.world_size))
        self.loggers = build_loggers(config.loggers, directory.path) if fabric.is_global_zero else []
        self.health = self._watched() if fabric.is_global_zero else None

    def _watched(self) -> HealthLog:
        return HealthLog(self.directory.path, self.network, steps=len(self.data.train), parts=self.config.accumulation)

    def _build(self) -> nn.Module:
        if self.config.start is None:
            network = self.config.task.build_network(self.config.network, self.data.info)
        else:
            network = started_network(self.config, self.data, self.fabric.device)
        if not self.config.parallel.sync_statistics:
            return network
        whitened = any(isinstance(module, WhitenedLayer) for module in network.modules())
        if self.fabric.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        elif not whitened and self.fabric.world_size > 1:
            raise ValueError("torch synchronises batch norm on graphics cards only: leave --sync-statistics out")
        return sync_statistics(network) if whitened else network

    def _require_choice_off_test(self) -> None:
        chooses = [name for name in ("patience", "keep_best") if getattr(self.config, name)]
        if chooses and self.data.evaluated_on == "test":
            raise ValueError(
                f"{' and '.join(chooses)} would choose an epoch by the test images: "
                "cut images for it from the training set with --validation-size"
            )

    def close(self) -> None:
        """Close the loggers' files."""
        for logger in self.loggers:
            logger.finalize("finished")

    def finish(self) -> RunResult:
        """Train the epochs that remain."""
        if self.directory.checkpoint.exists():
            self._restore()
        self.directory.write_metrics(self.history)
        first = self._epochs_done() + 1
        if self.health is not None:
            self.health.begin(first - 1)
        self.reporter.start(epochs=self.config.epochs, steps=len(self.data.train), first_epoch=first)
        for epoch in range(first, self.config.epochs + 1):
            if self._gives_up():
                break
            record = self._epoch(epoch)
            self.history.append(record)
            # The checkpoint decides what has happened; a line beyond it is cut off when resuming.
            self.directory.append_metrics(record)
            for logger in self.loggers:
                logger.log_metrics(scalars(record), step=epoch)
            self._save()
            self.reporter.epoch(record)
        model = copy_of(self.average) if self.average is not None else self.network
        result = RunResult(self.directory.path, tuple(self.history), model, self.config.task.metric)
        self.directory.write_json("summary.json", summary(result))
        return result

    def _epochs_done(self) -> int:
        return int(self.history[-1]["epoch"]) if self.history else self.config.start_epoch

    def _gives_up(self) -> bool:
        """Whether the score has not improved for too long."""
        if self.config.patience is None or not self.history:
            return False
        best = best_record(self.history, self.config.task.metric)
        return self._epochs_done() - int(best["epoch"]) >= self.config.patience

    def _epoch(self, epoch: int) -> dict[str, Any]:
        losses, step_seconds, rate = self._train(epoch)
        seconds = sum(step_seconds)
        evaluated = self._evaluate(epoch)
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
        steps = len(self.data.train)
        total, done = self.config.epochs * steps, (epoch - 1) * steps
        losses = torch.zeros(steps, dtype=torch.float64)
        on_device: list[Tensor] = []
        self.model.train()
        if self.fabric.global_rank:  # dropout and mixing differ between processes, the first weights do not
            torch.manual_seed((self.config.seed * 1_000_003 + epoch) * 8191 + self.fabric.global_rank)
        seconds: list[float] = []
        rate = 0.0
        begun = time.perf_counter()
        for step, (inputs, targets) in enumerate(self.data.train.epoch(epoch)):
            rate = set_learning_rate(self.optimizer, self.config.optimizer, done + step, total)
            on_device.append(self._step(inputs, targets))
            if len(on_device) == self._read_every or step + 1 == steps:
                losses[step + 1 - len(on_device) : step + 1] = torch.stack(on_device).cpu().double()
                self._require_finite(losses[: step + 1], done, epoch)
                now = time.perf_counter()
                seconds += [(now - begun) / len(on_device)] * len(on_device)
                begun = now
                on_device.clear()
            known = float(losses[max(len(seconds), 1) - 1])
            images = len(targets) * self.fabric.world_size
            self.reporter.step(epoch=epoch, step=step + 1, images=images, loss=known)
        if self.fabric.world_size > 1:
            losses = mean_over_processes(self.fabric, losses.to(self.fabric.device)).cpu()
        return losses, seconds, rate

    def _step(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Update the weights once; return the mean loss of the batch, on the device."""
        self.optimizer.zero_grad(set_to_none=True)
        inputs, targets = self.config.task.mix(inputs, targets, self.data.info.num_classes)
        parts = min(self.config.accumulation, len(targets))
        losses = []
        for number, (some, their) in enumerate(
            zip(inputs.tensor_split(parts), targets.tensor_split(parts), strict=True)
        ):
            with self.fabric.no_backward_sync(self.model, enabled=number + 1 < parts):
                with check_finite(self.network) if self.config.check_finite else contextlib.nullcontext():
                    outputs = self.model(some)
                loss = self.config.task.compute_loss(outputs, their)
                if parts > 1:
                    loss = loss * (len(their) / len(targets))
                self.fabric.backward(loss)
            losses.append(loss.detach())
        if self.config.optimizer.clip_norm is not None:
            self.fabric.clip_gradients(self.model, self.optimizer, max_norm=self.config.optimizer.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        return losses[0] if parts == 1 else torch.stack(losses).sum()

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

    def _evaluate(self, epoch: int) -> dict[str, Any]:
        self._share_statistics(self.network)
        network, forward = self.network, self.model
        if self.average is not None:
            network, forward = self.average.module, self._forward_average
        measured: dict[str, Any] = {}
        if self.config.evaluate_all_statistics:
            with batch_statistics(network):
                measured |= self._measure(forward, "_batch_statistics")
            measured |= self._measure(forward, "_running_statistics", network)
        self._recalibrate(network, epoch)
        return self._measure(forward, "", network) | measured

    def _measure(
        self, forward: Callable[[Tensor], Any], suffix: str, network: nn.Module | None = None
    ) -> dict[str, Any]:
        """What the meter says of the evaluation data; the network in evaluation mode, where it is given."""
        if network is not None:
            network.eval()
        measured = evaluate(forward, self.data.evaluation, self._meter())
        return {f"{name}{suffix}": value for name, value in measured.items()}

    def _recalibrate(self, network: nn.Module, epoch: int) -> None:
        """Statistics of the network as it is now: running averages are of one that was still moving."""
        if not self.config.recalibration or not any(True for _ in network.buffers()):
            return
        batches = itertools.islice(self.data.train.epoch(epoch), self.config.recalibration)
        with self.fabric.autocast(), warnings.catch_warnings():
            warnings.simplefilter("ignore", NothingChangedWarning)  # a network without any normalisation
            recalibrate(network, (inputs for inputs, _ in batches))
        self._share_statistics(network)

    def _forward_average(self, inputs: Tensor) -> Any:
        """The averaged network in the run's precision; Fabric wraps only the trained one."""
        assert self.average is not None
        with self.fabric.autocast():
            outputs = self.average.module(inputs)
        return {key: value.float() for key, value in outputs.items()} if isinstance(outputs, dict) else outputs.float()

    @torch.no_grad()
    def _share_statistics(self, network: nn.Module) -> None:
        """Average over the processes what each has averaged over its own batches."""
        if self.fabric.world_size == 1:
            return
        for buffer in network.buffers():
            if buffer.is_floating_point() and buffer.numel():
                buffer.copy_(mean_over_processes(self.fabric, buffer.clone()))

    def _meter(self) -> Meter:
        return self.config.task.meter(self.data.info.num_classes, self.fabric.device)

    def _save(self) -> None:
        """Write the state; every process takes part in collecting it."""
        cuda = self.fabric.device.type == "cuda"
        state = {
            "format": 1,
            "epoch": self._epochs_done(),
            "step": self._epochs_done() * len(self.data.train),
            "history": self.history,
            "model": whole_model(self.network),
            "optimizer": whole_optimizer(self.network, self.optimizer.optimizer),
            "rng": torch.get_rng_state(),
            "rng_cuda": torch.cuda.get_rng_state_all() if cuda else [],
        }
        if self.average is not None:
            state["average"] = self.average.state_dict()
        if not self.fabric.is_global_zero:
            return
        save_checkpoint(self.directory.checkpoint, state)
        last = self.history[-1]
        if self.config.keep_best and best_record(self.history, self.config.task.metric) is last:
            kept = state["model"] if self.average is None else self.average.module.state_dict()
            save_checkpoint(self.directory.best, {"format": 1, "epoch": last["epoch"], "model": kept})

    def _restore(self) -> None:
        path: Path = self.directory.checkpoint
        state = load_checkpoint(path)
        load_model(self.network, state["model"], path)
        load_optimizer(self.network, self.optimizer.optimizer, state["optimizer"], path)
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        torch.set_rng_state(state["rng"])
        if state["rng_cuda"] and self.fabric.device.type == "cuda":
            torch.cuda.set_rng_state_all(state["rng_cuda"])
        self.history = state["history"]
