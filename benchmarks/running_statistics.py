"""Which layout, and which average, evaluates better: ``python -m benchmarks.running_statistics --data-dir ROOT``.

Small networks are trained with each layout. Then their weights are held, and 100 training batches pass
through in training mode while two running averages are kept with the same weights: of the whitening matrix D
(what the layers do) and of the covariance, whose root is taken at the end. Accuracy is measured with either, and
with each evaluation batch's own statistics.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netdeconv.data import DataConfig, Splits
from netdeconv.linalg import NewtonSchulz, inverse_sqrt, patch_statistics
from netdeconv.nn import WhitenedLayer, WhitenedLinear, Whitening
from netdeconv.experiments import WhiteningChoice, variant
from netdeconv.tasks import Classification
from netdeconv.training import NetworkConfig, OptimizerConfig, TrainingConfig, run
from netdeconv.training.evaluation import batch_statistics, evaluate
from netdeconv.training.precision import process_settings
from netdeconv.training.run_directory import environment

RESULTS = Path(__file__).resolve().parent.parent / "results"
LAYOUTS = ("blocks", "interleaved")
# name: (data set, network, width, epochs, lr, variant, channels in a block)
NETWORKS: dict[str, tuple[str, str, float, int, float, str, int]] = {
    "vgg11 x0.25 digits full": ("digits", "vgg11", 0.25, 6, 0.05, "full", 16),
    "vgg11 x0.25 digits channel": ("digits", "vgg11", 0.25, 6, 0.05, "channel", 16),
    "lenet fashion_mnist full": ("fashion_mnist", "lenet", 1.0, 1, 0.05, "full", 3),
    "vgg11 x0.25 cifar10 full": ("cifar10", "vgg11", 0.25, 1, 0.1, "full", 16),
}


class CovarianceAverage:
    """A running average of one layer's mean and covariance, beside the layer's own of D."""

    def __init__(self, layer: WhitenedLayer) -> None:
        self.layer, self.count = layer, 0
        self.mean = torch.zeros_like(layer.running_mean)
        self.covariance = torch.zeros_like(layer.running_whitening)

    @torch.no_grad()
    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Forward pre-hook."""
        layer: Any = self.layer
        if isinstance(layer, WhitenedLinear):
            geometry = layer._rows
        else:
            geometry = layer._geometry if layer.whitening.structure == "full" else layer._pixels
        _, mean, covariance = patch_statistics(layer._prepare(inputs[0]), geometry, layer.grouping)
        self.count += 1
        momentum = layer.whitening.momentum
        weight = momentum / (1 - (1 - momentum) ** self.count)
        self.mean.lerp_(mean, weight)
        self.covariance.lerp_(covariance, weight)

    @torch.no_grad()
    def assign(self) -> None:
        """Give the layer the root of the averaged covariance."""
        settings = self.layer.whitening
        eye = torch.eye(self.covariance.shape[-1])
        method = NewtonSchulz(settings.num_iterations)
        self.layer.running_whitening.copy_(inverse_sqrt(self.covariance + settings.eps * eye, method=method))
        self.layer.running_mean.copy_(self.mean)


def accuracies(config: TrainingConfig) -> dict[str, float]:
    """Train, and evaluate with both averages and with batch statistics."""
    with tempfile.TemporaryDirectory() as folder:
        result = run(dataclasses.replace(config, result_path=f"{folder}/run"), progress=False)
    with process_settings(None):
        return _evaluations(config, result.model)


def _evaluations(config: TrainingConfig, model: nn.Module) -> dict[str, float]:
    splits = config.task.open(config.data, seed=config.seed, device=torch.device("cpu"))

    def accuracy() -> float:
        meter = config.task.meter(splits.info.num_classes, torch.device("cpu"))
        return evaluate(model, splits.evaluation, meter)["accuracy"]

    layers = [module for module in model.modules() if isinstance(module, WhitenedLayer)]
    for layer in layers:
        layer.reset_running_stats()
    averages = [CovarianceAverage(layer) for layer in layers]
    hooks = [average.layer.register_forward_pre_hook(average) for average in averages]
    model.train()
    with torch.no_grad():
        for inputs in itertools.islice(_training_batches(splits), 100):
            model(inputs)
    for hook in hooks:
        hook.remove()
    model.eval()
    measured = {"average of D": accuracy()}
    with batch_statistics(model):
        measured["batch statistics"] = accuracy()
    for average in averages:
        average.assign()
    model.eval()
    return measured | {"average of covariance": accuracy()}


def _training_batches(splits: Splits) -> Iterator[Tensor]:
    for epoch in itertools.count(1000):
        for inputs, _ in splits.train.epoch(epoch):
            yield inputs


def config_of(name: str, layout: str, seed: int, data_dir: str | None) -> TrainingConfig:
    """The settings of one training."""
    dataset, arch, width, epochs, lr, kind, block = NETWORKS[name]
    base = NetworkConfig(arch=arch, width=width)
    whitening = Whitening(layout=layout, group_size=block)  # type: ignore[arg-type]
    choice = WhiteningChoice(base=whitening, block_fc=64, freeze=False)
    return TrainingConfig(
        task=Classification(),
        data=DataConfig(dataset=dataset, data_dir=data_dir, batch_size=64 if dataset == "digits" else 128),
        network=variant(kind).network(choice, base),
        optimizer=OptimizerConfig(name="SGD", lr=lr, momentum=0.9, weight_decay=1e-3, schedule="cosine"),
        epochs=epochs,
        seed=seed,
    )


def main() -> None:
    """Train, evaluate, write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.running_statistics", description=__doc__)
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    begun, rows = time.perf_counter(), []
    for name in NETWORKS:
        for layout in LAYOUTS:
            runs = [accuracies(config_of(name, layout, seed, options.data_dir)) for seed in options.seeds]
            row: dict[str, Any] = {"network": name, "layout": layout}
            for key in ("average of D", "average of covariance", "batch statistics"):
                values = [run[key] for run in runs]
                row[key] = round(statistics.mean(values), 2)
                row[f"{key}, spread"] = round(max(values) - min(values), 2)
            rows.append(row)
            print(row, flush=True)
    surroundings = environment(torch.device("cpu"), "bf16-mixed")
    table = {
        "name": "Layout, and what running statistics average: test accuracy %, mean and spread over seeds",
        "command": "python -m benchmarks.running_statistics",
        "config": {name: list(settings) for name, settings in NETWORKS.items()},
        "seed": options.seeds,
        "versions": {key: surroundings[key] for key in ("python", "torch", "torchvision")},
        "hardware": f"{surroundings['processor']}, {surroundings['threads']} threads",
        "minutes": round((time.perf_counter() - begun) / 60, 1),
        "rows": rows,
    }
    path = RESULTS / "running-statistics.json"
    path.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
