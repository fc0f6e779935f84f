"""Image files in, batches of varied images out, by torch's loader with its processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.transforms import v2

from netdeconv.data.errors import DataError

# An image uint8 (C, H, W), and its label or its mask.
Sample = tuple[Any, Any]
_SEEDS = 2**62


class Loader(Dataset[Any]):
    """Reads samples of a data set by number, and varies them.

    Every sample comes with a seed of its own, so that it is varied alike whichever process loads it.

    Args:
        samples: images with labels or masks.
        transform: brings them to a common size; may draw from torch's generator of the processor.
        device: for which batches are made ready.
        num_workers: loader processes of all training processes of this machine together, at most one for each
            processor core; 0 reads in the training process.
    """

    def __init__(
        self, samples: Any, transform: Callable[..., Sample], *, device: torch.device, num_workers: int = 0
    ) -> None:
        self.samples, self.device = samples, device
        self._transform, self._num_workers = v2.Compose([transform, v2.ToPureTensor()]), num_workers

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
            RuntimeError: when a loader process dies.
        """
        batches: DataLoader[Any] = DataLoader(
            self,
            batch_sampler=(list(zip(*map(Tensor.tolist, batch), strict=True)) for batch in plan),
            num_workers=workers_of_this_process(self._num_workers),
            collate_fn=_collate,
            pin_memory=self.device.type == "cuda",
            # Else it would draw from torch's, and an epoch of training would depend on how often it was evaluated.
            generator=torch.Generator(),
        )
        try:
            for batch in batches:
                if isinstance(batch, DataError):
                    raise batch
                yield batch[0], batch[1]
        except ConnectionError as error:  # where the process dies while it hands over a batch
            raise RuntimeError(f"a DataLoader worker process has died ({error})") from error

    def __getitem__(self, key: tuple[int, ...]) -> Sample | DataError:
        """Return a sample by number and seed; an error comes back as a value, which reaches the training process."""
        number, *seed = key
        try:
            sample: Sample = self.samples[number]
        except DataError as error:
            return error
        return vary(sample, self._transform, seed[0]) if seed else self._transform(*sample)


def vary(sample: Sample, transform: Callable[..., Sample], seed: int) -> Sample:
    """Return the transformed sample; the seed alone decides what is drawn, and torch's generator stays as it is."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed the graphics cards too.
        torch.default_generator.manual_seed(seed)
        return transform(*sample)


def _collate(samples: list[Any]) -> Any:
    errors = [sample for sample in samples if isinstance(sample, DataError)]
    return errors[0] if errors else default_collate(samples)


def workers_of_this_process(num_workers: int) -> int:
    """Return this process's part of a machine's loader processes, no more than there are processor cores.

    ``torchrun`` says how many training processes this machine has.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return -(-min(num_workers, cores) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
