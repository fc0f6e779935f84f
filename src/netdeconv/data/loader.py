"""Loader processes: files in, batches of decoded images out; corrupt files and dead processes named.

Shape letters: B batch, H height, W width, C channels.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from netdeconv.data.config import Decoder
from netdeconv.data.decoding import (
    Transform,
    UndecodableError,
    decode,
    decode_on,
    drawing_from,
    read_bytes,
)
from netdeconv.data.errors import CorruptImageError, CorruptImagesWarning, LoaderError
from netdeconv.data.folder import ImageFiles

_SHOWN = 5
# How torch's messages of a loader process's end begin.
_DEATHS = ("DataLoader worker (pid", "Pin memory thread exited")


class Key(NamedTuple):
    """What a loader process is asked for: a file, and the seed of its random changes."""

    file: int
    seed: int


class Sample(NamedTuple):
    """One file: its bytes or its picture, or why there is none."""

    content: Tensor | None
    label: int
    seed: int
    path: str
    reason: str = ""


class Encoded(NamedTuple):
    """Files of a batch end to end: thousands of small tensors would need as many open files."""

    content: Tensor
    lengths: list[int]
    samples: list[Sample]


class Decoded(NamedTuple):
    """Pictures (B, H, W, C) and labels (B,) of a batch, and the files that gave none."""

    images: Tensor
    labels: Tensor
    broken: list[tuple[str, str]]


class ImageLoader:
    """Reads batches of image files with loader processes that stay between epochs.

    Args:
        files: the images.
        transform: from an image (C, H, W) to one of the common size; may draw from torch's generator.
        device: where the batches go.
        num_workers: loader processes of all training processes of this machine together, at most one for each
            processor core; 0 reads in the training process.
        decode: where JPEG is decoded.
        skip_corrupt: whether files that cannot be decoded are left out, counted and reported.
        fill: whether another image of the batch takes the place of one that is left out.
    """

    def __init__(
        self,
        files: ImageFiles,
        transform: Transform,
        *,
        device: torch.device,
        num_workers: int = 0,
        decode: Decoder = "workers",
        skip_corrupt: bool = False,
        fill: bool = False,
    ) -> None:
        self.skipped: set[str] = set()
        self.num_workers = workers_of_this_process(num_workers)
        self._transform = transform
        self._device = device
        self._skip_corrupt = skip_corrupt
        self._collate = _Assemble(fill)
        self._plan = _Plan()
        here = decode == "workers"
        self._loader: DataLoader[Any] = DataLoader(
            _Files(files, transform if here else None),
            batch_sampler=self._plan,
            num_workers=self.num_workers,
            collate_fn=self._collate if here else _pack,
            pin_memory=here and device.type == "cuda",
            persistent_workers=self.num_workers > 0,
            # Else it would draw from torch's, and an epoch of training would depend on how often it was evaluated.
            generator=torch.Generator(),
        )

    def load(self, batches: Iterable[list[Key]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Read batches in their order.

        Args:
            batches: the keys of each.

        Yields:
            Images uint8 (B, H, W, C) and labels, on the device.

        Raises:
            CorruptImageError: when an image cannot be decoded and is not to be skipped, or none of a batch can.
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
                if isinstance(batch, Encoded):
                    batch = self._decode(batch)
                self._note(batch)
                yield (
                    batch.images.to(self._device, non_blocking=True),
                    batch.labels.to(self._device, non_blocking=True),
                )
        finally:
            self._report(known)

    def _decode(self, batch: Encoded) -> Decoded:
        pictures = iter(decode_on(self._device, batch.content.split(batch.lengths)))
        return self._collate(
            [sample if sample.reason else self._finish(sample, next(pictures)) for sample in batch.samples]
        )

    def _finish(self, sample: Sample, picture: Tensor | UndecodableError) -> Sample:
        if isinstance(picture, UndecodableError):
            return sample._replace(reason=str(picture))
        return sample._replace(content=_vary(picture, self._transform, sample.seed))

    def _note(self, batch: Decoded) -> None:
        if batch.broken and (not self._skip_corrupt or (self._collate.fill and not len(batch.labels))):
            raise CorruptImageError(
                "; ".join(f"{path} cannot be decoded ({reason})" for path, reason in batch.broken[:_SHOWN])
                + ("; --skip-corrupt leaves such images out" if not self._skip_corrupt else ": that is a whole batch")
            )
        self.skipped.update(path for path, _ in batch.broken)

    def _report(self, known: int) -> None:
        if len(self.skipped) > known:
            names = sorted(self.skipped)
            shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
            warnings.warn(
                f"images that cannot be decoded are left out: {len(names)} ({shown})",
                CorruptImagesWarning,
                stacklevel=2,
            )


class _Plan(Sampler[list[Key]]):
    """The batches of the pass that begins next."""

    def __init__(self) -> None:
        self.batches: Iterable[list[Key]] = ()

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)


class _Files(Dataset[Sample]):
    """Runs in the loader processes: reads one file, and decodes it when there is a transform."""

    def __init__(self, files: ImageFiles, transform: Transform | None) -> None:
        self._files = files
        self._transform = transform

    def __getitem__(self, key: Key) -> Sample:
        path = self._files.path(key.file)
        sample = Sample(None, int(self._files.labels[key.file]), key.seed, path)
        try:
            content = read_bytes(path)
            if self._transform is not None:
                content = _vary(decode(content), self._transform, key.seed)
        except UndecodableError as error:
            return sample._replace(reason=str(error))
        return sample._replace(content=content)


def _vary(picture_CHW: Tensor, transform: Transform, seed: int) -> Tensor:
    with drawing_from(seed):
        return transform(picture_CHW).permute(1, 2, 0)


def _pack(samples: list[Sample]) -> Encoded:
    contents = [sample.content for sample in samples if sample.content is not None]
    return Encoded(
        torch.cat(contents) if contents else torch.empty(0, dtype=torch.uint8),
        [len(content) for content in contents],
        [sample._replace(content=None) for sample in samples],
    )


class _Assemble:
    """Makes one tensor of a batch's pictures, with or without others in the places of those that are missing."""

    def __init__(self, fill: bool) -> None:
        self.fill = fill

    def __call__(self, samples: list[Sample]) -> Decoded:
        broken = [(sample.path, sample.reason) for sample in samples if sample.reason]
        whole = [sample for sample in samples if not sample.reason]
        if self.fill and whole:
            missing = iter(range(len(samples)))
            samples = [whole[next(missing) % len(whole)] if sample.reason else sample for sample in samples]
        else:
            samples = whole
        pictures = [sample.content for sample in samples if sample.content is not None]
        images = torch.stack(pictures) if pictures else torch.empty(0, 0, 0, 3, dtype=torch.uint8)
        return Decoded(images, torch.tensor([sample.label for sample in samples], dtype=torch.int64), broken)


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
