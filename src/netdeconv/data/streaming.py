"""Data sets too large for memory: image files are read, decoded and varied by loader processes as they are needed.

Which images a batch holds and how each is varied depends on (seed, epoch) alone: every image comes with a seed
of its own, so that the number of loader processes and of training processes does not change it.

Shape letters: N samples of an epoch, B batch, H height, W width, C channels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from netdeconv.data.config import Decoder
from netdeconv.data.cutout import cut_out
from netdeconv.data.decoding import Transform, evaluation_transform, training_transform
from netdeconv.data.entry import DatasetInfo, ResizedCrop
from netdeconv.data.folder import ImageFiles
from netdeconv.data.loader import ImageLoader
from netdeconv.data.normalise import Normalise
from netdeconv.data.samples import Key
from netdeconv.data.shards import Shard, count_steps, local_batch_size, share

_SEEDS = 2**62


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loading:
    """How image files become batches on a device.

    Args:
        num_workers: loader processes; 0 reads in the process that trains.
        decode: ``"workers"`` decodes in the loader processes; ``"device"`` decodes JPEG where the network is.
        skip_corrupt: whether files that cannot be decoded are left out, instead of ending the run.
        device: where the batches go.
    """

    device: torch.device
    num_workers: int = 0
    decode: Decoder = "workers"
    skip_corrupt: bool = False

    def loader(self, files: ImageFiles, transform: Transform, *, fill: bool) -> ImageLoader:
        """Return the loader of some files."""
        return ImageLoader(
            files,
            transform,
            device=self.device,
            num_workers=self.num_workers,
            decode=self.decode,
            skip_corrupt=self.skip_corrupt,
            fill=fill,
        )


class FolderTraining:
    """Shuffled and augmented batches of image files; an epoch can be replayed.

    An image that is skipped as corrupt is replaced by another of its batch, so that all processes have
    batches of one size.

    Args:
        files: the training images.
        entry: size, mean and standard deviation of what a network sees.
        batch_size: images of the whole batch, all processes together.
        augmentation: random changes; ``None`` treats the images as in evaluation.
        resize: of evaluation, without augmentation.
        seed: starts every epoch's generator, together with the epoch's number.
        shard: this process's number and the number of processes that share an epoch.
        loading: how files become batches.

    Raises:
        ValueError: when the batch or the images cannot be shared by the processes.
    """

    def __init__(
        self,
        files: ImageFiles,
        entry: DatasetInfo,
        *,
        batch_size: int,
        augmentation: ResizedCrop | None,
        resize: int,
        seed: int,
        shard: Shard,
        loading: Loading,
    ) -> None:
        self.files = files
        self.batch_size = local_batch_size(batch_size, shard)
        self.augmentation = augmentation
        self.seed = seed
        self.device = loading.device
        self._shard = shard
        self._steps = count_steps(len(files), batch_size, shard)
        self._size = entry.shape[1], entry.shape[2]
        self._normalise = Normalise(entry, loading.device)
        transform = (
            evaluation_transform(self._size, resize)
            if augmentation is None
            else training_transform(self._size, augmentation)
        )
        self.loader = loading.loader(files, transform, fill=True)

    @property
    def num_samples(self) -> int:
        """Images of all processes."""
        return len(self.files)

    def __len__(self) -> int:
        """Batches in one epoch."""
        return self._steps

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Pass once over the images, in the order and with the changes of this epoch.

        Raises:
            CorruptImageError: when an image cannot be decoded and is not to be skipped.
            LoaderError: when a loader process dies.
        """
        file_N, seed_N, *holes = (share(chosen_N, self._shard) for chosen_N in self._choose(epoch))
        parts = [slice(start, start + self.batch_size) for start in range(0, len(file_N), self.batch_size)]
        parts = parts[: len(self)]
        keys = ([Key(*key) for key in zip(file_N[part].tolist(), seed_N[part].tolist(), strict=True)] for part in parts)
        row_N, column_N = (hole_N.to(self.device) for hole_N in holes)
        for part, (images_BHWC, labels_B) in zip(parts, self.loader.load(keys), strict=True):
            images_BCHW = self._normalise(images_BHWC)
            if self.augmentation is not None and self.augmentation.cutout:
                cut_out(images_BCHW, self.augmentation.cutout, row_N[part], column_N[part])
            yield images_BCHW, labels_B

    def _choose(self, epoch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        count = len(self.files)
        file_N = torch.randperm(count, generator=generator)
        seed_N = torch.randint(_SEEDS, (count,), generator=generator)
        row_N, column_N = (torch.randint(side, (count,), generator=generator) for side in self._size)
        return file_N, seed_N, row_N, column_N


class FolderEvaluation:
    """Batches of image files in their order, resized and cropped; every process has every ``world``-th.

    An image that is skipped as corrupt is left out.

    Args:
        files: the images of all processes.
        entry: size, mean and standard deviation of what a network sees.
        batch_size: images in a batch of one process.
        resize: length of the shorter side before the crop.
        shard: this process's number and the number of processes.
        loading: how files become batches.
    """

    def __init__(
        self, files: ImageFiles, entry: DatasetInfo, *, batch_size: int, resize: int, shard: Shard, loading: Loading
    ) -> None:
        rank, world = shard
        self.files = files.part(slice(rank, None, world))
        self.batch_size = batch_size
        self._normalise = Normalise(entry, loading.device)
        transform = evaluation_transform((entry.shape[1], entry.shape[2]), resize)
        self.loader = loading.loader(self.files, transform, fill=False)

    @property
    def num_samples(self) -> int:
        """Images of this process."""
        return len(self.files)

    def __len__(self) -> int:
        """Batches in one pass."""
        return -(-len(self.files) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pass once over the images.

        Raises:
            CorruptImageError: when an image cannot be decoded and is not to be skipped.
            LoaderError: when a loader process dies.
        """
        count = len(self.files)
        keys = (
            [Key(index, 0) for index in range(start, min(start + self.batch_size, count))]
            for start in range(0, count, self.batch_size)
        )
        for images_BHWC, labels_B in self.loader.load(keys):
            if len(labels_B):
                yield self._normalise(images_BHWC), labels_B
