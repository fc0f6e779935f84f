"""Pairs at the size that a network sees: decoded once and held in memory where they fit, else read every time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from torchvision import tv_tensors

from netdeconv.data.segmentation.pairs import PairSource
from netdeconv.data.segmentation.registry import SegmentationInfo
from netdeconv.data.segmentation.transforms import Pair, resize

# Above this many bytes of decoded images, they are read again in every epoch.
MEMORY_LIMIT = 1 << 30


@dataclasses.dataclass(frozen=True)
class InMemoryPairs:
    """Pairs decoded and resized once, as uint8."""

    pairs: tuple[Pair, ...]
    names: tuple[str, ...]

    @classmethod
    def read(cls, source: PairSource, size: tuple[int, int] | None) -> InMemoryPairs:
        """Decode all pairs of a source."""
        loaded = Resized(source, size)
        return cls(
            tuple(loaded.load(index) for index in range(len(source))),
            tuple(source.name(index) for index in range(len(source))),
        )

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.pairs)

    def name(self, index: int) -> str:
        """The pair's name."""
        return self.names[index]

    def load(self, index: int) -> Pair:
        """One pair."""
        return self.pairs[index]


@dataclasses.dataclass(frozen=True)
class Resized:
    """Pairs of a source, brought to one size when they are loaded."""

    source: PairSource
    size: tuple[int, int] | None

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.source)

    def name(self, index: int) -> str:
        """The pair's name."""
        return self.source.name(index)

    def load(self, index: int) -> Pair:
        """One pair."""
        pair = self.source.load(index)
        return pair if self.size is None else resize(pair, self.size)


def held_or_streamed(source: PairSource, info: SegmentationInfo, size: tuple[int, int] | None) -> PairSource:
    """Return the source in memory where all sizes are equal and everything fits, else as it is, resized."""
    height, width = size or info.shape[1:]
    uniform = size is not None or not info.varying
    if uniform and len(source) * height * width * (info.shape[0] + 1) <= MEMORY_LIMIT:
        return InMemoryPairs.read(source, size)
    return Resized(source, size)


def first_pairs(source: PairSource, count: int) -> Iterator[tuple[str, tv_tensors.Image, tv_tensors.Mask]]:
    """Evenly spaced pairs with their names, to be looked at."""
    count = min(count, len(source))
    for number in range(count):
        index = (2 * number + 1) * len(source) // (2 * count)
        yield (source.name(index), *source.load(index))
