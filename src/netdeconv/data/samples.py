"""What loader processes are asked for, and what they send back.

Shape letters: B batch, H height, W width, C channels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from netdeconv.data.decoding import Transform, UndecodableError, decode, drawing_from, read_bytes
from netdeconv.data.folder import ImageFiles


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


class Files(Dataset[Sample]):
    """Reads one file, and decodes it when there is a transform; runs in the loader processes.

    Args:
        files: names and labels.
        transform: from an image (C, H, W) to one of the common size; ``None`` leaves the bytes as they are.
    """

    def __init__(self, files: ImageFiles, transform: Transform | None) -> None:
        self._files = files
        self._transform = transform

    def __getitem__(self, key: Key) -> Sample:
        path = self._files.path(key.file)
        sample = Sample(None, int(self._files.labels[key.file]), key.seed, path)
        try:
            content = read_bytes(path)
            if self._transform is not None:
                content = vary(decode(content), self._transform, key.seed)
        except UndecodableError as error:
            return sample._replace(reason=str(error))
        return sample._replace(content=content)


def vary(picture_CHW: Tensor, transform: Transform, seed: int) -> Tensor:
    """Return the transformed image (H, W, C); the seed alone decides what is drawn."""
    with drawing_from(seed):
        return transform(picture_CHW).permute(1, 2, 0)


def pack(samples: list[Sample]) -> Encoded:
    """Put the bytes of a batch's files into one tensor."""
    contents = [sample.content for sample in samples if sample.content is not None]
    return Encoded(
        torch.cat(contents) if contents else torch.empty(0, dtype=torch.uint8),
        [len(content) for content in contents],
        [sample._replace(content=None) for sample in samples],
    )


class Assemble:
    """Makes one tensor of a batch's pictures.

    Args:
        fill: whether others of the batch take the places of those that are missing.
    """

    def __init__(self, fill: bool) -> None:
        self.fill = fill

    def __call__(self, samples: list[Sample]) -> Decoded:
        """Return the batch; it may be empty."""
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
