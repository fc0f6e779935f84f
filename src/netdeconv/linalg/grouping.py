"""How channels and kernel taps are divided into blocks that are whitened together.

Letters: N batch, G matrices (torch's groups of a convolution), S blocks that share a matrix, B channels of a block,
C = G S B channels, K kernel taps, D = B K features of a patch block, O outputs per group.
"""

from __future__ import annotations

import dataclasses
import math

from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Grouping:
    """Division of C channels into G matrices, S blocks each, of B channels.

    Args:
        num_matrices: G, one matrix for each group of a grouped convolution.
        num_blocks: S, blocks of a group; they share its matrix and are stacked as further samples.
        block_channels: B, channels in a block.
        interleaved: whether neighbouring features go to different blocks, as published. With S blocks and
            full patches, feature i = c K + k of a group goes to block i mod S; else channel c to block c mod S.

    Raises:
        ValueError: when a count is not positive.
    """

    num_matrices: int
    num_blocks: int
    block_channels: int
    interleaved: bool = False

    def __post_init__(self) -> None:
        if min(self.num_matrices, self.num_blocks, self.block_channels) < 1:
            raise ValueError(f"counts of a grouping must be positive, got {self}")

    @classmethod
    def of(cls, channels: int, groups: int, group_size: int, *, interleaved: bool, common_divisor: bool) -> Grouping:
        """Blocks of at most ``group_size`` channels: the largest divisor, or the common divisor as published."""
        per_group = channels // groups
        if common_divisor:
            # published: grouped convolutions are never subdivided, a block above the channels is all of them
            size = per_group if groups > 1 or group_size > per_group else math.gcd(group_size, per_group)
        else:
            size = max(divisor for divisor in range(1, min(group_size, per_group) + 1) if per_group % divisor == 0)
        return cls(groups, per_group // size, size, interleaved)

    def split(self, tensor: Tensor, dim: int) -> Tensor:
        """View dimension ``dim`` of size C as three, G S B."""
        shape = tensor.shape
        g, s, b = self.num_matrices, self.num_blocks, self.block_channels
        if not self.interleaved:
            return tensor.reshape(*shape[:dim], g, s, b, *shape[dim + 1 :])
        return tensor.reshape(*shape[:dim], g, b, s, *shape[dim + 1 :]).transpose(dim + 1, dim + 2)

    def merge(self, tensor: Tensor, dim: int) -> Tensor:
        """The inverse of :meth:`split`: dimensions ``dim`` to ``dim + 2`` back to one of size C."""
        if self.interleaved:
            tensor = tensor.transpose(dim + 1, dim + 2)
        size = math.prod(tensor.shape[dim : dim + 3])  # not -1: the tensor may be empty
        return tensor.reshape(*tensor.shape[:dim], size, *tensor.shape[dim + 3 :])

    def split_patches(self, tensor: Tensor) -> Tensor:
        """Features (..., C/G, K) of one group, channel-major, to interleaved blocks (..., S, D)."""
        flat = tensor.reshape(*tensor.shape[:-2], -1, self.num_blocks)
        return flat.transpose(-1, -2)

    def merge_patches(self, tensor: Tensor, num_taps: int) -> Tensor:
        """The inverse of :meth:`split_patches`: (..., S, D) to (..., C/G, K)."""
        return tensor.transpose(-1, -2).reshape(*tensor.shape[:-2], -1, num_taps)
