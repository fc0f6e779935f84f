"""Experiments, one file each: the paper's tables and figures, and this project's studies.

A file's docstring says what is known of its experiment, ``rows()`` gives the settings of its runs (or ``ROWS`` those of
several experiments by name). ``then(found)`` gives rows that follow from what was found so far, ``summary(runs)`` the
table. The machinery that runs them is :mod:`netdeconv.experiments.running`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdeconv.lazy import lazy_names

if TYPE_CHECKING:
    from netdeconv.experiments.running.contest import Contender, Plan, contest, in_words, read_plan
    from netdeconv.experiments.running.experiment import Experiment, ExperimentRow, Reproduced, experiment, names
    from netdeconv.experiments.running.export import export
    from netdeconv.experiments.running.reproduction import Reproduction, reproduce
    from netdeconv.experiments.running.search import search
    from netdeconv.experiments.running.search_space import Search, Space, Trial
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "Contender",
    "Experiment",
    "ExperimentRow",
    "Plan",
    "Reproduced",
    "Reproduction",
    "Search",
    "Space",
    "Trial",
    "contest",
    "experiment",
    "export",
    "in_words",
    "names",
    "read_plan",
    "reproduce",
    "search",
]
