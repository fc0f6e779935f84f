"""One training loop for all tasks: settings in, a run directory and its measurements out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdeconv.lazy import lazy_names

if TYPE_CHECKING:
    from netdeconv.training.checkpoint import CheckpointError, load_checkpoint
    from netdeconv.training.config import NetworkConfig, OptimizerConfig, TrainingConfig
    from netdeconv.training.devices import is_first_process
    from netdeconv.training.plain import differing_settings, from_plain, to_plain
    from netdeconv.training.progress import Reporter, Silent, reporters
    from netdeconv.training.run_directory import RunDirectory, RunDirectoryError, read_config
    from netdeconv.training.session import run
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "CheckpointError",
    "NetworkConfig",
    "OptimizerConfig",
    "Reporter",
    "RunDirectory",
    "RunDirectoryError",
    "Silent",
    "TrainingConfig",
    "differing_settings",
    "from_plain",
    "is_first_process",
    "load_checkpoint",
    "read_config",
    "reporters",
    "run",
    "to_plain",
]
