"""Less work, same result? ``python -m benchmarks.less_work --data-dir ROOT``.

A half-width VGG-11 on CIFAR-10, batch 128, bfloat16 where the processor is fast at it, evaluated on 5000 images cut
from the training set: settings are chosen here, so the test set is not read. Every candidate is trained for the same
epochs with several seeds; batch norm and the cheapest whitening also for one epoch more, so that equal seconds can be
read off. ``--images`` takes shorter epochs, which compare seconds more finely. A run directory is kept for each run and
resumed when the command is given again; the table is written after each.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
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

NAME = "cifar10-less-work"
WIDTH, LR, BATCH_NORM_LR = 0.5, 0.1, 0.02
FEW: dict[str, Any] = {"rows_per_feature": 16}
# label: (normalisation, what is changed of it, learning rate, epochs beyond the others')
CANDIDATES: dict[str, tuple[str, dict[str, Any], float, int]] = {
    "batch norm": ("batch_norm", {}, BATCH_NORM_LR, 0),
    "batch norm, one epoch more": ("batch_norm", {}, BATCH_NORM_LR, 1),
    "default": ("default", {}, LR, 0),
    "default, one epoch more": ("default", {}, LR, 1),
    "default, linear layers plain": ("default", {"linear_group_size": 0}, LR, 0),
    "channel": ("channel", FEW, LR, 0),
    "full 16, fewer rows": ("full16", FEW, LR, 0),
    "full 32, fewer rows": ("paper", {"group_size": 32} | FEW, LR, 0),
    "stem full, batch norm elsewhere": ("stem", {}, BATCH_NORM_LR, 0),
    "batch norm, lr 0.01": ("batch_norm", {}, 0.01, 0),
    "batch norm, lr 0.05": ("batch_norm", {}, 0.05, 0),
}


def config(label: str, seed: int, epochs: int, images: int | None = None) -> TrainingConfig:
    """The settings of one run; ``images``: to train on, of the 45000 that are left."""
    name, settings, lr, more = CANDIDATES[label]
    network = NetworkConfig(arch="vgg11", width=WIDTH, norm=NormConfig(name=name, **settings))
    return TrainingConfig(
        task=Classification(),
        data=DataConfig(dataset="cifar10", batch_size=128, validation_size=5000, train_size=images),
        network=network,
        optimizer=OptimizerConfig(name="SGD", lr=lr, momentum=0.9, weight_decay=1e-3, schedule="cosine"),
        epochs=epochs + more,
        seed=seed,
    )


def measure(options: argparse.Namespace) -> None:
    """Train what is missing, seed after seed, and write the table after every run."""
    epochs, images = options.epochs, options.images
    results: dict[str, dict[int, RunResult]] = {label: {} for label in CANDIDATES}
    for seed in options.seeds:
        for label in CANDIDATES:
            if options.only and label not in options.only:
                continue
            kind = f"{epochs}-epochs" if images is None else f"{epochs}-epochs-of-{images}"
            folder = options.runs / kind / f"seed{seed}" / label.replace(" ", "_").replace(",", "")
            settings = config(label, seed, epochs, images)
            data = dataclasses.replace(settings.data, data_dir=options.data_dir)
            settings = dataclasses.replace(settings, data=data, result_path=str(folder))
            started = (folder / "config.json").exists()
            results[label][seed] = run(settings, resume=started, progress=False)
            print(f"seed {seed}, {label}: {results[label][seed].accuracy:.2f} %", flush=True)
            write(results, options)


def write(results: dict[str, dict[int, RunResult]], options: argparse.Namespace) -> None:
    """The table of what is there."""
    trained = "" if options.images is None else f", trained on {options.images} images"
    baseline = results["batch norm"]
    table = runs_table.build(
        f"Less work: a half-width VGG-11 on CIFAR-10{trained}, evaluated on 5000 others cut from train",
        command=command("less_work", options.arguments),
        config={
            label: runs_table.settings(config(label, 0, options.epochs, options.images))
            for label in CANDIDATES
            if results[label]
        },
        results=[result for by_seed in results.values() for result in by_seed.values()],
        rows=[_row(label, by_seed, baseline) for label, by_seed in results.items() if by_seed],
        note="Mean and standard deviation over seeds of the accuracy after the last epoch; seconds of training "
        "against batch norm's, medians of the steps of the runs themselves, which stood alone on the machine.",
    )
    runs_table.write(table, f"{NAME}.json")


def _row(label: str, by_seed: dict[int, RunResult], baseline: dict[int, RunResult]) -> dict[str, Any]:
    accuracies = [result.accuracy for result in by_seed.values()]
    steps = [
        result.seconds_per_step * len(result.history) / (baseline[seed].seconds_per_step * len(baseline[seed].history))
        for seed, result in by_seed.items()
        if seed in baseline
    ]
    return {
        "normalisation": label,
        "lr": CANDIDATES[label][2],
        "epochs": len(next(iter(by_seed.values())).history),
        "accuracy %": round(statistics.mean(accuracies), 2),
        "spread": round(statistics.stdev(accuracies), 2) if len(accuracies) > 1 else None,
        "seeds": len(accuracies),
        "train loss": round(statistics.mean(result.history[-1]["train_loss"] for result in by_seed.values()), 4),
        "seconds / batch norm": round(statistics.median(steps), 3) if steps else None,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.less_work", description=__doc__)
    parser.add_argument("--data-dir", default=None, help="folder of the data sets; else NETDECONV_DATA")
    parser.add_argument("--runs", type=Path, default=Path("runs/less-work"), help="run directories")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=None, help="to train on in an epoch; else all 45000")
    parser.add_argument("--only", nargs="*", default=[], choices=[*CANDIDATES, []], help="these rows alone")
    arguments = sys.argv[1:] if arguments is None else arguments
    measure(parser.parse_args(arguments, argparse.Namespace(arguments=arguments)))


if __name__ == "__main__":
    main()
