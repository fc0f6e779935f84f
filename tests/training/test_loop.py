"""What a run measures, against an independent loop; what it refuses."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import statistics
import sys

import pytest
import torch
from torch.nn import functional

from netdeconv import models
from netdeconv.data.config import DataConfig
from netdeconv.data.splits import open_splits
from netdeconv.surgery import batch_statistics
from netdeconv.tasks import Classification
from netdeconv.training.config import OptimizerConfig
from netdeconv.training.measuring import evaluate
from netdeconv.training.session import run
from small_runs import StopAt, numbers, plain_config, small_config

CPU = torch.device("cpu")


def by_hand(config):
    """Three epochs of SGD with momentum and weight decay, written out, without Fabric or optimiser."""
    splits = open_splits(config.data, seed=config.seed, device=CPU)
    torch.manual_seed(config.seed)
    model = models.build(config.network.arch, num_classes=10, in_channels=1, width=config.network.width)
    velocity = [torch.zeros_like(parameter) for parameter in model.parameters()]
    total, step, records = 3 * len(splits.train), 0, []
    for epoch in (1, 2, 3):
        model.train()
        losses = []
        for inputs, targets in splits.train.epoch(epoch):
            lr = config.optimizer.lr * (1 + math.cos(math.pi * step / total)) / 2
            loss = functional.cross_entropy(model(inputs), targets)
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            with torch.no_grad():
                for p, v, g in zip(model.parameters(), velocity, gradients, strict=True):
                    v.mul_(0.9).add_(g + 1e-3 * p)
                    p.sub_(lr * v)
            losses.append(float(loss.detach()))
            step += 1
        model.eval()
        with torch.no_grad():
            outputs = torch.cat([model(inputs) for inputs, _ in splits.evaluation])
        labels = torch.cat([labels for _, labels in splits.evaluation])
        records.append(
            {
                "train_loss": statistics.mean(losses),
                "loss": float(functional.cross_entropy(outputs, labels)),
                "accuracy": 100 * float((outputs.argmax(1) == labels).double().mean()),
            }
        )
    return records


def test_clipped_gradients_move_the_weights_no_further(tmp_path):
    optimizer = OptimizerConfig(lr=1.0, momentum=0.0, weight_decay=0.0, schedule="constant", clip_norm=1e-3)
    result = run(plain_config(tmp_path / "run", precision="32-true", optimizer=optimizer, epochs=1))
    config = plain_config(tmp_path)
    torch.manual_seed(config.seed)
    start = models.build(config.network.arch, num_classes=10, in_channels=1, width=config.network.width)
    moved = [
        (now.detach() - then.detach()).square().sum()
        for now, then in zip(result.model.parameters(), start.parameters(), strict=True)
    ]
    steps = result.history[-1]["steps"]
    assert 0 < float(sum(moved)) ** 0.5 <= steps * 1e-3 * (1 + 1e-3)


def test_a_run_measures_what_a_loop_by_hand_measures(tmp_path):
    config = plain_config(tmp_path / "run", precision="32-true", seed=3, recalibration=0)
    result = run(config)
    expected = by_hand(config)
    assert len(result.history) == 3
    for record, other in zip(result.history, expected, strict=True):
        # 30 steps of float32 in another order of operations: 2^-23 times about a thousand.
        assert record["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
        assert record["loss"] == pytest.approx(other["loss"], rel=1e-4)
        # One of 500 images may change sides.
        assert record["accuracy"] == pytest.approx(other["accuracy"], abs=0.21)
    assert expected[-1]["accuracy"] > 20


def test_a_run_leaves_everything_about_it_in_its_directory(tmp_path):
    config = plain_config(tmp_path / "run")
    result = run(config)
    lines = [json.loads(line) for line in (result.path / "metrics.jsonl").read_text().splitlines()]
    assert lines == list(result.history)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    summary = json.loads((result.path / "summary.json").read_text())
    assert summary["accuracy"] == lines[-1]["accuracy"] == result.score
    assert summary["seconds"] == pytest.approx(sum(line["seconds"] for line in lines))
    assert json.loads((result.path / "config.json").read_text())["network"]["arch"] == "mlp"
    assert lines[0]["evaluated_on"] == "test"
    assert lines[-1]["lr"] < lines[0]["lr"] < 0.02


def test_the_same_settings_give_the_same_numbers_and_another_seed_others(tmp_path):
    first, again = (run(plain_config(tmp_path / name, epochs=1)) for name in ("a", "b"))
    other = run(plain_config(tmp_path / "c", epochs=1, seed=1))
    assert numbers(first.history) == numbers(again.history)
    assert numbers(first.history) != numbers(other.history)


def test_a_validation_split_is_what_is_evaluated(tmp_path):
    data = DataConfig(train_size=320, validation_size=97, batch_size=32)
    result = run(plain_config(tmp_path / "run", data=data, epochs=1))
    assert result.history[0]["evaluated_on"] == "validation"
    # A number of 97 images.
    share = result.score * 97 / 100
    assert share == pytest.approx(round(share), abs=1e-3)


def test_a_loss_that_is_not_finite_is_refused_with_its_step(tmp_path):
    config = plain_config(tmp_path / "run", optimizer=OptimizerConfig(lr=1e30), precision="32-true")
    with pytest.raises(FloatingPointError, match=r"loss is (nan|inf) at step 3 .*--check-finite"):
        run(config)


def test_the_named_step_is_that_of_its_epoch(tmp_path, monkeypatch):
    config = plain_config(tmp_path / "run")
    calls = []

    def loss(self, outputs, targets):
        calls.append(1)
        value = functional.cross_entropy(outputs, targets)
        return value * math.nan if len(calls) == 13 else value

    monkeypatch.setattr(Classification, "compute_loss", loss)
    # 10 steps in the first epoch: the thirteenth call is step 3 of the second.
    with pytest.raises(FloatingPointError, match=r"nan at step 3 of epoch 2"):
        run(config)
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1


@pytest.mark.filterwarnings("ignore:.*a batch with NaN:RuntimeWarning")
def test_checking_names_the_layer_where_it_begins(tmp_path):
    config = small_config(tmp_path / "run", check_finite=True, optimizer=OptimizerConfig(lr=1e30), precision="32-true")
    with pytest.raises(FloatingPointError, match="the input of layer"):
        run(config)


def test_batch_statistics_are_used_and_leave_no_trace(tmp_path):
    config = small_config(tmp_path)
    splits = open_splits(config.data, seed=0, device=CPU)
    model = Classification().build_network(config.network, splits.info).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    meter = Classification().meter
    running = evaluate(model, splits.evaluation, meter(10, CPU))
    with batch_statistics(model):
        batch = evaluate(model, splits.evaluation, meter(10, CPU))
    assert running["loss"] != batch["loss"]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())
    assert evaluate(model, splits.evaluation, meter(10, CPU)) == running
    model.train()
    with torch.no_grad():
        right = [model(inputs).argmax(1) == labels for inputs, labels in splits.evaluation]
    expected = 100 * float(torch.cat(right).double().mean())
    assert batch["accuracy"] == pytest.approx(expected, abs=1e-3)


def test_evaluating_with_other_statistics_does_not_change_training(tmp_path):
    plain = run(small_config(tmp_path / "a", epochs=2))
    both = run(small_config(tmp_path / "b", epochs=2, evaluate_all_statistics=True))
    extra = [f"{name}_{kind}_statistics" for name in ("loss", "accuracy") for kind in ("batch", "running")]
    assert all(name in record for record in both.history for name in extra)
    kept = [{name: v for name, v in record.items() if name not in extra} for record in both.history]
    assert numbers(kept) == numbers(plain.history)


@pytest.mark.parametrize("whitened", [True, False])
def test_statistics_are_those_of_training_batches_before_an_evaluation(tmp_path, whitened):
    config = small_config if whitened else plain_config
    result = run(config(tmp_path / "run", epochs=1, recalibration=4, evaluate_all_statistics=True))
    counts = [int(value) for name, value in result.model.state_dict().items() if name.endswith("num_batches_tracked")]
    assert set(counts) == {4}
    (record,) = result.history
    assert record["loss"] != record["loss_running_statistics"]
    left = run(config(tmp_path / "left", epochs=1, recalibration=0))
    assert left.history[0]["loss"] == record["loss_running_statistics"]
    with pytest.raises(ValueError, match="recalibration must be at least 0, got -1"):
        config(tmp_path, recalibration=-1)


def test_settings_of_the_process_are_put_back(tmp_path):
    torch.set_num_threads(2)
    run(plain_config(tmp_path / "run", epochs=1, threads=1))
    assert torch.get_num_threads() == 2
    tiny = torch.tensor(1e-39)
    assert float(tiny * 0.5) > 0


def test_a_network_without_biases_has_none_in_whitened_convolutions(tmp_path):
    config = small_config(tmp_path).network
    info = open_splits(DataConfig(), seed=0, device=CPU).info
    names = [name for name, _ in Classification().build_network(config, info).named_parameters()]
    bare = [
        name
        for name, _ in Classification()
        .build_network(dataclasses.replace(config, norm=dataclasses.replace(config.norm, bias=False)), info)
        .named_parameters()
    ]
    assert set(names) - set(bare) == {"0.bias", "4.bias"}


def test_loggers_note_every_epoch_of_every_session(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = plain_config(tmp_path / "run", epochs=2, loggers=("csv", "tensorboard"))
    with pytest.raises(KeyboardInterrupt):
        run(config, progress=StopAt(2, 1))
    result = run(config, resume=True)
    for session, record in zip(("version_0", "version_1"), result.history, strict=True):
        with (result.path / "csv" / session / "metrics.csv").open() as file:
            (row,) = csv.DictReader(file)
        assert float(row["accuracy"]) == record["accuracy"]
        events = EventAccumulator(str(result.path / "tensorboard" / session)).Reload()
        (event,) = events.Scalars("train_loss")
        # Events hold float32.
        assert (event.step, event.value) == (record["epoch"], pytest.approx(record["train_loss"], rel=1e-6))


def test_a_logger_without_its_package_says_what_to_install_and_keeps_no_folder(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_lightning.loggers", None)
    with pytest.raises(RuntimeError, match="pip install pytorch-lightning wandb"):
        run(plain_config(tmp_path / "run", epochs=1, loggers=("wandb",)))
    run(plain_config(tmp_path / "run", epochs=1))


def test_the_seconds_of_a_run_are_those_of_training(tmp_path):
    result = run(plain_config(tmp_path / "run", epochs=2))
    first, second = result.history
    assert second["cumulative_seconds"] == pytest.approx(first["seconds"] + second["seconds"])
    assert result.seconds == second["cumulative_seconds"]
    assert 0 < result.seconds_per_step < result.seconds
