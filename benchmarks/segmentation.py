"""Segmentation of CamVid from scratch: ``python -m benchmarks.segmentation search|final --data-dir ROOT``.

FCN on ResNet-18 (output stride 16), images of 240x180, batch 8, 15 epochs. ``search`` finds batch norm's learning
rate on images cut from train. ``final`` trains all rows on the whole of train, with val after every epoch, and reads
test once for each, when all its epochs are done. Every run is a run directory under ``--runs`` and is resumed there
when the command is given again; the table is written after each and names the rows that are still to be trained.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from netdeconv.data import DataConfig
from netdeconv.data.segmentation import Views
from netdeconv.data.segmentation.batches import first_pairs
from netdeconv.recipes import WhiteningChoice, plan
from netdeconv.tasks import Segmentation
from netdeconv.tasks.trained import BEST, LAST, TrainedSegmentation
from netdeconv.training import NetworkConfig, OptimizerConfig, RunResult, TrainingConfig, run, to_plain
from netdeconv.viz import overlay, panels

RESULTS = Path(__file__).resolve().parent.parent / "results" / "segmentation"
PAPER_LR = 0.1
LRS = [0.1, 0.05, 0.02, 0.01, 0.005]
VARIANTS = ["batch_norm", "channel", "separable", "full"]
SEARCH_EPOCHS, EPOCHS, CUT = 5, 15, 61
SHOWN = 4


def _base(epochs: int, *, validation_size: int = 0) -> TrainingConfig:
    """What all runs have in common."""
    return TrainingConfig(
        task=Segmentation(views=Views(size=(180, 240), crop=(180, 240), scale=(0.5, 2.0)), output_stride=16),
        data=DataConfig(dataset="camvid", batch_size=8, validation_size=validation_size),
        network=NetworkConfig(arch="fcn_resnet18"),
        optimizer=OptimizerConfig(name="SGD", lr=PAPER_LR, momentum=0.9, weight_decay=1e-4, schedule="poly"),
        epochs=epochs,
        precision="bf16-mixed",
        keep_best=validation_size == 0,
    )


def _search() -> dict[str, TrainingConfig]:
    base = _base(SEARCH_EPOCHS, validation_size=CUT)
    return plan(base, ["batch_norm"], choice=WhiteningChoice(), baseline_lrs=LRS)


def _searched_lr() -> float:
    """The learning rate that the search found, from its table."""
    table = json.loads((RESULTS / "camvid-search.json").read_text(encoding="utf-8"))
    if len(table["rows"]) != len(LRS):
        raise SystemExit("the search is not complete: run `python -m benchmarks.segmentation search` first")
    return float(max(table["rows"], key=lambda row: row["mean IoU"][-1])["lr"])


def _final() -> dict[str, TrainingConfig]:
    lrs = [_searched_lr(), PAPER_LR]
    return plan(_base(EPOCHS), VARIANTS, choice=WhiteningChoice(), baseline_lrs=lrs)


EXPERIMENTS: dict[str, tuple[str, str, Callable[[], dict[str, TrainingConfig]]]] = {
    "search": (
        "camvid-search",
        f"Batch norm's learning rate: FCN on ResNet-18, {SEARCH_EPOCHS} epochs of CamVid at 240x180, mean IoU (%) "
        f"after each on {CUT} images cut from train",
        _search,
    ),
    "final": (
        "camvid",
        f"FCN on ResNet-18 (output stride 16), CamVid at 240x180 from scratch, {EPOCHS} epochs: test, per cent",
        _final,
    ),
}


def measure(name: str, data_dir: str | None, runs: Path, only: str | None, threads: int | None, note: str) -> None:
    """Train what is missing of an experiment, and write its table after every run."""
    file, title, experiment = EXPERIMENTS[name]
    configs = experiment()
    if only is not None and only not in configs:
        raise SystemExit(f"there is no row {only!r}: {', '.join(configs)}")
    results: dict[str, RunResult] = {}
    rows: dict[str, dict[str, Any]] = {}
    parts: dict[str, dict[str, Any]] = {}
    for key, config in configs.items():
        folder = runs / name / key.replace(" ", "_")
        if only not in (None, key) and not (folder / "summary.json").exists():
            continue
        data = dataclasses.replace(config.data, data_dir=data_dir)
        started = (folder / "config.json").exists()
        config = dataclasses.replace(config, data=data, threads=threads, result_path=str(folder))
        results[key] = run(config, resume=started)
        rows[key] = _searched_row(key, config, results[key])
        if name == "final":
            tested = _tested(folder, data_dir)
            rows[key] = _final_row(key, config, results[key], tested)
            parts[key] = {"variant": key, **dict(zip(tested["classes"], tested["last"]["iou"], strict=True))}
        print(f"{key}: {rows[key]}", flush=True)
        table = _table(name, title, configs, results, rows, parts, note)
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{file}.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    if name == "final" and results:
        _draw({key: result.path for key, result in results.items()}, data_dir)


def _tested(folder: Path, data_dir: str | None) -> dict[str, Any]:
    """What the network of the last epoch and that of the best one on val reach on test, read once and kept."""
    kept = folder / "test.json"
    if not kept.exists():
        measured: dict[str, Any] = {}
        for which, file in (("last", LAST), ("best", BEST)):
            trained = TrainedSegmentation.load(folder, file=file)
            measured[which] = trained.measure("test", data_dir=data_dir)
            measured["classes"] = list(trained.info.class_names)
        kept.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    return json.loads(kept.read_text(encoding="utf-8"))


def _searched_row(key: str, config: TrainingConfig, result: RunResult) -> dict[str, Any]:
    return {
        "variant": key,
        "lr": config.optimizer.lr,
        "train loss": [round(record["train_loss"], 3) for record in result.history],
        "mean IoU": [round(record["mean_iou"], 2) for record in result.history],
        "seconds": round(result.seconds),
    }


def _final_row(key: str, config: TrainingConfig, result: RunResult, tested: Mapping[str, Any]) -> dict[str, Any]:
    best = max(result.history, key=lambda record: record["mean_iou"])
    return {
        "variant": key,
        "lr": config.optimizer.lr,
        "mean IoU": round(tested["last"]["mean_iou"], 2),
        "global accuracy": round(tested["last"]["accuracy"], 2),
        "mean IoU, epoch chosen on val": round(tested["best"]["mean_iou"], 2),
        "chosen epoch": best["epoch"],
        "val mean IoU, last epoch": round(result.history[-1]["mean_iou"], 2),
        "train loss": round(result.history[-1]["train_loss"], 3),
        "seconds": round(result.seconds),
        "ms/step": round(1000 * result.seconds_per_step),
    }


def _table(
    name: str,
    title: str,
    configs: Mapping[str, TrainingConfig],
    results: Mapping[str, RunResult],
    rows: Mapping[str, dict[str, Any]],
    parts: Mapping[str, dict[str, Any]],
    note: str,
) -> dict[str, Any]:
    files = [result.path / "environment.json" for result in results.values()]
    sessions = [session for file in files for session in json.loads(file.read_text(encoding="utf-8"))["sessions"]]
    session = sessions[0]
    threads = " or ".join(str(count) for count in sorted({session["threads"] for session in sessions}))
    missing = [key for key in configs if key not in results]
    remarks = [_REMARKS[name], note, f"Not trained yet: {', '.join(missing)}." if missing else ""]
    table: dict[str, Any] = {
        "name": title,
        "command": f"python -m benchmarks.segmentation {name}",
        "config": {key: _settings(config) for key, config in configs.items()},
        "seed": sorted({config.seed for config in configs.values()}),
        "versions": {key: session[key] for key in ("python", "torch", "torchvision", "lightning-fabric")},
        "hardware": f"{session['processor']}, {threads} threads, {session['precision']}",
        "minutes": round(sum(result.seconds for result in results.values()) / 60, 1),
        "rows": list(rows.values()),
        "note": " ".join(remark for remark in remarks if remark),
    }
    if parts:
        table["parts"] = [
            {"name": "Intersection over union of every class, test, last epoch (%)", "rows": list(parts.values())},
            {"name": "val mean IoU (%) after every epoch", "rows": [_history(key, results[key]) for key in parts]},
        ]
    return table


_REMARKS = {
    "search": "The learning rate with the highest mean IoU after the last epoch is taken.",
    "final": "One seed. Mean IoU and global accuracy are of the last epoch, which nobody chose; beside them the epoch "
    "with the highest mean IoU on val. Test was read once for each row, after its training. Seconds are of training "
    "alone, and other programs used the processor now and then.",
}


def _history(key: str, result: RunResult) -> dict[str, Any]:
    return {"variant": key, "mean IoU": [round(record["mean_iou"], 1) for record in result.history]}


def _settings(config: TrainingConfig) -> dict[str, Any]:
    plain = to_plain(config)
    plain.pop("result_path")
    plain["data"].pop("data_dir")
    return plain


def _draw(folders: Mapping[str, Path], data_dir: str | None) -> None:
    """One picture of test images, their truth, and what every network of the last epoch predicts."""
    networks = {key: TrainedSegmentation.load(folder) for key, folder in folders.items()}
    one = next(iter(networks.values()))
    rows, names = [], []
    for name, image, truth in first_pairs(one.source("test", data_dir=data_dir), SHOWN):
        seen = [image, overlay(image, truth, one.info.classes)]
        seen += [overlay(image, trained.predict(image), one.info.classes) for trained in networks.values()]
        rows.append(seen)
        names.append(name)
    figure = panels(rows, ["image", "truth", *networks], one.info.classes, names=names)
    figure.savefig(RESULTS / "camvid-overlays.png", dpi=75)


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.segmentation", description=__doc__)
    parser.add_argument("name", choices=EXPERIMENTS)
    parser.add_argument("--data-dir", default=None, help="folder of the data sets; else NETDECONV_DATA")
    parser.add_argument("--runs", type=Path, default=Path("runs/segmentation"), help="run directories")
    parser.add_argument("--only", default=None, help="train this row alone; the table waits for the others")
    parser.add_argument("--threads", type=int, default=None, help="processor threads; else torch's choice")
    parser.add_argument("--note", default="", help="a remark to print under the table")
    options = parser.parse_args()
    measure(options.name, options.data_dir, options.runs, options.only, options.threads, options.note)


if __name__ == "__main__":
    main()
