"""One training step of a network, as a thing that can be called, timed and captured."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.environment import DTYPES
from benchmarks.memory import peak_over_step, persistent, saved_for_backward

# Small, so that networks without any normalisation stay finite; a step costs the same at any rate.
LR, MOMENTUM, WEIGHT_DECAY = 1e-3, 0.9, 1e-3


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
        autocast_cache: whether autocast keeps the weights it cast; not while a graph is captured.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        dtype: str,
        compiled: bool = False,
        autocast_cache: bool = True,
    ) -> None:
        self.images, self.labels, self.device = images, labels, images.device
        self.network = model.to(self.device, memory_format=torch.channels_last).train()
        self.model = torch.compile(self.network) if compiled else self.network
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
        self._dtype, self._cache = DTYPES[dtype], autocast_cache
        self.loss = torch.zeros((), device=self.device)

    def forward(self) -> Tensor:
        """The loss."""
        enabled = self._dtype is not torch.float32
        with torch.autocast(self.device.type, self._dtype, enabled=enabled, cache_enabled=self._cache):
            outputs = self.model(self.images)
            return functional.cross_entropy(outputs, self.labels)

    def __call__(self) -> None:
        """One step; ``loss`` is what it was before it."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.forward()
        loss.backward()
        self.optimizer.step()
        self.loss = loss.detach()

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
