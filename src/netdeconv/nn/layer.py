"""What all whitened layers share: their statistics, and the product of weight and whitening matrix."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from netdeconv.linalg import Grouping, PatchGeometry
from netdeconv.nn.sampler import Sampler, bounded, product_dtype
from netdeconv.nn.statistics import InputStatistics
from netdeconv.nn.weight import unwhiten_weight, whiten_input, whiten_weight
from netdeconv.nn.whitening import Whitening, checked

_FOLD_FIRST = "a whitened layer cannot be scripted or traced: fold the model first (netdeconv.fold)"


class WhitenedLayer(nn.Module):
    """Base of every whitened layer; ``isinstance(module, WhitenedLayer)`` tells them from plain ones.

    Attributes:
        statistics: what the layer knows of its input, an :class:`InputStatistics`.
    """

    statistics: InputStatistics

    def _whiten_input(self, geometry: PatchGeometry, channels: int, groups: int, whitening: Whitening | None) -> None:
        """Give the layer its statistics, of patches or of channels."""
        name = f"{type(self).__name__}({self.extra_repr()})"
        settings = bounded(checked(whitening), geometry, channels // groups, name)
        if settings.structure == "channel":
            geometry = geometry.pixels
        grouping = Grouping.of(channels, groups, settings.group_size)
        like = next(self.parameters(recurse=False))
        self.statistics = InputStatistics(Sampler(geometry, grouping, settings), like, name)

    @property
    def whitening(self) -> Whitening:
        """The settings."""
        return self.statistics.whitening

    @property
    def sampler(self) -> Sampler:
        """Which rows of its input the layer looks at."""
        return self.statistics.sampler

    def __prepare_scriptable__(self) -> nn.Module:
        """What torch.jit.script asks for in place of the layer."""
        raise TypeError(_FOLD_FIRST)

    def sampled_rows(self, input: Tensor) -> Tensor:
        """The rows that the statistics of an input are of: for figures, reports and tests.

        Shapes: input as the layer's forward takes it; result (G, n, D), in float32 or wider.
        """
        return self.sampler.rows(self._prepare(input))

    def observe(self, input: Tensor) -> None:
        """Update the running statistics from an input as a training step does, without computing an output.

        Shapes: input as the layer's forward takes it.
        Raises: ValueError when fewer than two rows would be sampled.
        """
        self.statistics.observe(self._prepare(input))

    def _prepare(self, input: Tensor) -> Tensor:
        """The input as a batch (N, C, ...) in the dtype of the computation."""
        raise NotImplementedError


class WeightedWhitenedLayer(WhitenedLayer):
    """A whitened layer whose weight is multiplied by the whitening matrix instead of the data."""

    weight: Tensor
    bias: Tensor | None

    @property
    def frozen(self) -> bool:
        """Whether the weight does not learn; the layer then keeps to its running statistics in training, too.

        A plain tensor that ``torch.func.functional_call`` puts in the parameter's place freezes nothing.
        """
        return isinstance(self.weight, nn.Parameter) and not self.weight.requires_grad

    def reset_parameters(self) -> None:
        """Draw the parameters anew and forget the statistics."""
        super().reset_parameters()  # type: ignore[misc]  # of torch's layer
        if "statistics" in self._modules:  # not yet while torch's layer is built
            self.statistics.reset_running_stats()

    def _weight_rows(self, weight: Tensor) -> Tensor:
        """The weight as (G O, C/G, K)."""
        raise NotImplementedError

    def _from_rows(self, rows: Tensor) -> Tensor:
        """The inverse of :meth:`_weight_rows`."""
        raise NotImplementedError

    def _reduce_response(self, response: Tensor) -> Tensor:
        """The mean's response per row of the weight, to one per output."""
        return response

    def _whiten(self, x: Tensor, mean: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Input, weight and bias of the plain layer: x, D w, b - mean D w; or x D and w where x is smaller than w."""
        weight, rows, grouping = self.weight, self._weight_rows(self.weight), self.sampler.grouping
        dtype = product_dtype(x.dtype, matrix.dtype, self.whitening) if self.training else matrix.dtype
        # not in evaluation, where numbers should not depend on the size of the batch
        if self.training and self.sampler.matrix_size == grouping.block_channels and is_smaller(x, weight):
            x, response = whiten_input(x, rows, mean, matrix, grouping, dtype=dtype)
        else:
            rows, response = whiten_weight(rows, mean, matrix, grouping, dtype=dtype)
            weight = self._from_rows(rows)
        bias = -self._reduce_response(response)
        if self.bias is not None:
            bias = bias + self.bias.to(bias.dtype)
        return x, weight.to(x.dtype), bias.to(x.dtype)

    @torch.no_grad()
    def folded_weight_and_bias(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the plain layer that computes what this one does in evaluation mode.

        Returns:
            New tensors in the parameters' dtype; weight shaped as the layer's, bias (O,).

        Warns:
            RuntimeWarning: when they hold NaN or infinity, as the parameters or the running statistics do.
        """
        mean, matrix = self.statistics.running_mean, self.statistics.running_whitening
        rows, response = whiten_weight(self._weight_rows(self.weight), mean, matrix, self.sampler.grouping)
        bias = -self._reduce_response(response)
        if self.bias is not None:
            bias = bias + self.bias
        weight = self._from_rows(rows).clone()
        warn_unless_finite(self.statistics.layer, weight, bias)
        return weight.to(self.weight.dtype), bias.to(self.weight.dtype)

    @torch.no_grad()
    def assign_folded_(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Set the parameters so that :meth:`folded_weight_and_bias` returns the given ones.

        Args:
            weight: the plain layer's weight; this layer's becomes W D^-1, computed in float64.
            bias: the plain layer's bias (O,), or None for zero.

        Raises:
            ValueError: when shapes differ, or the layer has no bias parameter to absorb the mean's response.
        """
        if weight.shape != self.weight.shape:
            raise ValueError(f"weight has shape {tuple(weight.shape)}, the layer's has {tuple(self.weight.shape)}")
        mean, matrix = self.statistics.running_mean.double(), self.statistics.running_whitening.double()
        plain, grouping = self._weight_rows(weight.double()), self.sampler.grouping
        rows = unwhiten_weight(plain, matrix, grouping)
        total = self._reduce_response(whiten_weight(rows, mean, matrix, grouping)[1])
        if bias is not None:
            total = total + bias.double()
        if self.bias is not None:
            self.bias.copy_(total)
        elif bool((total != 0).any()):
            raise ValueError("the layer has no bias: it cannot absorb the response to the mean (bias=True can)")
        self.weight.copy_(self._from_rows(rows))


def is_smaller(x: Tensor, weight: Tensor) -> bool:
    """Whether an input has fewer numbers than a weight, so that x D is cheaper than D w and keeps less for backward."""
    return x.numel() < weight.numel()


def warn_unless_finite(layer: str, *folded: Tensor) -> None:
    """Say that a folded layer will not work."""
    if not any(tensor.is_meta for tensor in folded) and not all(bool(tensor.isfinite().all()) for tensor in folded):
        warnings.warn(
            f"{layer}: the folded layer holds NaN or infinity, for its parameters or running statistics do",
            RuntimeWarning,
            stacklevel=3,
        )


def refuse_tracing(input: Any) -> None:
    """Raise where torch.fx traces symbolically, or the exporter to ONNX that traces; torch.export needs no folding."""
    tracing = torch.onnx.is_in_onnx_export() and torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if tracing or isinstance(input, torch.fx.Proxy):
        raise TypeError(_FOLD_FIRST)


def compute_dtype(input: Tensor) -> torch.dtype:
    """Autocast's dtype where it is enabled for the input's device, else the input's own."""
    if not input.is_floating_point():
        raise TypeError(f"a whitened layer needs floating-point input, got {input.dtype}")
    device = input.device.type
    if input.dtype != torch.float64 and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return input.dtype


def batched(input: Tensor, axes: int, channels: int, name: str) -> Tensor:
    """The input as a batch (N, C, ...) of so many spatial axes and channels, in the dtype of the computation."""
    refuse_tracing(input)
    x = input.unsqueeze(0) if input.dim() == axes + 1 else input
    if x.dim() != axes + 2 or x.shape[1] != channels:
        letters = "".join(f", {letter}" for letter in "DHW"[3 - axes :])
        raise ValueError(f"{name} expects input (N, {channels}{letters}), got {tuple(input.shape)}")
    return x.to(compute_dtype(x))
