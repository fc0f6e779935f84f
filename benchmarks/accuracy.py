"""Accuracy tables on real data: ``python -m benchmarks.accuracy NAME --data-dir ROOT``.

The runs are those of a recipe, see ``netdeconv list recipes``. Every run is a run directory under ``--runs`` and is
resumed there when the command is given again; the table is written after each and names the rows that are still to be
trained. Baselines' learning rates are searched on images cut from the training set (``vgg11-search``), never on the
test set.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from netdeconv.recipes import recipe
from netdeconv.training import RunResult, TrainingConfig, run, to_plain

RESULTS = Path(__file__).resolve().parent.parent / "results"
# Recipes whose tables are results of this repository; their names are those of the files.
EXPERIMENTS = ("vgg16-one-epoch", "vgg11-search", "one-epoch", "vgg11-three-epochs")


def measure(name: str, data_dir: str, runs: Path, label: str | None, remark: str = "") -> None:
    """Train what is missing of an experiment; write its table when nothing is."""
    experiment = recipe(name)
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
        table = _table(experiment.title, name, configs, results, remark)
        (RESULTS / f"cifar10-{name}.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def _table(
    title: str, name: str, configs: dict[str, TrainingConfig], results: dict[str, RunResult], remark: str
) -> dict[str, Any]:
    files = [result.path / "environment.json" for result in results.values()]
    sessions = [session for file in files for session in json.loads(file.read_text(encoding="utf-8"))["sessions"]]
    session = sessions[0]
    threads = " or ".join(str(count) for count in sorted({session["threads"] for session in sessions}))
    missing = [key for key in configs if key not in results]
    remarks = [remark] if remark else []
    remarks += [f"Not trained yet: {', '.join(missing)}."] if missing else []
    return {
        "name": title,
        "command": f"python -m benchmarks.accuracy {name}",
        "config": {key: _settings(config) for key, config in configs.items()},
        "seed": sorted({config.seed for config in configs.values()}),
        "versions": {key: session[key] for key in ("python", "torch", "torchvision", "lightning-fabric")},
        "hardware": f"{session['processor']}, {threads} threads, {session['precision']}",
        "minutes": round(sum(result.seconds for result in results.values()) / 60, 1),
        "rows": [_row(key, configs[key], result) for key, result in results.items()],
        "note": " ".join(remarks),
    }


def _settings(config: TrainingConfig) -> dict[str, Any]:
    plain = to_plain(config)
    plain.pop("result_path")
    plain["data"].pop("data_dir")
    return plain


def _row(key: str, config: TrainingConfig, result: RunResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "variant": key,
        "lr": config.optimizer.lr,
        "train_loss": [round(record["train_loss"], 4) for record in result.history],
        "accuracy": [round(record["accuracy"], 2) for record in result.history],
    }
    if config.evaluate_batch_statistics:
        row["accuracy_batch_statistics"] = round(result.history[-1]["accuracy_batch_statistics"], 2)
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
