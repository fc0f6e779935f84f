"""Less work, same result? A half-width VGG-11 on half of CIFAR-10, two epochs, on 5000 images cut from train.

Settings that need fewer operations beside batch norm and the default, with three seeds. Batch norm and the default also
train for one epoch more, so that equal seconds can be read off.

Command:  netdeconv reproduce less-work --data-dir DIR --export results/cifar10-less-work.json
Source:   this project.
Hardware: two cores; seconds count only where nothing else runs beside.
Minutes:  53 for 16 settings on two cores that are fast at bfloat16.
Expected: batch norm 63.24 %, 68.01 % with one epoch more; the stem alone whitened 65.49 %.
Spread:   about one point, over three seeds.
Status:   measured here for batch norm and the stem, not for the present default: results/tried/less-work.json.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from netdeconv.experiments.running.experiment import ExperimentRow, Reproduced
from netdeconv.experiments.running.families import PAPER_LR, cifar, mean, spread

BASELINE, EPOCHS, SEEDS = "batch norm", 2, (0, 1, 2)
FEW: Mapping[str, Any] = {"rows_per_feature": 16}
# By label: normalisation, what is changed of it, learning rate, epochs.
CANDIDATES: Mapping[str, tuple[str, Mapping[str, Any], float, int]] = {
    BASELINE: ("batch_norm", {}, 0.02, EPOCHS),
    "batch norm, one epoch more": ("batch_norm", {}, 0.02, EPOCHS + 1),
    "batch norm, lr 0.01": ("batch_norm", {}, 0.01, EPOCHS),
    "batch norm, lr 0.05": ("batch_norm", {}, 0.05, EPOCHS),
    "default": ("default", {}, PAPER_LR, EPOCHS),
    "default, one epoch more": ("default", {}, PAPER_LR, EPOCHS + 1),
    "default, plain head": ("default", {"linear_group_size": 0}, PAPER_LR, EPOCHS),
    "channel, fewer rows": ("channel", FEW, PAPER_LR, EPOCHS),
    "full 16, fewer rows": ("full16", FEW, PAPER_LR, EPOCHS),
    "full 32, fewer rows": ("paper", {"group_size": 32} | dict(FEW), PAPER_LR, EPOCHS),
    "stem full, batch norm elsewhere": ("stem", {}, 0.02, EPOCHS),
}


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    return {
        f"{label}, seed {seed}": ExperimentRow(
            config=cifar(
                "vgg11", epochs, norm=norm, changes=changes, width=0.5, images=22500, cut=5000, lr=lr, seed=seed
            )
        )
        for seed in SEEDS
        for label, (norm, changes, lr, epochs) in CANDIDATES.items()
    }


def summary(runs: Sequence[Reproduced]) -> list[dict[str, Any]]:
    """One line for each setting."""
    by_label = {run.label: run for run in runs if run.history}
    own = {
        label: {seed: by_label[f"{label}, seed {seed}"] for seed in SEEDS if f"{label}, seed {seed}" in by_label}
        for label in CANDIDATES
    }
    return [_line(label, by_seed, own[BASELINE]) for label, by_seed in own.items() if by_seed]


def _line(label: str, by_seed: Mapping[int, Reproduced], base: Mapping[int, Reproduced]) -> dict[str, Any]:
    scores = [run.score or 0.0 for run in by_seed.values()]
    seconds = [_seconds(run) / _seconds(base[seed]) for seed, run in by_seed.items() if seed in base]
    return {
        "normalisation": label,
        "lr": CANDIDATES[label][2],
        "epochs": CANDIDATES[label][3],
        "accuracy %": mean(scores),
        "spread": spread(scores),
        "seeds": len(scores),
        "train loss": mean([run.history[-1]["train_loss"] for run in by_seed.values()]),
        "seconds / batch norm": round(statistics.median(seconds), 3) if seconds else None,
    }


def _seconds(run: Reproduced) -> float:
    """Of all epochs, from the median step: other programs may have run beside."""
    return float(statistics.median(record["seconds_per_step"] for record in run.history)) * len(run.history)
