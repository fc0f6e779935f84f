r"""Statistics over all ranks of a process group, with their gradient.

Letters: as in linalg/grouping.py; n rows on a rank.

Every rank has mean and covariance of its own rows. About a shift c that all ranks know, these add up:
n,  n d  and  n (Sigma + d^T d),  with  d = mean - c.  One all-reduce of them gives the statistics of all rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


class Ranks:
    """A process group whose ranks share statistics. Copies of a layer share it; it is pickled only if it is the whole.

    Args:
        group: the process group; None: all ranks.
    """

    def __init__(self, group: Any = None) -> None:
        self.group = group

    @property
    def active(self) -> bool:
        """Whether there is anyone to share with."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return False
        return distributed.get_world_size(self.group) > 1

    def __deepcopy__(self, memo: dict[int, Any]) -> Ranks:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self.group is not None:
            raise TypeError("a layer that is synchronised over a process group of its own cannot be pickled")
        return Ranks, ()

    def add_up(self, *parts: Tensor) -> list[Tensor]:
        """The sums of tensors over all ranks, in one all-reduce; gradients are added up likewise."""
        flat = _Sum.apply(torch.cat([part.flatten() for part in parts]), self.group)
        pieces = flat.split([part.numel() for part in parts])
        return [piece.view(part.shape) for piece, part in zip(pieces, parts, strict=True)]

    def pool(self, rows: int, mean: Tensor, covariance: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Number (1,), mean (G, D) and covariance (G, D, D) of the rows of all ranks, from a rank's own.

        Raises:
            ValueError: on a processor, when all ranks together have fewer than two rows.
        """
        count = mean.new_full((1,), rows)
        offset = mean - shift
        products = rows * (covariance + offset.unsqueeze(2) * offset.unsqueeze(1))
        count, sums, products = self.add_up(count, rows * offset, products)
        if count.device.type == "cpu" and not torch.compiler.is_compiling() and count < 2:
            raise ValueError(f"whitening needs at least two sampled rows on all ranks together, got {int(count)}")
        offset = sums / count
        return count, shift + offset, products / count - offset.unsqueeze(2) * offset.unsqueeze(1)


class _Sum(torch.autograd.Function):
    """All-reduce; its gradient is the all-reduce of the gradients, as every rank's loss depends on every sum."""

    @staticmethod
    def forward(tensor: Tensor, group: Any) -> Tensor:
        total = tensor.clone()
        distributed.all_reduce(total, group=group)
        return total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Any], output: Tensor) -> None:
        del output
        ctx.group = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        total: Tensor = _Sum.apply(grads[0], ctx.group)
        return total, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], tensor: Tensor, group: Any) -> tuple[Tensor, int | None]:
        del info
        return _Sum.apply(tensor, group), in_dims[0]
