"""Batches of images and masks on the device: from memory where they fit, else decoded while training goes on.

Shape letters: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from netdeconv.data.loader import explained_deaths
from netdeconv.data.segmentation.held import InMemoryPairs
from netdeconv.data.segmentation.pairs import PairSource
from netdeconv.data.segmentation.registry import SegmentationInfo
from netdeconv.data.segmentation.transforms import Pair, RandomView
from netdeconv.data.shards import Shard, count_steps, local_batch_size, share

_EPOCH_FACTOR, _SEED_FACTOR = 1_000_003, 7_919


class _Samples(Dataset[Pair | Exception]):
    """What a loader's process does: load a pair and change it; an error comes back as a value, in one piece."""

    def __init__(self, source: PairSource, change: Callable[[Pair, int, str], Pair] | None) -> None:
        self._source, self._change = source, change

    def __getitem__(self, index: int) -> Pair | Exception:
        try:
            pair = self._source.load(index)
            return pair if self._change is None else self._change(pair, index, self._source.name(index))
        except (ValueError, OSError) as error:
            return error


def _collate(samples: Sequence[Pair | Exception]) -> tuple[Tensor, Tensor] | Exception:
    pairs: list[Pair] = []
    for sample in samples:
        if isinstance(sample, Exception):
            return sample
        pairs.append(sample)
    images, masks = (torch.stack([each.as_subclass(Tensor) for each in kind]) for kind in zip(*pairs, strict=True))
    return images, masks


class _Batches:
    """Batches of some pairs of a source, on the device, images normalised."""

    def __init__(self, source: PairSource, info: SegmentationInfo, *, device: torch.device, workers: int) -> None:
        self.source, self.device = source, device
        # What is in memory needs no other process.
        self._workers = 0 if isinstance(source, InMemoryPairs) else workers
        self._mean_C11 = torch.tensor(info.mean, device=device).view(-1, 1, 1) * 255
        self._scale_C11 = 1 / (torch.tensor(info.std, device=device).view(-1, 1, 1) * 255)

    def _load(
        self, batches: list[list[int]], change: Callable[[Pair, int, str], Pair] | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        loader: DataLoader[Pair | Exception] = DataLoader(
            _Samples(self.source, change),
            batch_sampler=batches,
            num_workers=self._workers,
            collate_fn=_collate,
            # The loader draws its processes' seeds from this one and leaves torch's global generator alone.
            generator=torch.Generator(),
        )
        with explained_deaths():
            loaded = iter(loader)
        while True:
            with explained_deaths():
                batch = next(loaded, None)
            if batch is None:
                return
            if isinstance(batch, Exception):
                raise batch
            yield self._prepare(*batch)

    def _prepare(self, images_BCHW: Tensor, masks_BHW: Tensor) -> tuple[Tensor, Tensor]:
        images = images_BCHW.to(self.device).contiguous(memory_format=torch.channels_last).float()
        return images.sub_(self._mean_C11).mul_(self._scale_C11), masks_BHW.to(self.device).long()


class EvaluationPairs(_Batches):
    """Whole images in their order, a whole batch to one process.

    A batch holds the same images whatever the number of processes, so that each prediction is the same too.

    Args:
        source: images and masks.
        info: the data set.
        batch_size: images in a batch.
        device: where batches go.
        workers: processes that decode.
        shard: this process's number and the number of processes.
    """

    def __init__(
        self,
        source: PairSource,
        info: SegmentationInfo,
        *,
        batch_size: int,
        device: torch.device,
        workers: int = 0,
        shard: Shard = (0, 1),
    ) -> None:
        super().__init__(source, info, device=device, workers=workers)
        starts = range(0, len(source), batch_size)
        batches = [list(range(start, min(start + batch_size, len(source)))) for start in starts]
        rank, world = shard
        self.batches = batches[rank::world]

    @property
    def num_samples(self) -> int:
        """Images of this process."""
        return sum(map(len, self.batches))

    def __len__(self) -> int:
        """Batches of this process."""
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pass once over the images."""
        return self._load(self.batches, None)


class TrainingPairs(_Batches):
    """Shuffled random views; an epoch depends on (seed, epoch) alone and can be replayed.

    The last batch of an epoch is left out when it holds less than half of ``batch_size``. The order changes, so others
    are left out next time.

    Args:
        source: images and masks.
        info: the data set.
        batch_size: images in a batch of all processes together.
        device: where batches go.
        view: the random changes.
        seed: starts every image's generator, together with the epoch and the image's number.
        workers: processes that decode.
        shard: this process's number and the number of processes.

    Raises:
        ValueError: when the batch cannot be cut into equal parts for the processes.
    """

    def __init__(
        self,
        source: PairSource,
        info: SegmentationInfo,
        *,
        batch_size: int,
        device: torch.device,
        view: RandomView,
        seed: int,
        workers: int = 0,
        shard: Shard = (0, 1),
    ) -> None:
        super().__init__(source, info, device=device, workers=workers)
        self.batch_size, self._shard = local_batch_size(batch_size, shard), shard
        self.view, self.seed = view, seed
        self._steps = count_steps(len(source), batch_size, shard)

    def __len__(self) -> int:
        """Batches in one epoch."""
        return self._steps

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Pass once over the images, in the order and with the changes of this epoch."""
        start = self.seed * _EPOCH_FACTOR + epoch
        order = torch.randperm(len(self.source), generator=torch.Generator().manual_seed(start))
        mine = share(order, self._shard).tolist()
        batches = [mine[number * self.batch_size :][: self.batch_size] for number in range(len(self))]
        return self._load(batches, _Change(self.view, start))


@dataclasses.dataclass(frozen=True)
class _Change:
    """The random view of one epoch; each image has a generator of its own, whichever process loads it."""

    view: RandomView
    start: int

    def __call__(self, pair: Pair, index: int, name: str) -> Pair:
        generator = torch.Generator().manual_seed(self.start * _SEED_FACTOR + index)
        return self.view(pair, generator, name)
