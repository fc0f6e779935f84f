"""Segmentation of CamVid from scratch: ``python -m benchmarks.segmentation NAME --data-dir ROOT``.

FCN on ResNet-18 (output stride 16), images of 240x180, batch 8, 15 epochs. ``search`` finds batch norm's learning
rate on images cut from train. ``final`` trains all rows on the whole of train, with val after every epoch, and reads
test once for each, when all its epochs are done. ``layout`` trains on the same images in the layout of Cityscapes, with
its 19 classes. Every run is a run directory under ``--runs`` and is resumed there
when the command is given again; the table is written after each and names the rows that are still to be trained.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import runs as runs_table
from benchmarks.harness.tables import align
from netdeconv.data import DataConfig
from netdeconv.data.segmentation import Views
from netdeconv.experiments import Failure, plan, train_rows
from netdeconv.experiments.running.overlays import prediction_panels
from netdeconv.experiments.running.rows import folder_of
from netdeconv.tasks import Segmentation
from netdeconv.tasks.trained import BEST, LAST, TrainedSegmentation
from netdeconv.training import NetworkConfig, OptimizerConfig, PlainLines, RunResult, TrainingConfig

FOLDER = "segmentation"
PAPER_LR = 0.1
LRS = [0.1, 0.03, 0.01]
VARIANTS = ["batch_norm", "default", "channel", "paper"]
SEARCH_EPOCHS, EPOCHS, LAYOUT_EPOCHS, CUT = 5, 15, 4, 61
SHOWN = 4


def base_config(epochs: int, *, validation_size: int = 0) -> TrainingConfig:
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
    base = base_config(SEARCH_EPOCHS, validation_size=CUT)
    return plan(base, ["batch_norm"], baseline_lrs=LRS)


def _searched_lr() -> float:
    """The learning rate that the search found, from its table."""
    table = json.loads((runs_table.RESULTS / FOLDER / "camvid-search.json").read_text(encoding="utf-8"))
    if len(table["rows"]) != len(LRS):
        raise SystemExit("the search is not complete: run `python -m benchmarks.segmentation search` first")
    finished = [row for row in table["rows"] if row["mean IoU"] is not None]
    return float(max(finished, key=lambda row: row["mean IoU"][-1])["lr"])


def _final() -> dict[str, TrainingConfig]:
    lrs = [_searched_lr(), PAPER_LR]
    return plan(base_config(EPOCHS), VARIANTS, baseline_lrs=lrs)


def _layout() -> dict[str, TrainingConfig]:
    """The code path of Cityscapes: its label ids, 19 classes, torchvision's class."""
    base = base_config(LAYOUT_EPOCHS)
    data = dataclasses.replace(base.data, dataset="camvid_cityscapes")
    base = dataclasses.replace(base, data=data, keep_best=False)
    return plan(base, ["channel"], baseline_lrs=[])


EXPERIMENTS: dict[str, tuple[str, str, Callable[[], dict[str, TrainingConfig]]]] = {
    "search": (
        f"{FOLDER}/camvid-search.json",
        f"Batch norm's learning rate: FCN on ResNet-18, {SEARCH_EPOCHS} epochs of CamVid at 240x180, mean IoU (%) "
        f"after each on {CUT} images cut from train",
        _search,
    ),
    "final": (
        f"{FOLDER}/camvid.json",
        f"FCN on ResNet-18 (output stride 16), CamVid at 240x180 from scratch, {EPOCHS} epochs: test, per cent",
        _final,
    ),
    "layout": (
        f"{FOLDER}/camvid-cityscapes-layout.json",
        f"CamVid in the layout of Cityscapes, read by torchvision's Cityscapes: FCN on ResNet-18, {LAYOUT_EPOCHS} "
        "epochs at 240x180, mean IoU (%) of val after each",
        _layout,
    ),
}


