"""What a run does when asked: parts of a batch, averaged weights, early stop, best epoch, strict arithmetic."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from netdeconv.nn import WhitenedLayer
from netdeconv.surgery import recalibrate
from netdeconv.tasks import TASKS, Classification
from netdeconv.training.checkpoint import evaluated_weights, load_checkpoint
from netdeconv.training.plain import from_plain
from netdeconv.training.run_directory import read_config
from netdeconv.training.session import run
from netdeconv.training.update import averaged
from small_runs import plain_config, small_config


def with_validation(config, **changes):
    return dataclasses.replace(config, data=dataclasses.replace(config.data, validation_size=200), **changes)


def linear_config(path, **changes):
    """A network without normalisation: parts of a batch then make no difference."""
    network = dataclasses.replace(plain_config(path).network, arch="linear")
    return dataclasses.replace(plain_config(path), network=network, precision="32-true", epochs=1, **changes)


def test_parts_of_a_batch_give_the_gradient_of_the_whole(tmp_path):
    whole = run(linear_config(tmp_path / "whole"))
    parts = run(linear_config(tmp_path / "parts", accumulation=3))
    # 32 images in parts of 11, 11 and 10: equal but for the order of float32 sums over ten steps.
    for left, right in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        assert torch.allclose(left, right, rtol=1e-4, atol=1e-6)
    assert parts.history[0]["train_loss"] == pytest.approx(whole.history[0]["train_loss"], rel=1e-5)
    assert not torch.equal(next(whole.model.parameters()), torch.zeros_like(next(whole.model.parameters())))


def test_every_part_is_whitened_with_its_own_statistics(tmp_path):
    result = run(small_config(tmp_path / "run", accumulation=2, epochs=1, recalibration=0))
    layer = [module for module in result.model.modules() if isinstance(module, WhitenedLayer)][-1]
    assert int(layer.statistics.num_batches_tracked) == 2 * result.history[0]["steps"]


def test_averaged_weights_are_the_exponential_average_from_the_start_on():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    average = averaged(model, 0.75)
    expected = model.weight.detach().clone()
    for _ in range(5):
        with torch.no_grad():
            model.weight.add_(torch.randn(2, 3))
        average.update_parameters(model)
        expected = 0.75 * expected + 0.25 * model.weight.detach()
    assert torch.allclose(average.module.weight, expected, rtol=1e-5, atol=1e-6)


def test_statistics_of_averaged_batch_norm_are_those_of_the_batches():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).eval()
    batches = [torch.randn(6, 3) * 4 + 2 for _ in range(3)]
    recalibrate(model, batches)
    features = [model[0](batch) for batch in batches]
    mean = torch.stack([feature.mean(0) for feature in features]).mean(0)
    variance = torch.stack([feature.var(0) for feature in features]).mean(0)
    assert torch.allclose(model[1].running_mean, mean, rtol=1e-5, atol=1e-5)
    assert torch.allclose(model[1].running_var, variance, rtol=1e-5, atol=1e-5)
    assert not model[1].training
    assert model[1].momentum == 0.1


def test_averaged_weights_are_what_a_run_returns(tmp_path):
    result = run(small_config(tmp_path / "run", averaging=0.9, recalibration=3, epochs=1))
    saved = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    weight = next(iter(result.model.parameters()))
    assert not torch.equal(weight, next(iter(saved["model"].values())))
    assert torch.equal(weight, next(iter(evaluated_weights(saved).values())))


def test_mixed_and_smoothed_targets_are_never_met(tmp_path):
    task = Classification(label_smoothing=0.1, mixup=0.4)
    mixed = run(plain_config(tmp_path / "mixed", task=task, epochs=1))
    plain = run(plain_config(tmp_path / "plain", epochs=1))
    assert mixed.history[-1]["train_loss"] > plain.history[-1]["train_loss"]


def test_new_settings_survive_a_file(tmp_path):
    config = with_validation(small_config(tmp_path / "run", accumulation=2, averaging=0.9, epochs=1))
    run(config)
    assert from_plain(read_config(tmp_path / "run"), TASKS) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"accumulation": 0}, "accumulation must be at least 1"),
        ({"averaging": 1.0}, r"averaging must be in \[0, 1\)"),
        ({"checkpoint_minutes": -1}, "checkpoint_minutes must be at least 0, got -1"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        small_config(tmp_path, **change)
