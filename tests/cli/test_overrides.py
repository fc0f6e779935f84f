"""netdeconv reproduce: a row's settings, with what is typed in the place of its own."""

from __future__ import annotations

import dataclasses
import functools
import shlex

import pytest

from netdeconv.cli import reproduce
from netdeconv.experiments.running.experiment import experiment
from netdeconv.models import NormConfig
from netdeconv.training.config import TrainingConfig

VGG = "table1-epoch1 'vgg16 paper'"


def config(line: str) -> TrainingConfig:
    """The settings of the row that a line names."""
    options, typed = reproduce.options_of(shlex.split(line))
    values = {place: functools.reduce(getattr, place.split("."), options.config) for place in typed}
    return reproduce.overridden(experiment(options.name).rows[options.rows[0]].config, values)


ROW = experiment("table1-epoch1").rows["vgg16 paper"].config


def changed(before: object, after: object, prefix: str = "") -> dict[str, object]:
    """Settings that differ, by their places."""
    found: dict[str, object] = {}
    for field in dataclasses.fields(before):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if dataclasses.is_dataclass(old) and dataclasses.is_dataclass(new):
            found |= changed(old, new, f"{prefix}{field.name}.")
        elif old != new:
            found[prefix + field.name] = new
    return found


def test_without_further_options_a_row_is_what_the_experiment_says():
    assert config(VGG) == ROW


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # also where what is typed is the default of the option
        ("--epochs 20", {"epochs": 20}),
        ("--lr .02 --wd 0", {"optimizer.lr": 0.02, "optimizer.weight_decay": 0.0}),
        ("--optimizer Adam --lr-scheduler constant", {"optimizer.name": "Adam", "optimizer.schedule": "constant"}),
        ("--epochs 4 --warmup 0.25", {"epochs": 4, "optimizer.warmup": 0.25}),
        ("--arch vgg11 --width .5", {"network.arch": "vgg11", "network.width": 0.5}),
        ("--batch-size 64 --validation-size 500", {"data.batch_size": 64, "data.validation_size": 500}),
        ("--data-dir there --download", {"data.data_dir": "there", "data.download": True}),
        ("--label-smoothing .1 --loss L2", {"task.label_smoothing": 0.1, "task.loss": "L2"}),
        ("--sync-statistics --seed 3", {"sync_statistics": True, "seed": 3}),
        ("--result-path here --threads 1 --msg False --num-workers 0", {"threads": 1}),
        ("--block-fc 64", {"network.norm.linear_group_size": 64}),
        ("--block-fc 0", {"network.norm.linear_group_size": 0}),
        ("--block 16 --eps 1e-3", {"network.norm.group_size": 16, "network.norm.eps": 1e-3}),
        ("--deconv-iter 7 --freeze False", {"network.norm.num_iterations": 7, "network.norm.freeze": False}),
        ("--norm group_norm --arch vgg11", {"network.arch": "vgg11", "network.norm.name": "group_norm"}),
    ],
)
def test_typed_options_override(options, expected):
    assert changed(ROW, config(f"{VGG} {options}")) == expected


def test_a_typed_default_overrides_too():
    search = "running-statistics 'digits, batch norm, seed 0'"
    assert config(search).optimizer.lr == 0.01
    assert config(f"{search} --lr 0.1").optimizer.lr == 0.1
    assert config(f"{VGG} --freeze True").network.norm.freeze is True


def test_other_tasks_can_be_overridden():
    label = "paper, search lr 0.1 wd 0.0001"
    found = config(f"camvid '{label}' --epochs 2 --block 16 --data-dir there --size 90 120")
    assert changed(experiment("camvid").rows[label].config, found) == {
        "epochs": 2,
        "data.data_dir": "there",
        "network.norm.group_size": 16,
        "task.views.size": (90, 120),
    }


def test_a_norm_that_is_typed_is_that_of_the_row_s_network():
    network = config("table1-epoch1 'mobilenet_v2 batch_norm' --norm paper --block 16").network
    assert (network.arch, network.norm) == ("mobilenet_v2", NormConfig(name="paper", group_size=16))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("table1-epoch", "unknown experiment 'table1-epoch'; did you mean 'table1-epoch"),
        ("table1-epoch1 'vgg16 batch_norm' --block 16", "group_size say how to whiten, but the norm is batch_norm"),
        (f"{VGG} --norm paper --deconv False", "contradict each other"),
        (f"{VGG} --optimizer adam", "did you mean 'Adam'"),
    ],
)
def test_what_makes_no_sense_is_refused(line, message):
    with pytest.raises(ValueError, match=message):
        config(line)
