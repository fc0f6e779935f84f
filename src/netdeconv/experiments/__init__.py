"""Experiments, one file each: the paper's tables and figures, and this project's studies.

A file's docstring says what is known of its experiment, ``rows()`` gives the settings of its runs (or ``ROWS`` those of
several experiments by name). ``then(found)`` gives rows that follow from what was found so far, ``summary(runs)`` the
table. The machinery that runs them is :mod:`netdeconv.experiments.running`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdeconv.lazy import lazy_names

if TYPE_CHECKING:
    from netdeconv.experiments.running.contest import Plan, in_words
    from netdeconv.experiments.running.experiment import Experiment, ExperimentRow, Reproduced, experiment, names
    from netdeconv.experiments.running.export import export
    from netdeconv.experiments.running.runner import Reproduction, reproduce
    from netdeconv.experiments.running.search import Space, search
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "Experiment",
    "ExperimentRow",
    "Plan",
    "Reproduced",
    "Reproduction",
    "Space",
    "experiment",
    "export",
    "in_words",
    "names",
    "reproduce",
    "search",
]
