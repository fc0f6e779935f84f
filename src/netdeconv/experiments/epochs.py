"""Accuracy after a number of epochs of CIFAR-10: batch norm and the settings of whitening, all searched alike.

Each one's learning rate and weight decay are searched in one epoch, on 5000 images cut from the training set. The best
pair is trained on all images with three seeds. Batch norm, the default and the paper's blocks of 16 channels also run
at the paper's rate and decay, for one epoch of search likes a decay that holds twenty back.

Command:  netdeconv reproduce vgg11-three-epochs --data-dir DIR --export results/cifar10-vgg11-three-epochs.json
Source:   this project; Ye et al., early version of 2019, for VGG-11 after 20 epochs.
Hardware: two cores; for twenty epochs of whole networks two that are fast at bfloat16, or a GPU.
Minutes:  about 55 for twenty epochs of VGG-11 on one core that is fast at bfloat16.
Expected: after three epochs batch norm 78.70 % (its rate searched) and 48.47 % at the paper's rate, channel 83.01 %;
          after twenty, in the early version, batch norm 89.15 %, channel 90.23 %, blocks of 16 channels 91.33 %;
          here batch norm 90.46 %, at the paper's rate 88.92 %, the default 91.79 %, blocks of 16 91.22 %; a quarter as
          wide batch norm 85.56 % and 84.99 % at the paper's rate, the default 85.88 % and 86.62 %; half-width ResNet-18
          with batch norm 89.85 %, at the paper's rate 91.61 %, the default 92.85 %, blocks of 16 91.93 %.
Spread:   0.1 to 0.2 points over two seeds.
Status:   measured here, in results/: twenty epochs in cifar10-vgg11-twenty-epochs.json, -vgg11-quarter- and
          -resnet18-twenty-epochs.json; three epochs of batch norm and channel, by an earlier form that searched batch
          norm's rate alone, in -three-epochs.json and -search.json.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from netdeconv.experiments.running.contest import Contest, Plan
from netdeconv.experiments.running.experiment import Reproduced, Rows
from netdeconv.experiments.running.families import NAMES, SEEDS, cifar, finals, mean, norm_config, over_seeds
from netdeconv.training.config import replaced

RATES, CUT = (0.1, 0.05, 0.02, 0.01, 0.005), 5000
BATCH_NORM, AS_PUBLISHED = "batch norm", ("batch_norm", "default", "full16")
_DECAYS = (5e-4, 1e-3, 5e-3)
_CONTEST = Contest(variants=tuple(NAMES.values()), lrs=RATES, weight_decays=_DECAYS, search_epochs=1, seeds=SEEDS)
PLANS = {
    "vgg11-three-epochs": Plan(cifar("vgg11", 3, cut=CUT), _CONTEST),
    "vgg11-twenty-epochs": Plan(cifar("vgg11", 20, cut=CUT), _CONTEST),
    "resnet18-twenty-epochs": Plan(cifar("resnet18", 20, width=0.5, cut=CUT), _CONTEST),
    "vgg11-quarter-twenty-epochs": Plan(cifar("vgg11", 20, width=0.25, cut=CUT), _CONTEST),
    "resnet18-quarter-twenty-epochs": Plan(cifar("resnet18", 20, width=0.25, cut=CUT), _CONTEST),
}


def rows(name: str) -> Rows:
    """Return the searches, and runs at the paper's rate."""
    found = dict(PLANS[name].rows())
    for own in AS_PUBLISHED:
        changes = {"data.validation_size": 0, "network.norm": norm_config(own)}
        found |= finals(replaced(PLANS[name].base, changes), f"{own.replace('_', ' ')} at the paper's rate")
    return found


def summary(runs: Sequence[Reproduced]) -> list[dict[str, Any]]:
    """One line for every normalisation: accuracies over the seeds, seconds against batch norm's."""
    own: dict[str, list[Reproduced]] = {}
    for run in runs:
        if ", seed" in run.label:
            own.setdefault(run.label.partition(", seed")[0], []).append(run)
    base = mean([run.seconds for run in own.get(BATCH_NORM, [])])
    lines = []
    for name, of_name in own.items():
        seconds = mean([run.seconds for run in of_name])
        ratio = round(seconds / base, 2) if seconds and base else None
        times = {"seconds": seconds, "seconds / batch norm": ratio}
        lines.append({"normalisation": name, **over_seeds(of_name, "accuracy %"), **times})
    return lines


ROWS = {name: functools.partial(rows, name) for name in PLANS}
THEN = {name: plan.then for name, plan in PLANS.items()}
