"""Image files in, batches of varied images out, with loader processes; files and dead processes are named."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from netdeconv.data.errors import DataError, LoaderError

# An image uint8 (C, H, W), and its label or its mask.
Sample = tuple[Any, Any]
Transform = Callable[..., Sample]
_SEEDS = 2**62
# How torch's messages of a loader process's end begin.
_DEATHS = ("DataLoader worker (pid", "Pin memory thread exited")


class Loader:
    """Reads batches of samples with loader processes that stay between epochs.

    Every sample comes with a seed of its own, so that it is varied alike whichever process loads it.

    Args:
        load: from a number to a sample.
        transform: brings samples to a common size; may draw from torch's generator of the processor.
        device: for which batches are made ready.
        num_workers: loader processes of all training processes of this machine together, at most one for each
            processor core; 0 reads in the training process.
    """

    def __init__(
        self, load: Callable[[int], Sample], transform: Transform, *, device: torch.device, num_workers: int = 0
    ) -> None:
        self.device = device
        workers = workers_of_this_process(num_workers)
        self._plan = _Plan()
        self._loader: DataLoader[Any] = DataLoader(
            _Samples(load, transform),
            batch_sampler=self._plan,
            num_workers=workers,
            collate_fn=_collate,
            pin_memory=device.type == "cuda",
            persistent_workers=workers > 0,
            # Else it would draw from torch's, and an epoch of training would depend on how often it was evaluated.
            generator=torch.Generator(),
        )

    def draw(self, count: int, generator: torch.Generator) -> Sequence[Tensor]:
        """Return the seeds of ``count`` samples."""
        return (torch.randint(_SEEDS, (count,), generator=generator),)

    def load(self, plan: Iterable[Sequence[Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Read batches in their order.

        Args:
            plan: for each batch the numbers of its samples and, where they are varied, their seeds.

        Yields:
            Images uint8 (B, C, H, W) and targets.

        Raises:
            DataError: when a file is damaged, or files do not fit each other.
            LoaderError: when a loader process dies.
        """
        self._plan.batches = (list(zip(*map(Tensor.tolist, batch), strict=True)) for batch in plan)
        with explained_deaths():
            for batch in self._loader:
                if isinstance(batch, DataError):
                    raise batch
                yield batch[0], batch[1]


class _Plan:
    """The batches of the pass that begins next."""

    batches: Iterable[list[tuple[int, ...]]] = ()

    def __iter__(self) -> Iterator[list[tuple[int, ...]]]:
        return iter(self.batches)


class _Samples(Dataset[Any]):
    """What a loader process does: load a sample and vary it; an error comes back as a value, in one piece."""

    def __init__(self, load: Callable[[int], Sample], transform: Transform) -> None:
        self._load, self._transform = load, transform

    def __getitem__(self, key: tuple[int, ...]) -> Sample | DataError:
        number, *seed = key
        try:
            sample = self._load(number)
        except DataError as error:
            return error
        return vary(sample, self._transform, seed[0]) if seed else self._transform(*sample)


def vary(sample: Sample, transform: Transform, seed: int) -> Sample:
    """Return the transformed sample; the seed alone decides what is drawn, and torch's generator stays as it is."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed the graphics cards too.
        torch.default_generator.manual_seed(seed)
        return transform(*sample)


def _collate(samples: list[Sample | DataError]) -> Any:
    errors = [sample for sample in samples if isinstance(sample, DataError)]
    return errors[0] if errors else default_collate([tuple(map(_plain, sample)) for sample in samples])  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    """A tensor without the type that tells torchvision what it is."""
    return value.as_subclass(Tensor) if isinstance(value, Tensor) else value


def workers_of_this_process(num_workers: int) -> int:
    """Return this process's part of a machine's loader processes, no more than there are processor cores.

    ``torchrun`` says how many training processes this machine has.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return -(-min(num_workers, cores) // processes)


@contextlib.contextmanager
def explained_deaths() -> Iterator[None]:
    """Turn torch's errors of a loader process's end into one line that says what to do.

    Torch may raise them anywhere in the training process, not only where a batch is awaited.

    Raises:
        LoaderError: when a loader process has died.
    """
    try:
        yield
    except RuntimeError as error:
        text = " ".join(str(error).split())
        if not text.startswith(_DEATHS):
            raise
        raise LoaderError(
            f"a process that reads images has died ({text.rstrip('. ')}), often for want of memory: try fewer with "
            "-j or --num-workers; --resume continues the run after its last finished epoch"
        ) from error
