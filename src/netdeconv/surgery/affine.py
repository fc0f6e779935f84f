"""What remains of a batch norm that no layer could absorb."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ChannelAffine(nn.Module):
    """A learnable scale and shift of each channel: :math:`y_c = w_c x_c + b_c`.

    A calibrated conversion puts it where a batch norm stood that does not directly follow a layer (in
    DenseNet it stands before the ReLU): in evaluation mode a batch norm is this function, and here it keeps
    no statistics.

    Args:
        num_features: channels.
        device: of the parameters.
        dtype: of the parameters.

    Shapes:
        (N, C, ...) or (N, C) to the same.

    Example:
        >>> ChannelAffine(3)(torch.ones(2, 3, 4)).shape
        torch.Size([2, 3, 4])
    """

    def __init__(self, num_features: int, device: torch.device | None = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.num_features = num_features
        self.weight = nn.Parameter(torch.ones(num_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(num_features, device=device, dtype=dtype))

    def forward(self, input: Tensor) -> Tensor:
        """Scale and shift the channels of ``input``."""
        shape = (-1,) + (1,) * (input.dim() - 2)
        return input * self.weight.to(input.dtype).view(shape) + self.bias.to(input.dtype).view(shape)

    def extra_repr(self) -> str:
        """The number of channels, for ``print(model)``."""
        return str(self.num_features)
