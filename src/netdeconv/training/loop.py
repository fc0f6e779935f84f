"""One training loop for all tasks, on Lightning Fabric."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console

from netdeconv.training.config import TrainingConfig
from netdeconv.training.devices import build_fabric
from netdeconv.training.precision import process_settings
from netdeconv.training.progress import PlainLines, Reporter, Silent, live_bars
from netdeconv.training.result import RunResult
from netdeconv.training.run_directory import open_directory
from netdeconv.training.session import Session


def run(config: TrainingConfig, *, progress: bool | Reporter = True, resume: bool = False) -> RunResult:
    """Train and evaluate one network, and leave everything about it in a run directory.

    Under torchrun, or with several devices, every process calls it; the first one writes.

    Args:
        config: the settings.
        progress: whether to show it, or who is told.
        resume: whether ``config.result_path`` holds a run to continue from its last checkpoint, on any number
            of processes.

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
        fabric, precision = build_fabric(config.parallel, device=config.device, precision=config.precision)
        network = config.network
        name = f"{network.arch.replace('/', '-')}-{network.norm.name}-{config.data.dataset}"
        with (
            open_directory(fabric, config.result_path, name=name, resume=resume) as directory,
            _reporter(progress if fabric.is_global_zero else False) as reporter,
            contextlib.closing(Session(config, directory, reporter, fabric, precision)) as session,
        ):
            return session.finish()


@contextlib.contextmanager
def _reporter(progress: bool | Reporter) -> Iterator[Reporter]:
    if progress is False:
        yield Silent()
    elif progress is not True:
        yield progress
    elif (console := Console()).is_terminal:
        with live_bars(console) as bar:
            yield bar("training")
    else:
        yield PlainLines()
