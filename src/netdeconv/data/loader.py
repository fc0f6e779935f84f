"""Loader processes: files in, batches of varied images out; corrupt files and dead processes named.

Shape letters: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from netdeconv.data.config import Decoder
from netdeconv.data.decoding import decode_on
from netdeconv.data.errors import CorruptImageError, DataError, LeftOutWarning, LoaderError, first_of

# A sample's number, and the seed of its random changes: whichever process loads it, it is the same.
Key = tuple[int, int]
# An image uint8 (C, H, W), and its label or its mask.
Sample = tuple[Tensor, Tensor]
Transform = Callable[[Tensor, Tensor], Sample]
# How torch's messages of a loader process's end begin.
_DEATHS = ("DataLoader worker (pid", "Pin memory thread exited")


class Loader:
    """Reads batches of samples with loader processes that stay between epochs.

    Args:
        load: from a number to a sample; with ``decode="device"``, to an encoded image and its label.
        transform: brings samples to a common size; may draw from torch's generator of the processor.
        device: where encoded images are decoded, and for which batches are made ready.
        num_workers: loader processes of all training processes of this machine together, at most one for each
            processor core; 0 reads in the training process.
        decode: where JPEG is decoded.
        skip_corrupt: whether images that cannot be decoded are left out, counted and reported; ``None``: they cannot
            be, and nobody is advised to.
        fill: whether another sample of the batch takes the place of one that is left out.
    """

    def __init__(
        self,
        load: Callable[[int], tuple[Any, Tensor]],
        transform: Transform,
        *,
        device: torch.device,
        num_workers: int = 0,
        decode: Decoder = "workers",
        skip_corrupt: bool | None = None,
        fill: bool = False,
    ) -> None:
        self.device = device
        self.skipped: set[str] = set()
        self.num_workers = workers_of_this_process(num_workers)
        self._transform, self._skip_corrupt, self._collate = transform, skip_corrupt, _Collate(fill)
        self._encoded = decode == "device"
        self._plan = _Plan()
        self._loader: DataLoader[Any] = DataLoader(
            _Samples(load, None if self._encoded else transform),
            batch_sampler=self._plan,
            num_workers=self.num_workers,
            collate_fn=list if self._encoded else self._collate,
            pin_memory=not self._encoded and device.type == "cuda",
            persistent_workers=self.num_workers > 0,
            # Else it would draw from torch's, and an epoch of training would depend on how often it was evaluated.
            generator=torch.Generator(),
        )

    def load(self, batches: Iterable[list[Key]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Read batches in their order.

        Yields:
            Images uint8 (B, C, H, W) and targets; none of a batch that is left out whole.

        Raises:
            CorruptImageError: when an image cannot be decoded and is not to be skipped, or none of a batch can.
            DataError: when files do not fit each other.
            LoaderError: when a loader process dies.
        """
        self._plan.batches = batches
        known = len(self.skipped)
        with explained_deaths():
            loaded = iter(self._loader)
        try:
            while True:
                with explained_deaths():
                    batch = next(loaded, None)
                if batch is None:
                    break
                whole, errors = self._collate(self._decode(batch)) if self._encoded else batch
                self._note(errors, empty=whole is None)
                if whole is not None:
                    yield whole[0], whole[1]
        finally:
            if len(self.skipped) > known:
                shown = f"{len(self.skipped)} ({first_of(sorted(self.skipped))})"
                warnings.warn(f"images that cannot be decoded are left out: {shown}", LeftOutWarning, stacklevel=2)

    def _decode(self, samples: list[Any]) -> list[Sample | DataError]:
        whole = [sample for sample in samples if not isinstance(sample, DataError)]
        pictures = iter(decode_on(self.device, [encoded for encoded, *_ in whole]))
        return [
            sample if isinstance(sample, DataError) else self._vary(next(pictures), *sample[1:]) for sample in samples
        ]

    def _vary(self, picture: Tensor | CorruptImageError, label: Tensor, seed: int) -> Sample | DataError:
        return picture if isinstance(picture, CorruptImageError) else vary((picture, label), self._transform, seed)

    def _note(self, errors: list[DataError], *, empty: bool) -> None:
        for error in errors:
            if not isinstance(error, CorruptImageError):
                raise error
        fatal = not self._skip_corrupt or (self._collate.fill and empty)
        if errors and fatal:
            advice = {True: ": that is a whole batch", False: "; --skip-corrupt leaves such images out", None: ""}
            raise CorruptImageError("; ".join(map(str, errors[:4])) + advice[self._skip_corrupt])
        self.skipped.update(error.path for error in errors if isinstance(error, CorruptImageError))


class _Samples(Dataset[Any]):
    """What a loader process does: load a sample and vary it; an error comes back as a value, in one piece."""

    def __init__(self, load: Callable[[int], tuple[Any, Tensor]], transform: Transform | None) -> None:
        self._load, self._transform = load, transform

    def __getitem__(self, key: Key) -> Any:
        try:
            sample = self._load(key[0])
        except DataError as error:
            return error
        return (*sample, key[1]) if self._transform is None else vary(sample, self._transform, key[1])


def vary(sample: Sample, transform: Transform, seed: int) -> Sample:
    """Return the transformed sample; the seed alone decides what is drawn, and torch's generator stays as it is."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed the graphics cards too.
        torch.default_generator.manual_seed(seed)
        return transform(*sample)


class _Collate:
    """Makes one tensor of a batch's images and one of its targets; ``None`` of nothing. The errors stand beside."""

    def __init__(self, fill: bool) -> None:
        self.fill = fill

    def __call__(self, samples: list[Sample | DataError]) -> tuple[list[Tensor] | None, list[DataError]]:
        whole = [sample for sample in samples if not isinstance(sample, DataError)]
        errors = [sample for sample in samples if isinstance(sample, DataError)]
        if not whole:
            return None, errors
        if self.fill:
            places = iter(range(len(samples)))
            whole = [
                whole[next(places) % len(whole)] if isinstance(sample, DataError) else sample for sample in samples
            ]
        return default_collate([tuple(each.as_subclass(Tensor) for each in sample) for sample in whole]), errors


class _Plan:
    """The batches of the pass that begins next."""

    def __init__(self) -> None:
        self.batches: Iterable[list[Key]] = ()

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)


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
