"""A run that diverges says so, with the right advice, and leaves no NaN in its files."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
from torchmetrics import MeanMetric

from netdeconv.data.batches import TrainingData
from netdeconv.tasks import Classification
from netdeconv.training.config import OptimizerConfig
from netdeconv.training.measuring import finite
from netdeconv.training.session import run
from small_runs import plain_config, small_config


def refusal(config) -> str:
    with pytest.raises(FloatingPointError) as caught:
        run(config)
    return str(caught.value)


def linear(path, **changes):
    config = plain_config(path, epochs=1, precision="32-true", **changes)
    return dataclasses.replace(config, network=dataclasses.replace(config.network, arch="linear"))


def test_an_evaluation_that_is_not_finite_ends_the_run_and_its_folder_takes_the_next(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(MeanMetric, "compute", lambda self: torch.tensor(math.nan))
        message = refusal(linear(tmp_path / "run"))
    assert message.startswith("the test loss is nan after epoch 1: the run has diverged")
    assert "NaN" not in "".join(file.read_text() for file in (tmp_path / "run").glob("*.json*"))
    corrected = run(linear(tmp_path / "run", optimizer=OptimizerConfig(lr=0.01)))
    assert corrected.history[0]["lr"] < 0.01
    assert json.loads((tmp_path / "run/config.json").read_text())["optimizer"]["lr"] == 0.01


def test_an_astronomic_loss_is_divergence(tmp_path):
    optimizer = OptimizerConfig(lr=1e12, momentum=0, weight_decay=0, schedule="constant")
    message = refusal(linear(tmp_path / "run", optimizer=optimizer))
    assert "diverged" in message
    assert "a lower learning rate may help" in message


def test_further_measurements_that_are_not_finite_are_null():
    assert finite({"a": math.nan, "b": -math.inf, "c": 1.0, "d": [1]}) == {"a": None, "b": None, "c": 1.0, "d": [1]}


def test_inputs_that_are_not_finite_are_named_before_the_learning_rate(tmp_path, monkeypatch):
    epoch = TrainingData.epoch

    def poisoned(self, number):
        for inputs, targets in epoch(self, number):
            inputs[0, 0, 0, :3] = math.nan
            yield inputs, targets

    monkeypatch.setattr(TrainingData, "epoch", poisoned)
    message = refusal(linear(tmp_path / "run"))
    assert "is nan at step 1 of epoch 1; before any update of the weights: --check-finite True names the" in message
    assert "learning rate" not in message
    assert "the input of layer '0' has 3 NaN" in refusal(linear(tmp_path / "checked", check_finite=True))


def test_weights_that_are_not_finite_are_named_before_the_learning_rate(tmp_path, monkeypatch):
    build = Classification.build_network

    def poisoned(task, config, info):
        network = build(task, config, info)
        with torch.no_grad():
            next(network.parameters())[0] = math.inf
        return network

    monkeypatch.setattr(Classification, "build_network", poisoned)
    message = refusal(linear(tmp_path / "run"))
    assert "before any update of the weights" in message
    assert "learning rate" not in message


@pytest.mark.filterwarnings("ignore:.*a batch with NaN:RuntimeWarning")
def test_checking_covers_evaluation(tmp_path, monkeypatch):
    from netdeconv.data.batches import EvaluationData

    batches = EvaluationData.__iter__

    def poisoned(self):
        for inputs, targets in batches(self):
            inputs[0, 0, 0, 0] = math.inf
            yield inputs, targets

    monkeypatch.setattr(EvaluationData, "__iter__", poisoned)
    for name, config in (("whitened", small_config), ("batch_norm", plain_config)):
        message = refusal(config(tmp_path / name, epochs=1, check_finite=True))
        assert message.startswith("the input of layer '0' has 0 NaN and 1 infinite of ")
