"""One training step of a network, as a thing that can be called, timed, measured and captured."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.harness.environment import DTYPES

# Small, so that networks without any normalisation stay finite; a step costs the same at any rate.
LR, MOMENTUM, WEIGHT_DECAY = 1e-3, 0.9, 1e-3
_BEFORE_CAPTURE = 3


def random_batch(batch_size: int, size: int, classes: int, device: torch.device, *, seed: int) -> tuple[Tensor, Tensor]:
    """Normal noise as images, channels last in memory, and labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(batch_size, 3, size, size, generator=generator)
    labels = torch.randint(classes, (batch_size,), generator=generator)
    return images.to(device, memory_format=torch.channels_last), labels.to(device)


class TrainingStep:
    """zero_grad, forward under autocast, cross entropy, backward, SGD.

    Args:
        model: moved to the images' device, channels last.
        images: of one batch.
        labels: of one batch.
        dtype: name of autocast's dtype; "float32" for none.
        compiled: whether the network is compiled.
        captured: whether a CUDA graph is replayed from the second call on. That it can be captured shows that a step
            never waits for the device.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        dtype: str,
        compiled: bool = False,
        captured: bool = False,
    ) -> None:
        self.images, self.labels, self.device = images, labels, images.device
        self.network = model.to(self.device, memory_format=torch.channels_last).train()
        self.model = torch.compile(self.network) if compiled else self.network
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
        self.loss = torch.zeros((), device=self.device)
        self._dtype, self._captured = DTYPES[dtype], captured
        self._replay = self._capture() if captured else self._step

    def forward(self) -> Tensor:
        """The loss."""
        enabled = self._dtype is not torch.float32
        # weights that autocast has cast must not outlive the capture of a graph
        with torch.autocast(self.device.type, self._dtype, enabled=enabled, cache_enabled=not self._captured):
            return functional.cross_entropy(self.model(self.images), self.labels)

    def __call__(self) -> None:
        """One step; ``loss`` is what it was before it."""
        self._replay()

    def _step(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.forward()
        loss.backward()
        self.optimizer.step()
        self.loss = loss.detach()

    def _capture(self) -> Callable[[], None]:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # allocates the optimiser's state, and chooses kernels
            for _ in range(_BEFORE_CAPTURE):
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        self.optimizer.zero_grad(set_to_none=True)  # gradients are to live in the graph's own memory
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        return graph.replay

    def backward_memory(self) -> int:
        """Bytes that a step needs beyond the network, its optimiser and the batch.

        CPU: what autograd keeps for backward. CUDA: the allocator's peak over a whole step. Both after a step that
        allocated the optimiser's state, and with gradients freed.
        """
        self()
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            return peak_over_step(self, self.device)
        return saved_for_backward(self.forward, excluding=[*persistent(self.network), self.images, self.labels])


def persistent(model: nn.Module) -> list[Tensor]:
    """What a network holds at all times: parameters and buffers."""
    return [*model.parameters(), *model.buffers()]


def saved_for_backward(forward: Callable[[], object], *, excluding: Iterable[Tensor] = ()) -> int:
    """Bytes that autograd keeps between ``forward`` and its backward pass.

    Every storage counts once and whole, however many views of it are kept: it cannot be freed before the last.

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
