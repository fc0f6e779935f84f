"""Experiments, one file each: the paper's tables and figures, and this project's studies.

A file's docstring says what is known of its experiment, ``rows()`` gives the settings of its runs (or ``ROWS`` those of
several experiments by name). A row is a run or a search. ``then(found)`` gives rows that follow from what was found so
far, ``summary(runs)`` the table. The machinery that runs them is :mod:`netdeconv.experiments.running`.
"""

from __future__ import annotations

from netdeconv.experiments.running.book import experiment, names
from netdeconv.experiments.running.comparison import Comparison, Row, compare, plan, seconds_to
from netdeconv.experiments.running.contest import Contender, Plan, contest, in_words, read_plan
from netdeconv.experiments.running.experiment import Experiment, ExperimentRow, Reproduced
from netdeconv.experiments.running.export import export
from netdeconv.experiments.running.reproduction import Reproduction, reproduce
from netdeconv.experiments.running.rows import Failure, Trained, train_rows
from netdeconv.experiments.running.search import search
from netdeconv.experiments.running.search_space import Axis, Search, Space, Trial

__all__ = [
    "Axis",
    "Comparison",
    "Contender",
    "Experiment",
    "ExperimentRow",
    "Failure",
    "Plan",
    "Reproduced",
    "Reproduction",
    "Row",
    "Search",
    "Space",
    "Trained",
    "Trial",
    "compare",
    "contest",
    "experiment",
    "export",
    "in_words",
    "names",
    "plan",
    "read_plan",
    "reproduce",
    "search",
    "seconds_to",
    "train_rows",
]
