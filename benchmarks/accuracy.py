"""Accuracy tables on real data: ``python -m benchmarks.accuracy NAME --data-dir ROOT``.

Every run is a run directory under ``--runs`` and is resumed there when the command is given again; the table is
written after each and names the rows that are still to be trained. Baselines' learning rates are searched on
images cut from the training set (``vgg11-search``), never on the test set.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netdeconv.data import DataConfig
from netdeconv.recipes import WhiteningChoice, plan
from netdeconv.tasks import Classification
from netdeconv.training import NetworkConfig, OptimizerConfig, RunResult, TrainingConfig, run, to_plain
from netdeconv.training.precision import Precision

RESULTS = Path(__file__).resolve().parent.parent / "results"
PAPER_LR = 0.1


def _paper(arch: str, epochs: int, *, validation_size: int = 0) -> TrainingConfig:
    """The paper's CIFAR-10 setting: SGD 0.9, lr 0.1, cosine, batch 128, weight decay 1e-3."""
    return TrainingConfig(
        task=Classification(),
        data=DataConfig(dataset="cifar10", batch_size=128, validation_size=validation_size),
        network=NetworkConfig(arch=arch),
        optimizer=OptimizerConfig(name="SGD", lr=PAPER_LR, momentum=0.9, weight_decay=1e-3, schedule="cosine"),
        epochs=epochs,
        evaluate_batch_statistics=validation_size == 0,
    )


def _vgg16() -> dict[str, TrainingConfig]:
    return plan(_paper("vgg16", 1), ["full"], choice=WhiteningChoice(), baseline_lrs=[PAPER_LR])


def _search() -> dict[str, TrainingConfig]:
    base = _paper("vgg11", 1, validation_size=5000)
    return plan(base, ["batch_norm"], choice=WhiteningChoice(), baseline_lrs=[0.05, 0.02, 0.01, 0.005, 0.002])


def _searched_lr() -> float:
    """The learning rate that the search found, from its table."""
    rows = json.loads((RESULTS / "cifar10-vgg11-search.json").read_text(encoding="utf-8"))["rows"]
    return float(max(rows, key=lambda row: row["accuracy"][-1])["lr"])


def _vgg11() -> dict[str, TrainingConfig]:
    names = ["batch_norm", "channel", "full16", "separable", "full"]
    return plan(_paper("vgg11", 3), names, choice=WhiteningChoice(), baseline_lrs=[_searched_lr(), PAPER_LR])


# The cheap ones first: a session on two cores may end before the last.
# Depthwise convolutions' gradients are slower in bfloat16 than in float32 on the processors at hand.
_DEPTHWISE = ("mobilenet_v2", "efficientnet_b0", "pnasnet_a")
_SEVEN = ("vgg16", "mobilenet_v2", "efficientnet_b0", "pnasnet_a", "resnet18", "preact_resnet18", "senet18")


def _one_epoch() -> dict[str, TrainingConfig]:
    """The paper's first column: batch norm at its learning rate and at a lower one, and full deconvolution."""
    runs: dict[str, TrainingConfig] = {}
    for arch in _SEVEN:
        precision: Precision = "32-true" if arch in _DEPTHWISE else "auto"
        base = dataclasses.replace(_paper(arch, 1), evaluate_batch_statistics=False, precision=precision)
        chosen = plan(base, ["batch_norm", "full"], choice=WhiteningChoice(), baseline_lrs=[PAPER_LR, 0.02])
        runs |= {f"{arch} {label}": config for label, config in chosen.items()}
    return runs


EXPERIMENTS: dict[str, tuple[str, Callable[[], dict[str, TrainingConfig]]]] = {
    "vgg16-one-epoch": (
        "VGG-16 on CIFAR-10, one epoch, the paper's setting (its full: 74.18 %)",
        _vgg16,
    ),
    "vgg11-search": (
        "Batch norm's learning rate: VGG-11, one epoch of CIFAR-10, on 5000 images cut from train",
        _search,
    ),
    "one-epoch": ("Seven networks on CIFAR-10, one epoch, the paper's setting", _one_epoch),
    "vgg11-three-epochs": ("VGG-11 on CIFAR-10, three epochs, test accuracy after each", _vgg11),
}


def measure(name: str, data_dir: str, runs: Path, label: str | None, remark: str = "") -> None:
    """Train what is missing of an experiment; write its table when nothing is."""
    title, experiment = EXPERIMENTS[name]
    configs = experiment()
    results: dict[str, RunResult] = {}
    for key, config in configs.items():
        folder = runs / name / key.replace(" ", "_")
        if label not in (None, key) and not (folder / "summary.json").exists():
            continue
        data = dataclasses.replace(config.data, data_dir=data_dir)
        started = (folder / "config.json").exists()
        results[key] = run(dataclasses.replace(config, data=data, result_path=str(folder)), resume=started)
        print(f"{key}: {results[key].accuracy:.2f} %", flush=True)
        table = _table(title, name, configs, results, remark)
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
