"""Which layer's output a norm normalises, and whether anything else reads that output."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from netdeconv.surgery.batches import tensors_in

_VIEWS = (Tensor.flatten, torch.flatten, Tensor.reshape, torch.reshape, Tensor.view)


class Trace(TorchFunctionMode):
    """Watches forward passes of a model, for as long as it is entered.

    Attributes:
        called: the watched modules that were called.

    Args:
        layers: layers whose outputs are followed.
        norms: norm layers whose inputs are looked up among these outputs.
    """

    def __init__(self, layers: Iterable[nn.Module], norms: Iterable[nn.Module]) -> None:
        super().__init__()
        self.called: set[nn.Module] = set()
        self._layers, self._norms = list(layers), list(norms)
        self._outputs: dict[int, tuple[weakref.ref[Tensor], nn.Module]] = {}
        self._reads: dict[int, int] = {}
        self._producers: dict[nn.Module, set[nn.Module | None]] = {norm: set() for norm in self._norms}
        self._shared: set[nn.Module] = set()
        self._handles: list[Any] = []

    def __enter__(self) -> Trace:
        """Start watching."""
        self._handles = [layer.register_forward_hook(self._after_layer) for layer in self._layers]
        self._handles += [norm.register_forward_pre_hook(self._before_norm) for norm in self._norms]
        self._handles += [norm.register_forward_hook(self._after_norm) for norm in self._norms]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        """Stop watching."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Count the operations that read a layer's output; asking for its shape is none."""
        result = func(*args, **(kwargs or {}))
        if func in _VIEWS and self._is_view(result, args):
            return result
        if next(tensors_in(result), None) is not None:
            self.count_reads((args, kwargs))
        return result

    def _is_view(self, result: Any, args: tuple[Any, ...]) -> bool:
        """Whether it is a linear layer's output with its leading dimensions as one: then it is followed as that."""
        layer = self._producer(args[0]) if args and isinstance(args[0], Tensor) else None
        if not isinstance(layer, nn.Linear) or result.dim() != 2 or result.shape[-1] != layer.out_features:
            return False
        self._after_layer(layer, args, result)
        return True

    def count_reads(self, values: Any) -> None:
        """Count every followed output among the values as read once more."""
        for tensor in tensors_in(values):
            layer = self._producer(tensor)
            if layer is not None:
                self._reads[id(tensor)] += 1
                if self._reads[id(tensor)] > 1:
                    self._shared.add(layer)

    def absorbing_layer(self, norm: nn.Module) -> nn.Module | None:
        """The layer whose every output goes to this norm and nowhere else, or None."""
        producers = self._producers[norm]
        layer = next(iter(producers)) if len(producers) == 1 else None
        others = [other for other, theirs in self._producers.items() if layer in theirs and other is not norm]
        return None if layer is None or layer in self._shared or others else layer

    def _producer(self, tensor: Tensor) -> nn.Module | None:
        reference, layer = self._outputs.get(id(tensor), (None, None))
        return layer if reference is not None and reference() is tensor else None

    def _after_layer(self, layer: nn.Module, args: Any, output: Any) -> None:
        self.called.add(layer)
        if isinstance(output, Tensor):
            self._outputs[id(output)] = (weakref.ref(output), layer)
            self._reads[id(output)] = 0

    def _after_norm(self, norm: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if args and output is args[0]:  # an Identity in a norm's place: whoever reads it reads the norm's output
            self._outputs.pop(id(output), None)

    def _before_norm(self, norm: nn.Module, args: tuple[Any, ...]) -> None:
        self.called.add(norm)
        tensor = args[0] if args else None
        layer = self._producer(tensor) if isinstance(tensor, Tensor) else None
        if isinstance(layer, nn.Linear) and isinstance(tensor, Tensor) and tensor.dim() != 2:
            layer = None  # the norm's channels are not the linear layer's features
        self._producers[norm].add(layer)