def measure(name: str, data_dir: str | None, runs: Path, only: str | None, threads: int | None, note: str) -> None:
    """Train what is missing of an experiment, and write its table after every run."""
    file, title, experiment = EXPERIMENTS[name]
    configs = experiment()
    if only is not None and only not in configs:
        raise SystemExit(f"there is no row {only!r}: {', '.join(configs)}")
    placed = {
        key: dataclasses.replace(config, data=dataclasses.replace(config.data, data_dir=data_dir), threads=threads)
        for key, config in configs.items()
        if only in (None, key) or (folder_of(runs / name, key) / "summary.json").exists()
    }
    finished: dict[str, RunResult] = {}
    rows: list[dict[str, Any]] = []
    for key, result in train_rows(placed, runs / name, reporter=PlainLines):
        lr = configs[key].optimizer.lr
        if isinstance(result, Failure):
            rows.append({"variant": key, "lr": lr, "error": result.message})
        else:
            finished[key] = result
            rows.append({"variant": key, "lr": lr, **ROWS[name](result, data_dir)})
        print(rows[-1], flush=True)
        if not finished:  # nothing yet that says on what it ran
            continue
        missing = [other for other in configs if other not in [row["variant"] for row in rows]]
        remarks = [REMARKS[name], note, f"Not trained yet: {', '.join(missing)}." if missing else ""]
        table = runs_table.build(
            title,
            command=f"python -m benchmarks.segmentation {name}",
            config={other: runs_table.settings(own) for other, own in configs.items()},
            results=list(finished.values()),
            rows=align(rows),
            note=" ".join(filter(None, remarks)),
            parts=_parts(finished) if name == "final" else [],
        )
        runs_table.write(table, file)
    if name == "final" and finished:
        _draw({key: result.path for key, result in finished.items()}, data_dir)


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


def _searched_row(result: RunResult, data_dir: str | None) -> dict[str, Any]:
    del data_dir
    return {
        "train loss": [round(record["train_loss"], 3) for record in result.history],
        "mean IoU": [round(record["mean_iou"], 2) for record in result.history],
        "seconds": round(result.seconds),
    }


def _final_row(result: RunResult, data_dir: str | None) -> dict[str, Any]:
    tested = _tested(result.path, data_dir)
    best = max(result.history, key=lambda record: record["mean_iou"])
    return {
        "mean IoU": round(tested["last"]["mean_iou"], 2),
        "global accuracy": round(tested["last"]["accuracy"], 2),
        "mean IoU, epoch chosen on val": round(tested["best"]["mean_iou"], 2),
        "chosen epoch": best["epoch"],
        "val mean IoU, last epoch": round(result.history[-1]["mean_iou"], 2),
        "train loss": round(result.history[-1]["train_loss"], 3),
        "seconds": round(result.seconds),
        "ms/step": round(1000 * result.seconds_per_step),
    }


def _parts(finished: Mapping[str, RunResult]) -> list[dict[str, Any]]:
    """Every class on test, and every epoch on val."""
    tested = {key: json.loads((result.path / "test.json").read_text()) for key, result in finished.items()}
    each = [
        {"variant": key, **dict(zip(own["classes"], own["last"]["iou"], strict=True))} for key, own in tested.items()
    ]
    epochs = [
        {"variant": key, "mean IoU": [round(record["mean_iou"], 1) for record in result.history]}
        for key, result in finished.items()
    ]
    return [
        {"name": "Intersection over union of every class, test, last epoch (%)", "rows": each},
        {"name": "val mean IoU (%) after every epoch", "rows": epochs},
    ]


ROWS: dict[str, Callable[[RunResult, str | None], dict[str, Any]]] = {
    "search": _searched_row,
    "layout": _searched_row,
    "final": _final_row,
}
REMARKS = {
    "search": "The learning rate with the highest mean IoU after the last epoch is taken.",
    "layout": "A run of the code path, not of CamVid's usual classes: the mean is of the 11 of 19 classes that occur, "
    "and of any that are predicted.",
    "final": "One seed. Mean IoU and global accuracy are of the last epoch, which nobody chose; beside them the epoch "
    "with the highest mean IoU on val. Test was read once for each row, after its training. Seconds are of training "
    "alone, and other programs used the processor now and then.",
}


def _draw(folders: Mapping[str, Path], data_dir: str | None) -> None:
    """One picture of test images, their truth, and what every network of the last epoch predicts."""
    networks = {key: TrainedSegmentation.load(folder) for key, folder in folders.items()}
    source = next(iter(networks.values())).source("test", data_dir=data_dir)
    prediction_panels(networks, source, SHOWN).savefig(runs_table.RESULTS / FOLDER / "camvid-overlays.png", dpi=75)


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
