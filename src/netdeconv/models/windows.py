"""Evaluation of an image in overlapping windows, and together with its mirror image."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class WindowedInference(nn.Module):
    """A network that looks at an image in overlapping windows and at its mirror image, in evaluation mode only.

    Args:
        network: returns a dictionary with ``out``; in training mode it is called as it is.
        window: height and width of a window; ``None``: the whole image.
        overlap: share of a window that the next one covers again, in [0, 1).
        flip: whether the scores of the mirrored image are averaged with those of the image.

    Raises:
        ValueError: when a number is out of range.
    """

    def __init__(
        self, network: nn.Module, *, window: tuple[int, int] | None = None, overlap: float = 1 / 3, flip: bool = False
    ) -> None:
        super().__init__()
        if window is not None and min(window) < 1:
            raise ValueError(f"window must be at least 1x1, got {window}")
        if not 0 <= overlap < 1:
            raise ValueError(f"overlap must be in [0, 1), got {overlap}")
        self.network = network
        self.window, self.overlap, self.flip = window, overlap, flip

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Class scores of (N, C, H, W) images."""
        if self.training:
            return self.network(images)
        scores = self._slide(images)
        if self.flip:
            scores = (scores + self._slide(images.flip(-1)).flip(-1)) / 2
        return {"out": scores}

    def _slide(self, images: Tensor) -> Tensor:
        if self.window is None:
            return self.network(images)["out"]
        height, width = images.shape[-2:]
        tall, wide = (min(have, want) for have, want in zip((height, width), self.window, strict=True))
        tops, lefts = self._starts(height, tall), self._starts(width, wide)
        total, count = None, images.new_zeros(1, 1, height, width)
        for top in tops:
            for left in lefts:
                part = (..., slice(top, top + tall), slice(left, left + wide))
                scores = functional.softmax(self.network(images[part])["out"].float(), 1)
                if total is None:
                    total = scores.new_zeros(len(images), scores.shape[1], height, width)
                total[part] += scores
                count[part] += 1
        assert total is not None
        # Logarithms of averaged probabilities are scores again: a loss can be taken of them.
        return (total / count).clamp_min(1e-12).log()

    def _starts(self, length: int, window: int) -> list[int]:
        step = max(1, int(window * (1 - self.overlap)))
        starts = list(range(0, max(length - window, 0), step))
        return [*starts, length - window]
