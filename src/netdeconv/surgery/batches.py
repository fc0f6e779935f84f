"""Batches as a user's loader gives them, as calls of a model; and the tensors in what a model returns."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from netdeconv.surgery.notices import logger
from netdeconv.surgery.tree import evaluation_mode

Forward: TypeAlias = Callable[[nn.Module, Any], Any]


class Call(NamedTuple):
    """Arguments of one forward pass, and how it is run, where that is not by calling the model with them."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    forward: Forward | None = None

    def run(self, model: nn.Module) -> Any:
        """The outputs."""
        return model(*self.args, **self.kwargs) if self.forward is None else self.forward(model, *self.args)


def calls(batches: Iterable[Any], model: nn.Module, forward: Forward | None = None) -> Iterator[Call]:
    """One call for each batch, on the device of the model.

    A batch is a tensor, a tuple or list whose first element is the input, or a mapping of keyword arguments; anything,
    unchanged, where ``forward`` runs the model on it.

    Raises:
        TypeError: when ``batches`` is itself one batch, or a batch is something else.
        ValueError: when there is no batch.
    """
    if isinstance(batches, (Tensor, Mapping, str)):
        raise TypeError(
            f"batches must be an iterable of batches; for a single one pass [batch], not a {_kind(batches)}"
        )
    iterator = iter(batches)
    first = next(iterator, None)
    if first is None:
        raise ValueError("there are no batches: nothing to take statistics from")
    batches = itertools.chain([first], iterator)
    if forward is not None:
        return (Call((batch,), {}, forward) for batch in batches)
    tensors = itertools.chain(model.parameters(), model.buffers())
    device = next((tensor.device for tensor in tensors), torch.device("cpu"))
    return (_call(batch, device) for batch in batches)


def _call(batch: Any, device: torch.device) -> Call:
    if isinstance(batch, Tensor):
        return Call((batch.to(device),), {})
    if isinstance(batch, Mapping):
        return Call((), {str(k): v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()})
    if isinstance(batch, (tuple, list)) and len(batch) > 0:
        return _call(batch[0], device)
    raise TypeError(f"a batch must be a tensor, a mapping, or a tuple or list that starts with one, got {_kind(batch)}")


def _kind(value: Any) -> str:
    return type(value).__name__


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested mappings, tuples and lists."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors_in(part)


def relative_difference(actual: Any, expected: Any) -> float:
    """Largest difference over the largest magnitude, over all tensors that two calls returned."""
    worst = 0.0
    for one, other in zip(tensors_in(actual), tensors_in(expected), strict=True):
        if other.numel() == 0 or not other.is_floating_point():
            continue
        scale = float(other.abs().max()) or 1.0
        difference = float((one.double() - other.double()).abs().max()) / scale
        worst = max(worst, difference) if difference == difference else float("inf")
    return worst


def difference_on(model: nn.Module, call: Call, expected: Any) -> str | None:
    """How far a model's outputs in evaluation mode are from the expected ones, in words; None: sqrt(eps) at most."""
    with torch.no_grad(), evaluation_mode(model):
        outputs = call.run(model)
    difference = relative_difference(outputs, expected)
    coarsest = max((torch.finfo(t.dtype).eps for t in tensors_in(expected) if t.is_floating_point()), default=0.0)
    logger.info("outputs on the last batch differ by %.3g of the largest", difference)
    if difference <= coarsest**0.5:
        return None
    return f"differ by {difference:.3g}, relative to the largest (bound {coarsest**0.5:.3g})"
