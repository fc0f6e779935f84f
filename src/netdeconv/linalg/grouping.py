"""How channels are divided into blocks that are whitened together.

Letters: N batch, G matrices (torch's groups of a convolution), S blocks that share a matrix, B channels of a block,
C channels, K kernel taps, D = B K features of a block, O outputs per group, n sampled rows of a matrix.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn


@dataclasses.dataclass(frozen=True)
class Grouping:
    """Division of the channels of each of G groups into S blocks of B neighbouring channels.

    Args:
        num_matrices: G, one matrix for each group of a grouped convolution.
        num_blocks: S, blocks of a group; they share its matrix and are stacked as further samples.
        block_channels: B, channels in a block.
        padding: channels of zeros that fill up the last block of a group.

    Raises:
        ValueError: when a count is not positive, or a block would be nothing but padding.
    """

    num_matrices: int
    num_blocks: int
    block_channels: int
    padding: int = 0

    def __post_init__(self) -> None:
        if min(self.num_matrices, self.num_blocks, self.block_channels) < 1:
            raise ValueError(f"counts of a grouping must be positive, got {self}")
        if not 0 <= self.padding < self.block_channels:
            raise ValueError(f"padding must be less than a block, got {self}")

    @classmethod
    def of(cls, channels: int, groups: int, group_size: int) -> Grouping:
        """Blocks of at most ``group_size`` channels: the largest divisor, or padded blocks where it is less than half.

        So 127 channels in blocks of at most 64 are two blocks of 64, the last of them with one channel of zeros.
        """
        per_group = channels // groups
        most = min(group_size, per_group)
        size = max(divisor for divisor in range(1, most + 1) if per_group % divisor == 0)
        if 2 * size >= most:
            return cls(groups, per_group // size, size)
        blocks = -(-per_group // most)
        size = -(-per_group // blocks)
        return cls(groups, blocks, size, blocks * size - per_group)

    @property
    def group_channels(self) -> int:
        """Channels of a group, without padding."""
        return self.num_blocks * self.block_channels - self.padding

    def split(self, tensor: Tensor, dim: int, *, groups: bool = True) -> Tensor:
        """Dimension ``dim`` of size C as three, G S B; of size C / G as two, S B, without ``groups``. Not negative."""
        if groups:
            tensor, dim = tensor.unflatten(dim, (self.num_matrices, self.group_channels)), dim + 1
        if self.padding:
            after = tensor.dim() - dim - 1
            tensor = nn.functional.pad(tensor, (0, 0) * after + (0, self.padding))
        blocks: Tensor = tensor.unflatten(dim, (self.num_blocks, self.block_channels))
        return blocks

    def merge(self, tensor: Tensor, dim: int, *, groups: bool = True) -> Tensor:
        """The inverse of :meth:`split`."""
        start = dim + 1 if groups else dim
        tensor = tensor.flatten(start, start + 1)
        if self.padding:
            tensor = tensor.narrow(start, 0, self.group_channels)
        return tensor.flatten(dim, dim + 1) if groups else tensor
