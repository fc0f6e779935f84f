"""Gradient checkpointing, and going on from a saved state.

Recomputed activations move no statistics: they are counted once a step. A state_dict holds the statistics.

python examples/checkpointing.py
"""

from __future__ import annotations

import io

import torch
from digits import datasets
from plain_torch import accuracy, network, train
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint_sequential
from torch.utils.data import DataLoader

import netdeconv as nd


class Checkpointed(nn.Module):
    """Keeps the activations between three parts of a sequential network, and computes the others again."""

    def __init__(self, parts: nn.Sequential) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores."""
        if not self.training:
            return self.parts(images)
        return checkpoint_sequential(self.parts, 3, images, use_reentrant=False)


def main() -> float:
    """Train an epoch, save, load into a fresh network, train another; return the accuracy."""
    torch.manual_seed(0)
    training, test = (DataLoader(part, batch_size=64, shuffle=True) for part in datasets())
    model = Checkpointed(nd.convert(network()))
    train(model, training, epochs=1)
    counted = int(model.parts[0].statistics.num_batches_tracked)
    assert counted == len(training), f"{counted} batches of {len(training)}"
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)

    again = Checkpointed(nd.convert(network()))  # the same settings, then the state
    again.load_state_dict(torch.load(file, weights_only=True))
    train(again, training, epochs=1)
    nd.recalibrate(again, (images for images, _ in training))
    print(f"accuracy {accuracy(again, test):.3f}")
    return accuracy(again, test)


if __name__ == "__main__":
    main()
