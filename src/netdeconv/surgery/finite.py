"""Which layer first sees a NaN or an infinity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from netdeconv.nn import WhitenedLayer
from netdeconv.surgery.batches import tensors_in


@contextmanager
def check_finite(model: nn.Module) -> Iterator[nn.Module]:
    """Check the inputs of all layers for as long as the context lasts.

    One NaN in a batch makes a whole covariance NaN, and the running statistics with it: the check comes
    before both. It waits for the device at every layer, so use it to find a fault, not in every step.

    Args:
        model: any module.

    Returns:
        A context manager that gives the model.

    Raises:
        FloatingPointError: from within a forward pass, with the layer's name and the numbers of NaN and
            infinite values.

    Example:
        >>> with check_finite(WhitenedLinear(4, 2)) as layer:
        ...     layer(torch.randn(8, 4)).shape
        torch.Size([8, 2])
    """
    handles = [
        module.register_forward_pre_hook(_checker(name or "the model"), prepend=True, with_kwargs=True)
        for name, module in model.named_modules()
        if isinstance(module, WhitenedLayer) or not any(True for _ in module.children())
    ]
    try:
        yield model
    finally:
        for handle in handles:
            handle.remove()


def _checker(name: str) -> Any:
    def check(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for tensor in tensors_in((args, kwargs)):
            if bool(torch.isfinite(tensor).all()):
                continue
            raise FloatingPointError(
                f"the input of layer {name!r} has {int(tensor.isnan().sum())} NaN and "
                f"{int(tensor.isinf().sum())} infinite of {tensor.numel()} values, shape {tuple(tensor.shape)}"
            )

    return check
