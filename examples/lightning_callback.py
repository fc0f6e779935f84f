"""Lightning: a callback takes statistics anew before every validation.

python examples/lightning_callback.py
"""

from __future__ import annotations

import itertools

import lightning
import torch
from digits import datasets
from plain_torch import network
from torch import Tensor, nn
from torch.utils.data import DataLoader

import netdeconv as nd


class Recalibrate(lightning.Callback):
    """Statistics of the network as it is now, over some training batches."""

    def __init__(self, batches: int = 8) -> None:
        self.batches = batches

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Recalibrate."""
        batches = itertools.islice(trainer.train_dataloader, self.batches)
        nd.recalibrate(pl_module, (images.to(pl_module.device) for images, _ in batches))


class Classifier(lightning.LightningModule):
    """A converted network."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nd.convert(network())

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores."""
        return self.network(images)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss."""
        images, labels = batch
        return nn.functional.cross_entropy(self(images), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log the accuracy."""
        images, labels = batch
        self.log("accuracy", (self(images).argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return SGD."""
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)


def main() -> float:
    """Train, and return the validation accuracy."""
    lightning.seed_everything(0, verbose=False)
    training, test = (DataLoader(part, batch_size=64, shuffle=index == 0) for index, part in enumerate(datasets()))
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        callbacks=[Recalibrate()],
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Classifier(), training, test)
    accuracy = float(trainer.callback_metrics["accuracy"])
    print(f"accuracy {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()
