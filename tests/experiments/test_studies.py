"""Every experiment is complete, is built, and takes two steps; published numbers stand where they belong."""

from __future__ import annotations

import importlib
import itertools
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from netdeconv.cli.main import COMMANDS
from netdeconv.data.registry import info, segmentation_info
from netdeconv.experiments import paper
from netdeconv.experiments.running.experiment import HEAD, ExperimentRow, experiment, names, read_head
from netdeconv.models import NormConfig
from netdeconv.nn import WhitenedLayer
from netdeconv.tasks import TASKS, Segmentation
from netdeconv.training.config import TrainingConfig
from netdeconv.training.optimizers import build_optimizer
from netdeconv.training.plain import from_plain, to_plain

NAMES = names()
REPOSITORY = Path(__file__).resolve().parents[2]


def rows() -> dict[str, ExperimentRow]:
    return {f"{name}: {label}": row for name in NAMES for label, row in experiment(name).rows.items()}


def entry_of(config: TrainingConfig) -> Any:
    """The data set's entry."""
    find = segmentation_info if isinstance(config.task, Segmentation) else info
    return find(config.data.dataset)


def what_is_built(config: TrainingConfig) -> tuple[object, ...]:
    """Rows that differ in rates, seeds, width or kind of whitening are built once."""
    network = config.network
    return network.arch, network.norm.whitens, config.task, entry_of(config).shape


_FOUND = {what_is_built(row.config): (name, row) for name, row in rows().items()}
# Whitening builds the plain network first.
DIFFERENT = {found: row for found, row in _FOUND.items() if found[1] or (found[0], True, *found[2:]) not in _FOUND}


@pytest.mark.parametrize("name", NAMES)
def test_every_head_is_complete_and_says_how_to_run_it(name):
    own = experiment(name)
    assert tuple(own.head) == HEAD
    assert all(own.head.values())
    words = own.head["Command"].split()
    assert words[:2] == ["netdeconv", "reproduce"]
    assert words[2] in NAMES
    assert own.rows
    assert own.head["Status"].split()[0] in ("measured", "being", "not")
    assert len(own.title) > 20


@pytest.mark.parametrize("name", NAMES)
def test_settings_survive_a_config_file(name):
    for row in list(experiment(name).rows.values())[:40]:
        assert from_plain(to_plain(row.config), TASKS) == row.config
        assert row.config.result_path is row.config.data.data_dir is None


@pytest.mark.parametrize(("name", "row"), DIFFERENT.values(), ids=[name for name, _ in DIFFERENT.values()])
def test_every_network_of_an_experiment_is_built(name, row):
    config = row.config
    with torch.device("meta"):
        network = config.task.build_network(config.network, entry_of(config))
    assert any(isinstance(m, WhitenedLayer) for m in network.modules()) == config.network.norm.whitens
    assert build_optimizer(network.parameters(), config.optimizer).param_groups
    assert config.data.validation_size or ", search" not in name, "a search is judged by images cut from train"


def test_the_paper_s_table_is_whole():
    assert len(paper.COLUMNS) == 6
    for dataset, epochs in paper.COLUMNS:
        name = f"table1-{'cifar100-' if dataset == 'cifar100' else ''}epoch{epochs}"
        found = experiment(name).rows
        assert len(found) == 20
        assert {(row.config.data.dataset, row.config.epochs) for row in found.values()} == {(dataset, epochs)}
        for label, row in found.items():
            if label.endswith(" paper") and row.expected:
                assert row.expected["paper"] > found[label.replace(" paper", " batch_norm")].expected["paper"]


def test_rows_of_the_paper_have_its_settings_and_numbers():
    found = experiment("table1-epoch1").rows
    plain, whitened = found["vgg16 batch_norm"], found["vgg16 paper"]
    assert plain.expected == {"paper": 14.12, "study": 14.38}
    assert whitened.expected == {"paper": 74.18, "study": 74.20}
    assert plain.config.network.norm == NormConfig()
    assert whitened.config.network.norm == NormConfig(name="paper")
    for row in (plain, whitened):
        optimizer, data = row.config.optimizer, row.config.data
        assert (optimizer.name, optimizer.lr, optimizer.momentum, optimizer.weight_decay) == ("SGD", 0.1, 0.9, 1e-3)
        assert (optimizer.schedule, optimizer.warmup, data.batch_size, data.validation_size) == ("cosine", 0, 128, 0)


def test_rows_are_selected_by_patterns_in_their_order():
    own = experiment("table1-epoch1")
    assert own.select([]) == list(own.rows)
    assert own.select(["vgg16 paper", "vgg16 *"]) == ["vgg16 batch_norm", "vgg16 paper"]
    with pytest.raises(
        ValueError, match=re.escape("unknown row of table1-epoch1 'vg16 paper'; did you mean 'vgg16 paper'?")
    ):
        own.select(["vg16 paper"])


def test_an_unknown_experiment_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown experiment 'mnist_mlp'; did you mean 'mnist-mlp'\?"):
        experiment("mnist_mlp")
    assert NAMES.index("table1-epoch20") < NAMES.index("table1-epoch100")


def test_a_head_that_lacks_a_field_is_refused():
    docstring = importlib.import_module("netdeconv.experiments.mnist_mlp").__doc__
    title, head = read_head(docstring)
    assert title.startswith("A perceptron")
    assert head["Source"].endswith("ten epochs.")
    with pytest.raises(ValueError, match="an experiment's head has the fields Command, Source"):
        read_head(docstring.replace("Spread:", "Speard:"))


RESULTS = [file for file in (REPOSITORY / "results").rglob("*.json") if file.parent.name != "tried"]


@pytest.mark.parametrize("file", RESULTS, ids=[file.stem for file in RESULTS])
def test_the_command_of_a_results_file_exists(file):
    program, name, *words = shlex.split(json.loads(file.read_text(encoding="utf-8"))["command"])
    if program == "netdeconv" and name == "reproduce":
        own = experiment(words[0])
        patterns = list(itertools.takewhile(lambda word: not word.startswith("--"), words[1:]))
        assert own.select(patterns)
    elif program == "netdeconv":
        assert name in COMMANDS
    elif name == "-m":
        package, _, module = words[0].partition(".")
        folder = REPOSITORY / package if module else REPOSITORY / "tests" / package
        assert (folder / f"{module or '__main__'}.py").exists()
    else:
        assert (REPOSITORY / name).exists()
