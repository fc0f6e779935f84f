"""Hugging Face: the Trainer, and save_pretrained and from_pretrained of a converted network.

A network that converts itself when it is built has the same keys when it is loaded.

python examples/huggingface_trainer.py
"""

from __future__ import annotations

import tempfile

import torch
from digits import datasets
from huggingface_hub import PyTorchModelHubMixin
from plain_torch import network
from torch import Tensor, nn
from transformers import EvalPrediction, Trainer, TrainingArguments, set_seed

import netdeconv as nd


class Classifier(nn.Module, PyTorchModelHubMixin):
    """A converted network with the interface of the Trainer."""

    def __init__(self, whitening: str = "default") -> None:
        super().__init__()
        self.network = nd.convert(network(), whitening)

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Return class scores, and the loss where labels are given."""
        scores = self.network(pixel_values)
        return (
            {"logits": scores}
            if labels is None
            else {
                "loss": nn.functional.cross_entropy(scores, labels),
                "logits": scores,
            }
        )


def right(found: EvalPrediction) -> dict[str, float]:
    """Return the share of right answers."""
    return {"accuracy": float((found.predictions.argmax(1) == found.label_ids).mean())}


def main() -> float:
    """Train, save, load, and return the loaded network's accuracy."""
    set_seed(0)
    training, test = ([{"pixel_values": image, "labels": label} for image, label in part] for part in datasets())
    model = Classifier()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            num_train_epochs=2,
            per_device_train_batch_size=64,
            per_device_eval_batch_size=500,
            learning_rate=0.05,
            optim="sgd",
            weight_decay=1e-3,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
        )
        trainer = Trainer(model, arguments, train_dataset=training, eval_dataset=test, compute_metrics=right)
        trainer.train()
        batches = [torch.stack([each["pixel_values"] for each in training[start : start + 64]]) for start in (0, 64)]
        nd.recalibrate(model, batches)
        accuracy = trainer.evaluate()["eval_accuracy"]
        model.save_pretrained(folder)
        loaded = Classifier.from_pretrained(folder).eval()
    images = torch.stack([each["pixel_values"] for each in test])
    with torch.no_grad():
        assert torch.equal(loaded(images)["logits"], model.eval()(images)["logits"])
    print(f"accuracy {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()
