"""Seconds to the accuracy of a searched batch norm: ``python -m benchmarks.seconds_to_accuracy --arch vgg11``.

1. Batch norm's learning rate and weight decay are searched on images cut from the training set: every pair for
   ``--search-epochs`` on ``--search-images``, then the best ``--keep`` of them, if more than one, for ``--epochs`` on
   all that is left.
2. Batch norm is trained with the best of them on the whole training set; its test accuracy after the last epoch is
   the goal, its training seconds the unit.
3. Every candidate's learning rate and weight decay are searched in the same way (one pair is no search: the paper's,
   unless others are given). With the best it is trained on the whole training set with fewer epochs,
   ``--first-epochs``, then more up to ``--last-epochs``, each with a schedule of its own that ends there, until its
   test accuracy reaches the goal, or its seconds batch norm's; the number of epochs that was needed is the result.

Run directories are kept and resumed. The table is written to results/seconds-to-accuracy-ARCH.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import runs as runs_table
from benchmarks.harness.environment import command
from netdeconv.data import DataConfig
from netdeconv.models import NormConfig
from netdeconv.tasks import Classification
from netdeconv.training import NetworkConfig, OptimizerConfig, RunResult, TrainingConfig, run

# label: settings of the normalisation
CANDIDATES: dict[str, NormConfig] = {
    "default": NormConfig(name="default"),
    "channel": NormConfig(name="channel", rows_per_feature=16),
    "full16": NormConfig(name="full16", rows_per_feature=16),
}


class Search:
    """The runs of one network on one data set."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.all: list[RunResult] = []
        self.searched: list[dict[str, Any]] = []

    def train(
        self,
        label: str,
        network: NetworkConfig,
        lr: float,
        wd: float,
        epochs: int,
        tuning: int = 0,
        images: int | None = None,
    ) -> RunResult:
        """One run, or what is left of it."""
        options = self.options
        folder = options.runs / options.arch / f"{label}_lr{lr:g}_wd{wd:g}_{epochs}".replace(" ", "_").replace(",", "")
        config = TrainingConfig(
            task=Classification(),
            data=DataConfig(
                dataset=options.dataset,
                batch_size=128,
                data_dir=options.data_dir,
                validation_size=tuning,
                train_size=images,
            ),
            network=network,
            optimizer=OptimizerConfig(name="SGD", lr=lr, momentum=0.9, weight_decay=wd, schedule="cosine"),
            epochs=epochs,
            seed=options.seed,
            device=options.device,
            result_path=str(folder),
        )
        result = run(config, resume=(folder / "config.json").exists(), progress=False)
        print(f"{label}, lr {lr:g}, weight decay {wd:g}, {epochs} epochs: {result.accuracy:.2f} %", flush=True)
        self.all.append(result)
        return result

    def search(
        self, label: str, network: NetworkConfig, lrs: Sequence[float], weight_decays: Sequence[float]
    ) -> tuple[float, float]:
        """The best learning rate and weight decay on the tuning split; the rounds are kept for the table."""
        options = self.options
        pairs = list(itertools.product(lrs, weight_decays))
        if len(pairs) == 1:  # one is no choice
            return pairs[0]
        first = [self.tried(label, network, *pair, options.search_epochs, options.search_images) for pair in pairs]
        best = sorted(first, key=lambda row: row["accuracy"], reverse=True)[: options.keep]
        last: list[dict[str, Any]] = []
        if len(best) > 1:
            last = [self.tried(label, network, row["lr"], row["weight decay"], options.epochs, None) for row in best]
        chosen = max(last or best, key=lambda row: row["accuracy"])
        self.searched += first + last
        return chosen["lr"], chosen["weight decay"]

    def tried(
        self, label: str, network: NetworkConfig, lr: float, wd: float, epochs: int, images: int | None
    ) -> dict[str, Any]:
        """One pair on the tuning split, trained on some of the images."""
        kind = f"{label} tuning" if images is None else f"{label} tuning on {images}"
        result = self.train(kind, network, lr, wd, epochs, self.options.tuning, images)
        row = {"variant": label, "lr": lr, "weight decay": wd, "epochs": epochs, "images": images or "all"}
        return row | {"accuracy": round(result.accuracy, 2)}

    def measure(self) -> None:
        """Search, train, write."""
        options = self.options
        plain = NetworkConfig(arch=options.arch)
        lr, wd = self.search("batch norm", plain, options.lrs, options.weight_decays)
        goal = self.train("batch norm", plain, lr, wd, options.epochs)
        rows = [_row("batch norm", goal, goal, lr, wd, reached=True)]
        for label in options.candidates:
            network = dataclasses.replace(plain, norm=CANDIDATES[label])
            lr, wd = self.search(label, network, options.candidate_lrs, options.candidate_weight_decays)
            last = options.last_epochs or options.epochs
            for epochs in range(options.first_epochs, last + 1):
                result = self.train(label, network, lr, wd, epochs)
                reached = result.accuracy >= goal.accuracy
                if reached or epochs == last or result.seconds >= goal.seconds:
                    rows.append(_row(label, result, goal, lr, wd, reached=reached))
                    break
            self.write(rows)

    def write(self, rows: list[dict[str, Any]]) -> None:
        """The table so far."""
        options = self.options
        table = runs_table.build(
            f"Seconds to the accuracy of a searched batch norm: {options.arch} on {options.dataset}",
            command=command("seconds_to_accuracy", options.arguments),
            config={
                "batch_size": 128,
                "epochs": options.epochs,
                "schedule": "cosine",
                "momentum": 0.9,
                "tuning images": options.tuning,
                "learning rates": options.lrs,
                "weight decays": options.weight_decays,
                "learning rates of the candidates": options.candidate_lrs,
                "weight decays of the candidates": options.candidate_weight_decays,
                "candidates": {label: dataclasses.asdict(norm) for label, norm in CANDIDATES.items()},
            },
            results=self.all,
            rows=rows,
            parts=[{"name": "The search, on images cut from the training set", "rows": self.searched}],
            note="Seconds of training, without evaluation. A candidate that did not reach batch norm's accuracy, in "
            "as many seconds or in the last number of epochs that was tried, is shown with what it reached, and "
            "without a ratio.",
        )
        runs_table.write(table, f"seconds-to-accuracy-{options.arch}.json")


