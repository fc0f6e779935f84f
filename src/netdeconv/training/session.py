"""One run in one process: network, optimiser, data and history, from the first epoch that remains to the last."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from netdeconv.data import Splits
from netdeconv.nn import WhitenedLayer, sync_statistics
from netdeconv.surgery import check_finite
from netdeconv.training.checkpoint import evaluated_weights, save_checkpoint
from netdeconv.training.config import TrainingConfig
from netdeconv.training.devices import mean_over_processes
from netdeconv.training.health_log import HealthLog
from netdeconv.training.loggers import build_loggers, scalars
from netdeconv.training.measuring import Measuring
from netdeconv.training.optimizers import build_optimizer, learning_rate
from netdeconv.training.plain import differing_settings, to_plain
from netdeconv.training.progress import Reporter
from netdeconv.training.result import RunResult, best_record, summary
from netdeconv.training.run_directory import RunDirectory, RunDirectoryError, environment, read_config
from netdeconv.training.start import started_network
from netdeconv.training.state import Progress, State
from netdeconv.training.stopping import TERMINATED, noted_termination

# Reading the loss waits for the device: on a graphics card only this often.
_DEVICE_CHECK_EVERY = 50


class Session:
    """The state of a run: network, optimiser, history, and what is done of an epoch.

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
        changed = _changed_settings(config, directory)
        self.config, self.directory, self.reporter, self.fabric = config, directory, reporter, fabric
        shard = (fabric.global_rank, fabric.world_size)
        self.data: Splits = config.task.open(config.data, seed=config.seed, device=fabric.device, shard=shard)
        if config.keep_best and self.data.evaluated_on == "test":
            raise ValueError(
                "keep_best would choose an epoch by the test images: "
                "cut images for it from the training set with --validation-size"
            )
        self.network = self._build()
        # Before the parameters are sharded: an average of weights starts from whole ones.
        self.average = _averaged(self.network, config.averaging) if config.averaging else None
        self.model: Any = fabric.setup_module(self.network)
        optimizer = build_optimizer(self.model.parameters(), config.optimizer)
        self.optimizer: Any = fabric.setup_optimizers(optimizer)
        self.state = State(self.network, optimizer, self.average, fabric)
        self.measuring = Measuring(config, self.data, fabric, self.network, self.model, self.average)
        self.progress = Progress()
        directory.begin(to_plain(config), environment(fabric.device, precision, fabric.world_size))
        self.loggers = build_loggers(config.loggers, directory.path) if fabric.is_global_zero else []
        self.health = self._watched() if fabric.is_global_zero else None
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        processes = f" in {fabric.world_size} processes" if fabric.world_size > 1 else ""
        reporter.note(
            f"{config.network.arch}, {config.network.norm.name}, {parameters:,} parameters; {config.data.dataset}; "
            f"{fabric.device.type}, {precision}{processes}; {directory.path}"
        )
        if changed:
            reporter.note(changed)

    def _watched(self) -> HealthLog:
        return HealthLog(self.directory.path, self.network, steps=len(self.data.train), parts=self.config.accumulation)

    def _build(self) -> nn.Module:
        """The network with its initial weights, on the device."""
        torch.manual_seed(self.config.seed)
        if self.config.start is None:
            network = self.config.task.build_network(self.config.network, self.data.info)
        else:
            network = started_network(self.config, self.data, self.fabric.device)
        if self.config.parallel.sync_statistics:
            whitened = any(isinstance(module, WhitenedLayer) for module in network.modules())
            if self.fabric.device.type == "cuda":
                network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
            elif not whitened and self.fabric.world_size > 1:
                raise ValueError("torch synchronises batch norm on graphics cards only: leave --sync-statistics out")
            network = sync_statistics(network) if whitened else network
        network = network.to(self.fabric.device)
        if self.config.parallel.strategy != "fsdp":  # which shards contiguous parameters only
            network = network.to(memory_format=torch.channels_last)
        return network

    def close(self) -> None:
        """Close the loggers' files."""
        for logger in self.loggers:
            logger.finalize("finished")

    def finish(self) -> RunResult:
        """Train the epochs that remain."""
        if self.directory.checkpoint.exists():
            self.progress = self.state.load(self.directory.checkpoint)
        history = self.progress.history
        self.directory.write_metrics(history)
        first = len(history) + 1
        if self.health is not None:
            self.health.begin(len(history) * len(self.data.train) + len(self.progress.losses))
        self.reporter.start(epochs=self.config.epochs, steps=len(self.data.train), first_epoch=first)
        self._saved = time.monotonic()
        with noted_termination() as self._terminated:
            for epoch in range(first, self.config.epochs + 1):
                record = self._epoch(epoch)
                self.progress = Progress([*history, record])
                history = self.progress.history
                # The checkpoint decides what has happened; the metrics are made to fit it when resuming.
                self._save()
                self.directory.write_metrics(history)
                for logger in self.loggers:
                    logger.log_metrics(scalars(record), step=epoch)
                self.reporter.epoch(record)
            model = self.network if self.average is None else self.average.module
            result = RunResult(self.directory.path, tuple(history), model.eval(), self.config.task.metric)
            self.directory.write_json("summary.json", summary(result))
        # A process that ends resets the connections of those that are still collecting the last state.
        self.fabric.barrier()
        return result

    def _epoch(self, epoch: int) -> dict[str, Any]:
        self._train(epoch)
        losses, seconds = self.progress.losses, self.progress.seconds
        if self.fabric.world_size > 1:
            losses = mean_over_processes(self.fabric, losses.to(self.fabric.device)).cpu()
        evaluated = self.measuring.evaluate(epoch)
        before = self.progress.history[-1]["cumulative_seconds"] if self.progress.history else 0.0
        total = float(seconds.sum())
        steps = len(losses)
        return {
            "epoch": epoch,
            "evaluated_on": self.data.evaluated_on,
            "train_loss": float(losses.mean()),
            **evaluated,
            "lr": learning_rate(self.config.optimizer, epoch * steps - 1, self.config.epochs * steps),
            "seconds": total,
            "cumulative_seconds": before + total,
            "seconds_per_step": float(seconds.quantile(0.5)),
            "steps": steps,
        }

    def _train(self, epoch: int) -> None:
        """Train what remains of an epoch; ``progress`` has every step's loss and seconds."""
        steps = len(self.data.train)
        total, before = self.config.epochs * steps, (epoch - 1) * steps
        if self.fabric.global_rank:  # dropout and mixing differ between processes, the first weights do not
            torch.manual_seed((self.config.seed * 1_000_003 + epoch) * 8191 + self.fabric.global_rank)
        batches = self.data.train.epoch(epoch)
        start = len(self.progress.losses)
        for _ in range(start):  # which were trained before the run was stopped
            next(batches)
        if start:
            self.state.restore_random()
        self.model.train()
        waiting: list[Tensor] = []
        begun = time.perf_counter()
        for step in range(start, steps):
            for group in self.optimizer.optimizer.param_groups:
                group["lr"] = learning_rate(self.config.optimizer, before + step, total)
            try:
                inputs, targets = next(batches)
            except Exception:
                if not waiting and self._terminated():  # which ends the loader's processes as well
                    self._save_within(epoch)
                raise
            waiting.append(self._step(inputs, targets))
            if len(waiting) == self._read_every or step + 1 == steps:
                losses = torch.stack(waiting).cpu().double()
                now = time.perf_counter()
                self._require_finite(losses, before + step + 1 - len(waiting), epoch)
                self.progress = self.progress.and_steps(losses, (now - begun) / len(waiting))
                waiting.clear()
                begun = time.perf_counter() if self._save_within(epoch) else now
            known = float(self.progress.losses[-1]) if len(self.progress.losses) else float("nan")
            images = len(targets) * self.fabric.world_size
            self.reporter.step(epoch=epoch, step=step + 1, images=images, loss=known)

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

    def _require_finite(self, losses: Tensor, first: int, epoch: int) -> None:
        """Make sure of the losses of some steps, the first of which has this number from the run's start."""
        bad = (~losses.isfinite()).nonzero()
        if not len(bad):
            return
        step = first + int(bad[0])
        where = (
            f"the training loss is {float(losses[bad[0]])} at step {step + 1} "
            f"(epoch {epoch}, step {step + 1 - (epoch - 1) * len(self.data.train)})"
        )
        if step == 0:
            raise FloatingPointError(f"{where}, before any update of the weights: {self._explain_start()}")
        raise FloatingPointError(
            f"{where}; a lower learning rate may help, and --check-finite names the layer where it begins"
        )

    @torch.no_grad()
    def _explain_start(self) -> str:
        """What is not finite before the first update."""
        inputs, _ = next(self.data.train.epoch(1))
        bad = int((~inputs.isfinite()).sum())
        if bad:
            return f"{bad} of the {inputs.numel()} values of the first batch are NaN or infinite"
        network = self._build()  # the weights have been updated since
        for name, parameter in network.named_parameters():
            if not parameter.isfinite().all():
                return f"the initial weights {name!r} are NaN or infinite"
        try:
            with self.fabric.autocast(), check_finite(network):
                network(inputs)
        except FloatingPointError as error:
            return str(error)
        return "the inputs and the initial weights are finite, the loss of the first outputs is not"

    def _save_within(self, epoch: int) -> bool:
        """Save within an epoch, when that is due or the process is to end; all processes decide as one.

        Raises:
            SystemExit: when SIGTERM has come and all is saved.
        """
        due = 0 < 60 * self.config.checkpoint_minutes <= time.monotonic() - self._saved
        wish = torch.tensor(2.0 if self._terminated() else float(due), device=self.fabric.device)
        if self.fabric.world_size > 1:
            wish = self.fabric.all_reduce(wish, reduce_op="max")  # type: ignore[assignment]
        if wish:
            self._save()
        if wish == 2:
            self.reporter.note(
                f"stopped by SIGTERM; --resume {self.directory.path} continues after step {len(self.progress.losses)} "
                f"of epoch {epoch}"
            )
            raise SystemExit(TERMINATED)
        return bool(wish)

    def _save(self) -> None:
        """Write the state; every process takes part in collecting it."""
        self._saved = time.monotonic()
        history = self.progress.history
        state = self.state.collect(self.progress)
        if not self.fabric.is_global_zero:
            return
        save_checkpoint(self.directory.checkpoint, state)
        is_epoch_end = len(self.progress.losses) == 0
        if self.config.keep_best and is_epoch_end and best_record(history, self.config.task.metric) is history[-1]:
            best = {"format": state["format"], "epoch": len(history), "model": evaluated_weights(state)}
            save_checkpoint(self.directory.best, best)


def _changed_settings(config: TrainingConfig, directory: RunDirectory) -> str:
    """What a run that is continued does otherwise, in words.

    Raises:
        RunDirectoryError: when it cannot be continued with these settings.
    """
    if not directory.is_resumed or not directory.has_results():
        return ""
    if not directory.checkpoint.exists():
        raise RunDirectoryError(
            f"{directory.path} cannot be continued: its {directory.checkpoint.name} is gone, and its metrics are of "
            "weights that no longer exist; train anew with another --result-path"
        )
    saved = read_config(directory.path)
    conflicts = differing_settings(config, saved)
    if conflicts:
        raise RunDirectoryError(f"{directory.path} has other settings: {'; '.join(conflicts.values())}")
    if config.epochs == saved["epochs"]:
        return ""
    return f"{config.epochs} epochs instead of {saved['epochs']}; the learning rate stays {config.optimizer.lr:g}"


def _averaged(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential average of the network's weights that starts at their values now."""
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    average.update_parameters(model)
    return average
