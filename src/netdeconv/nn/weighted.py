"""Whitened layers with a weight: products of weight and statistics, in training and cached in evaluation."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from netdeconv.linalg import Grouping
from netdeconv.nn.functional import Statistics
from netdeconv.nn.input_products import weight_and_response, whiten_input
from netdeconv.nn.layer import WhitenedLayer
from netdeconv.nn.products import product_dtype, whiten_weight
from netdeconv.nn.tap_products import whiten_taps


def compute_dtype(input: Tensor) -> torch.dtype:
    """Autocast's dtype where it is enabled for the input's device, else the input's own."""
    device = input.device.type
    if input.dtype != torch.float64 and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return input.dtype


class WeightedWhitenedLayer(WhitenedLayer):
    """A whitened layer whose weight is multiplied by the whitening matrix instead of the data."""

    weight: Tensor
    bias: Tensor | None
    _cache: _Cache | None = None

    def _weight_rows(self, weight: Tensor) -> Tensor:
        """The weight as (G O, C/G, K)."""
        raise NotImplementedError

    def _from_rows(self, rows: Tensor) -> Tensor:
        """The inverse of :meth:`_weight_rows`."""
        raise NotImplementedError

    def _reduce_response(self, response: Tensor) -> Tensor:
        """The mean's response per row of the weight, to one per output."""
        return response

    def _transformed(self, statistics: Statistics) -> tuple[Tensor, Tensor]:
        """Weight D w and bias b - mean D w in the statistics' dtype."""
        rows, response = _whiten(self._weight_rows(self.weight), statistics, self.grouping)
        return self._from_rows(rows), self._effective_bias(response)

    def _effective_bias(self, response: Tensor) -> Tensor:
        bias = -self._reduce_response(response)
        return bias if self.bias is None else bias + self.bias.to(bias.dtype)

    def _effective(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The input to convolve, and weight and bias to apply to it, in its dtype."""
        if not self.training:
            return x, *self._evaluation_weights(x.dtype)
        x, statistics = self._statistics(x)
        mean, matrix, taps, _, factor = statistics
        dtype = product_dtype(x.dtype, matrix.dtype, self.whitening.num_iterations)
        rows = self._weight_rows(self.weight)
        if taps is not None:
            rows = whiten_taps(rows, taps, dtype)
        if dtype == x.dtype and self._input_is_smaller(x, rows):
            matrix = matrix if factor is None else matrix * factor[:, None, None]
            rows, response = weight_and_response(rows, mean, matrix, self.grouping, dtype)
            x = whiten_input(x, matrix, self.grouping)
        else:
            rows, response = whiten_weight(rows, mean, matrix, self.grouping, factor=factor, dtype=dtype)
        return x, self._from_rows(rows).to(x.dtype), self._effective_bias(response).to(x.dtype)

    def _input_is_smaller(self, x: Tensor, rows: Tensor) -> bool:
        """Whether x D takes fewer multiplications than D w: D of channels, and fewer positions than weights of one."""
        positions = x.shape[0] * math.prod(x.shape[2:])
        of_channels = self.matrix_size == self.group_size
        return of_channels and positions < rows.shape[0] // self.num_matrices * rows.shape[2]

    def _evaluation_weights(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """D w and the bias from running statistics, computed once until a tensor they depend on changes.

        Not cached where a gradient is wanted or a compiler traces. A change through ``.data`` is invisible to
        torch's version counters: call ``eval()`` after one.
        """
        sources = [t for t in (self.weight, self.bias, *self.running_statistics()) if t is not None]
        wants_grad = torch.is_grad_enabled() and any(t.requires_grad for t in sources)
        if (
            wants_grad
            or torch.compiler.is_compiling()
            or torch._C._get_tracing_state() is not None
            or not all(map(_trackable, sources))
        ):
            # What wants a gradient is about to change, perhaps by a fused optimiser, which moves no version counter.
            self._cache = None
            weight, bias = self._transformed(self.running_statistics())
            return weight.to(dtype), bias.to(dtype)
        key = [(dtype, t._version, t.data_ptr(), t.dtype) for t in sources]
        if (
            self._cache is None
            or self._cache.key != key
            or any(old is not new for old, new in zip(self._cache.sources, sources, strict=True))
        ):
            with torch.inference_mode(False), torch.no_grad():
                weight, bias = self._transformed(self.running_statistics())
                self._cache = _Cache(key, sources, weight.to(dtype), bias.to(dtype))
        return self._cache.weight, self._cache.bias

    @torch.no_grad()
    def folded_weight_and_bias(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the plain layer that computes what this one does in evaluation mode.

        Returns:
            New tensors in the parameters' dtype; weight shaped as the layer's, bias (O,).
        """
        weight, bias = self._transformed(self.running_statistics())
        return weight.detach().clone().to(self.weight.dtype), bias.detach().clone().to(self.weight.dtype)

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
        statistics = Statistics(*(None if t is None else t.double() for t in self.running_statistics()))  # type: ignore[arg-type]
        rows, response = _unwhiten(self._weight_rows(weight.double()), statistics, self.grouping)
        total = self._reduce_response(response)
        if bias is not None:
            total = total + bias.double()
        if self.bias is None:
            if bool((total != 0).any()):
                raise ValueError("the layer has no bias: it cannot absorb the response to the mean (bias=True can)")
        else:
            self.bias.copy_(total)
        self.weight.copy_(self._from_rows(rows))


class _Cache(NamedTuple):
    """Evaluation weights, and the tensors they were computed from: held, so that no identity is ever reused."""

    key: list[tuple[Any, ...]]
    sources: list[Tensor]
    weight: Tensor
    bias: Tensor


def _whiten(weight: Tensor, statistics: Statistics, grouping: Grouping) -> tuple[Tensor, Tensor]:
    """Rows of a weight multiplied by both factors, and their response to the mean, in the statistics' dtype."""
    if statistics.taps is not None:
        weight = whiten_taps(weight, statistics.taps, statistics.matrix.dtype)
    return whiten_weight(weight, statistics.mean, statistics.matrix, grouping)


def _unwhiten(weight: Tensor, statistics: Statistics, grouping: Grouping) -> tuple[Tensor, Tensor]:
    """The inverse of :func:`_whiten`: rows whose product with D is ``weight``, and the mean's response."""
    inverse = statistics._replace(
        matrix=torch.linalg.inv(statistics.matrix),
        taps=None if statistics.taps is None else torch.linalg.inv(statistics.taps),
    )
    own, _ = _whiten(weight, inverse, grouping)
    return own, _whiten(own, statistics, grouping)[1]


def _trackable(tensor: Tensor) -> bool:
    """Whether identity, address and version together reveal every change of a tensor."""
    ordinary = type(tensor) in (Tensor, nn.Parameter) and not tensor.is_inference()
    return ordinary and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