def _row(label: str, result: RunResult, goal: RunResult, lr: float, wd: float, *, reached: bool) -> dict[str, Any]:
    return {
        "variant": label,
        "lr": lr,
        "weight decay": wd,
        "epochs": len(result.history),
        "test accuracy": round(result.accuracy, 2),
        "seconds": round(result.seconds, 1),
        "seconds to batch norm": round(result.seconds / goal.seconds, 3) if reached else None,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seconds_to_accuracy", description=__doc__)
    parser.add_argument("--arch", default="vgg11")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--data-dir", default=None, help="folder of the data sets; else NETDECONV_DATA")
    parser.add_argument("--runs", type=Path, default=Path("runs/seconds-to-accuracy"), help="run directories")
    parser.add_argument("--epochs", type=int, default=5, help="of batch norm")
    parser.add_argument("--tuning", type=int, default=5000, help="images cut from train for the search")
    parser.add_argument("--search-epochs", type=int, default=1, help="of every pair in the first round")
    parser.add_argument("--search-images", type=int, default=None, help="to train on in the first round; else all")
    parser.add_argument("--keep", type=int, default=3, help="pairs that the first round leaves")
    parser.add_argument("--first-epochs", type=int, default=1, help="of a candidate's first run")
    parser.add_argument("--last-epochs", type=int, default=None, help="of its last run; else as --epochs")
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES), choices=CANDIDATES)
    parser.add_argument("--lrs", type=float, nargs="+", default=[0.05, 0.02, 0.01, 0.005])
    parser.add_argument("--weight-decays", type=float, nargs="+", default=[5e-4, 1e-3, 5e-3])
    parser.add_argument("--candidate-lrs", type=float, nargs="+", default=[0.1])
    parser.add_argument("--candidate-weight-decays", type=float, nargs="+", default=[1e-3])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    arguments = sys.argv[1:] if arguments is None else arguments
    Search(parser.parse_args(arguments, argparse.Namespace(arguments=arguments))).measure()


if __name__ == "__main__":
    main()
