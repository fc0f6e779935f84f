"""Memory that a training step needs beyond the network and its optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


def persistent(model: nn.Module) -> list[Tensor]:
    """What a network holds at all times: parameters and buffers."""
    return [*model.parameters(), *model.buffers()]


def saved_for_backward(forward: Callable[[], object], *, excluding: Iterable[Tensor] = ()) -> int:
    """Bytes that autograd keeps between ``forward`` and its backward pass.

    Every storage counts once and whole, however many views of it are kept: it cannot be freed before the last.
    Seen are the tensors that any operation keeps, built in or written by hand with ``save_for_backward``.

    Args:
        forward: computes something that could be differentiated.
        excluding: tensors that are there anyway, such as :func:`persistent` ones.
    """
    known = {tensor.untyped_storage().data_ptr() for tensor in excluding}
    # The storages themselves are held: an address that was freed could come back as another tensor's.
    storages: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            storages[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    del result
    return sum(storage.nbytes() for storage in storages.values())


def peak_over_step(step: Callable[[], object], device: torch.device) -> int:
    """Bytes by which the allocator's peak exceeds, during one CUDA step, what was allocated before it."""
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
