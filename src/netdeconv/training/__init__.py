"""One training loop for all tasks: settings in, a run directory and its measurements out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdeconv.lazy import lazy_names

if TYPE_CHECKING:
    from netdeconv.training.checkpoint import CheckpointError, load_checkpoint, restore_model, save_checkpoint
    from netdeconv.training.config import NetworkConfig, OptimizerConfig, TrainingConfig
    from netdeconv.training.devices import is_first_process
    from netdeconv.training.measuring import evaluate
    from netdeconv.training.optimizers import OPTIMIZERS, SCHEDULES
    from netdeconv.training.plain import differing_settings, from_plain, to_plain
    from netdeconv.training.progress import Reporter, Silent, reporters
    from netdeconv.training.results import RunResult, environment
    from netdeconv.training.run_directory import RunDirectory, RunDirectoryError, read_config
    from netdeconv.training.session import run
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "CheckpointError",
    "NetworkConfig",
    "OptimizerConfig",
    "Reporter",
    "RunDirectory",
    "RunDirectoryError",
    "RunResult",
    "Silent",
    "TrainingConfig",
    "differing_settings",
    "environment",
    "evaluate",
    "from_plain",
    "is_first_process",
    "load_checkpoint",
    "read_config",
    "reporters",
    "restore_model",
    "run",
    "save_checkpoint",
    "to_plain",
]
