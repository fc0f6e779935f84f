"""Loader processes: files in, batches of decoded images out; corrupt files and dead processes named.

Shape letters: B batch, H height, W width, C channels.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from netdeconv.data.config import Decoder
from netdeconv.data.decoding import Transform, UndecodableError, decode_on
from netdeconv.data.errors import CorruptImageError, CorruptImagesWarning
from netdeconv.data.folder import ImageFiles
from netdeconv.data.samples import Assemble, Decoded, Encoded, Files, Key, Sample, pack, vary
from netdeconv.data.workers import explained_deaths, workers_of_this_process

_SHOWN = 5


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
        self._collate = Assemble(fill)
        self._plan = _Plan()
        here = decode == "workers"
        self._loader: DataLoader[Any] = DataLoader(
            Files(files, transform if here else None),
            batch_sampler=self._plan,
            num_workers=self.num_workers,
            collate_fn=self._collate if here else pack,
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
        return sample._replace(content=vary(picture, self._transform, sample.seed))

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
