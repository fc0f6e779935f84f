"""Whitening where it pays: a whitened stem with batch norm or channel whitening elsewhere, half-width VGG-11, 3 epochs.

Command:  netdeconv reproduce stem-hybrid --data-dir DIR
Source:   first measurements of this project, before the library was written, on CIFAR-10 in bfloat16.
Hardware: two cores.
Minutes:  not measured.
Expected: 76.2 % batch norm at its better rate, 76.7 % with a whitened stem, 78.3 % with channels whitened elsewhere.
Spread:   one seed each: leads, not results; nearby rates differ by up to one point.
Status:   not run here with this library.
"""

from __future__ import annotations

from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import cifar

LEAD = "first measurement, one seed"
# Variant, learning rate, accuracy after three epochs.
_RUNS = (
    ("batch_norm", 0.1, 60.2),
    ("batch_norm", 0.02, 76.2),
    ("stem", 0.02, 76.7),
    ("channel", 0.1, 78.0),
    ("paper", 0.1, 77.3),
    ("default", 0.1, 78.3),
)


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    return {
        f"{norm} lr {lr:g}": ExperimentRow(
            config=cifar("vgg11", 3, norm=norm, lr=lr, width=0.5), expected={LEAD: accuracy}
        )
        for norm, lr, accuracy in _RUNS
    }
