"""Data sets too large for memory: files are read, decoded and varied by loader processes as they are needed.

Which images a batch holds and how each is varied depends on (seed, epoch) alone: every image comes with a seed
of its own, so that the number of loader processes and of training processes does not change it.

Shape letters: N samples of an epoch, B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from netdeconv.data.augment import Normalise, cut_out
from netdeconv.data.loader import Loader
from netdeconv.data.protocols import DataInfo
from netdeconv.data.shards import Shard, count_steps, local_batch_size, share

_SEEDS = 2**62


class StreamedTraining:
    """Shuffled and varied batches; an epoch can be replayed.

    An image that is skipped as corrupt is replaced by another of its batch, so that all processes have
    batches of one size.

    Args:
        loader: of all samples, filling batches.
        info: size, mean and standard deviation of what a network sees.
        num_samples: of all processes.
        batch_size: images of the whole batch, all processes together.
        seed: starts every epoch's generator, together with the epoch's number.
        shard: this process's number and the number of processes that share an epoch.
        cutout: side of a square that is hidden in every image; 0 for none.

    Raises:
        ValueError: when the batch or the images cannot be shared by the processes.
    """

    def __init__(
        self,
        loader: Loader,
        info: DataInfo,
        num_samples: int,
        *,
        batch_size: int,
        seed: int,
        shard: Shard,
        cutout: int = 0,
    ) -> None:
        self.loader, self.num_samples, self.seed = loader, num_samples, seed
        self.batch_size = local_batch_size(batch_size, shard)
        self._shard, self._cutout, self._size = shard, cutout, info.shape[1:]
        self._steps = count_steps(num_samples, batch_size, shard)
        self._normalise = Normalise(info, loader.device)

    def __len__(self) -> int:
        """Batches in one epoch."""
        return self._steps

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Pass once over the images, in the order and with the changes of this epoch.

        Raises:
            CorruptImageError: when an image cannot be decoded and is not to be skipped.
            DataError: when files do not fit each other.
            LoaderError: when a loader process dies.
        """
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        drawn = [torch.randperm(self.num_samples, generator=generator)]
        # Where the holes are is drawn last, so that all else is the same with and without them.
        for limit in (_SEEDS, *self._size):
            drawn.append(torch.randint(limit, (self.num_samples,), generator=generator))
        parts = [share(each_N, self._shard).split(self.batch_size)[: self._steps] for each_N in drawn]
        keys = (list(zip(*map(Tensor.tolist, part), strict=True)) for part in zip(*parts[:2], strict=True))
        for (images, targets), row_B, column_B in zip(self.loader.load(keys), *parts[2:], strict=True):
            images_BCHW = self._normalise(images)
            if self._cutout:
                cut_out(images_BCHW, self._cutout, row_B.to(images_BCHW.device), column_B.to(images_BCHW.device))
            yield images_BCHW, targets.to(images_BCHW.device, non_blocking=True).long()


class StreamedEvaluation:
    """Batches of samples in their order; an image that is skipped as corrupt is left out.

    Args:
        loader: of all samples.
        info: mean and standard deviation for the normalisation.
        batches: numbers of the samples of every batch of this process.
    """

    def __init__(self, loader: Loader, info: DataInfo, batches: list[list[int]]) -> None:
        self.loader, self.batches = loader, batches
        self._normalise = Normalise(info, loader.device)

    @property
    def num_samples(self) -> int:
        """Images of this process."""
        return sum(map(len, self.batches))

    def __len__(self) -> int:
        """Batches in one pass."""
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pass once over the images; errors as those of training."""
        for images, targets in self.loader.load([(index, 0) for index in batch] for batch in self.batches):
            images_BCHW = self._normalise(images)
            yield images_BCHW, targets.to(images_BCHW.device, non_blocking=True).long()
