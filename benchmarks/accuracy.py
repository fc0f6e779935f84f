"""Accuracy tables on real data: ``python -m benchmarks.accuracy NAME --data-dir ROOT``.

The runs are those of an experiment, see ``netdeconv list experiments``. Every run is a run directory under ``--runs``
and is resumed there when the command is given again; the table is written after each and names the rows that are still
to be trained. Baselines' learning rates are searched on images cut from the training set (``vgg11-search``), never on
the test set.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from benchmarks import runs as runs_table
from netdeconv.experiments import experiment as find
from netdeconv.training import RunResult, TrainingConfig, run

# Experiments whose tables are results of this repository, and the files in results/.
EXPERIMENTS = {
    "vgg16-one-epoch": "cifar10-vgg16-one-epoch",
    "vgg11-search": "cifar10-vgg11-search",
    "one-epoch": "cifar10-one-epoch",
    "vgg11-three-epochs": "cifar10-vgg11-three-epochs",
    "fashion-regression": "fashion-regression",
    "mnist-mlp": "mnist-mlp",
}


def measure(name: str, data_dir: str, runs: Path, label: str | None, remark: str = "") -> None:
    """Train what is missing of an experiment; write its table when nothing is."""
    experiment = find(name)
    configs = {key: row.config for key, row in experiment.rows.items()}
    results: dict[str, RunResult] = {}
    for key, config in configs.items():
        folder = runs / name / key.replace(" ", "_")
        if label not in (None, key) and not (folder / "summary.json").exists():
            continue
        data = dataclasses.replace(config.data, data_dir=data_dir)
        started = (folder / "config.json").exists()
        results[key] = run(dataclasses.replace(config, data=data, result_path=str(folder)), resume=started)
        print(f"{key}: {results[key].accuracy:.2f} %", flush=True)
        missing = [other for other in configs if other not in results]
        remarks = [remark, f"Not trained yet: {', '.join(missing)}." if missing else ""]
        table = runs_table.build(
            experiment.title,
            command=f"python -m benchmarks.accuracy {name}",
            config={other: runs_table.settings(own) for other, own in configs.items()},
            results=list(results.values()),
            rows=[_row(other, configs[other], result) for other, result in results.items()],
            note=" ".join(filter(None, remarks)),
        )
        runs_table.write(table, f"{EXPERIMENTS[name]}.json")


def _row(key: str, config: TrainingConfig, result: RunResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "variant": key,
        "lr": config.optimizer.lr,
        "train_loss": [round(record["train_loss"], 4) for record in result.history],
        "accuracy": [round(record["accuracy"], 2) for record in result.history],
    }
    if config.evaluate_all_statistics:
        for kind in ("running", "batch"):
            row[f"accuracy, {kind} statistics"] = round(result.history[-1][f"accuracy_{kind}_statistics"], 2)
    return row | {"minutes": round(result.seconds / 60, 1)}


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("name", choices=EXPERIMENTS)
    parser.add_argument("--data-dir", default=None, help="folder of the data sets; else NETDECONV_DATA")
    parser.add_argument("--runs", type=Path, default=Path("runs/accuracy"), help="run directories")
    parser.add_argument("--only", default=None, help="train this row alone; the table waits for the others")
    parser.add_argument("--note", default="", help="a remark to print under the table")
    options = parser.parse_args()
    measure(options.name, options.data_dir, options.runs, options.only, options.note)


if __name__ == "__main__":
    main()
