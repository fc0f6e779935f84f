"""Settings: frozen, validated, plain data and back; schedules and optimisers by name."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from torch import nn

from netdeconv.models import NormConfig
from netdeconv.tasks import TASKS, Classification
from netdeconv.training.config import NetworkConfig, OptimizerConfig
from netdeconv.training.devices import resolve_precision
from netdeconv.training.optimizers import OPTIMIZERS, SCHEDULES, build_optimizer, learning_rate
from netdeconv.training.plain import differing_settings, from_plain, to_plain
from small_runs import plain_config, small_config


@pytest.mark.parametrize("make", [small_config, plain_config])
def test_settings_survive_a_file(tmp_path, make):
    config = make(tmp_path)
    assert from_plain(json.loads(json.dumps(to_plain(config))), TASKS) == config


def test_false_and_none_stay_apart_in_a_file(tmp_path):
    norm = NormConfig(name="paper", stem=False, freeze=None)
    config = small_config(tmp_path, network=NetworkConfig(norm=norm))
    back = from_plain(json.loads(json.dumps(to_plain(config))), TASKS)
    assert back.network.norm.stem is False
    assert back.network.norm.freeze is None


@pytest.mark.parametrize("change", [{"sed": 1}, {"task": {"name": "clasification"}}, {"data": {"datset": "digits"}}])
def test_unknown_settings_are_refused(tmp_path, change):
    plain = {**to_plain(plain_config(tmp_path)), **change}
    with pytest.raises(ValueError, match="not the settings of a run"):
        from_plain(plain, TASKS)


def test_differences_are_named_and_folders_are_none(tmp_path):
    config = plain_config(tmp_path / "a")
    saved = to_plain(dataclasses.replace(config, result_path="elsewhere", threads=7, loggers=("csv",)))
    assert differing_settings(config, saved) == {}
    saved["optimizer"]["lr"] = 0.5
    assert differing_settings(config, saved) == {"optimizer.lr": "optimizer.lr was 0.5, not 0.02"}


def test_a_saved_run_may_have_settings_that_are_no_more_with_the_value_of_today(tmp_path):
    config = plain_config(tmp_path)
    saved = to_plain(config)
    saved["data"] |= {"decode": "workers", "skip_corrupt": False, "verify": True, "num_classes": 10}
    saved["parallel"] = {
        "devices": None,
        "nodes": 2,
        "strategy": "ddp",
        "sync_statistics": saved.pop("sync_statistics"),
    }
    saved["keep_best"] = True
    assert from_plain(saved, TASKS) == config
    assert differing_settings(config, saved) == {}
    saved["data"]["decode"] = "device"
    with pytest.raises(ValueError, match="not the settings of a run: 'decode'"):
        from_plain(saved, TASKS)


def test_settings_that_an_older_version_lacked_count_as_their_defaults(tmp_path):
    """A finished run stays resumable when settings are added, unless the new run sets them."""
    config = small_config(tmp_path, network=NetworkConfig(norm=NormConfig(name="paper")))
    saved = to_plain(config)
    del saved["network"]["norm"]["rows_per_feature"]
    assert differing_settings(config, saved) == {}
    changed = NetworkConfig(norm=NormConfig(name="paper", rows_per_feature=2))
    assert differing_settings(dataclasses.replace(config, network=changed), saved) == {
        "network.norm.rows_per_feature": "network.norm.rows_per_feature was None, not 2"
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"precision": "16"}, "unknown precision '16'"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        plain_config(tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "sgd"}, r"unknown optimizer 'sgd'; did you mean 'SGD'\?"),
        ({"schedule": "cosin"}, r"did you mean 'cosine'\?"),
        ({"lr": -0.1}, "lr must be at least 0, got -0.1"),
        ({"lr": float("nan")}, "lr must be at least 0, got nan"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0, got -1.0"),
        ({"warmup": 1.0}, r"warmup must be in \[0, 1\), got 1.0"),
        ({"clip_norm": 0.0}, "clip_norm must be positive: with 0 no weight moves"),
    ],
)
def test_optimiser_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        OptimizerConfig(**changes)


def test_an_unknown_loss_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown loss 'L1'; did you mean 'L2'\?"):
        Classification(loss="L1")


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        # cos(pi/4) is 0.70711
        ("cosine", [1.0, 0.853553, 0.5, 0.146447]),
        ("multistep", [1.0, 1.0, 0.1, 0.01]),
        ("constant", [1.0, 1.0, 1.0, 1.0]),
        # 0.75, 0.5 and 0.25 to the power of 0.9
        ("poly", [1.0, 0.771887, 0.535887, 0.287175]),
    ],
)
def test_schedules_have_their_values_at_the_quarters(name, factors):
    assert name in SCHEDULES
    config = OptimizerConfig(lr=2.0, schedule=name)
    assert [learning_rate(config, step, 4) / 2 for step in range(4)] == pytest.approx(factors, rel=1e-5)


def test_warmup_rises_to_the_schedule():
    config = OptimizerConfig(lr=2.0, schedule="cosine", warmup=0.5)
    assert [learning_rate(config, step, 6) for step in range(6)] == pytest.approx([0.5, 1.0, 1.5, 2.0, 1.5, 0.5])


def test_amsgrad_keeps_the_largest_second_moment():
    optimizer = build_optimizer([nn.Parameter(torch.zeros(1))], OptimizerConfig(name="AMSGrad"))
    assert optimizer.defaults["amsgrad"] is True


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_has_the_settings_and_descends(name):
    config = OptimizerConfig(name=name, lr=0.01, momentum=0.8, weight_decay=0.125)
    parameter = nn.Parameter(torch.tensor([1.0]))
    optimizer = build_optimizer([parameter], config)
    settings = optimizer.defaults
    assert settings["weight_decay"] == 0.125
    assert settings["betas"][0] == 0.8 if "betas" in settings else settings["momentum"] == 0.8
    for _ in range(5):
        optimizer.zero_grad()
        parameter.square().sum().backward()
        optimizer.step()
    assert 0 < float(parameter.detach()) < 1


def test_bfloat16_is_chosen_only_where_the_processor_is_fast_at_it(monkeypatch):
    cpu = torch.device("cpu")
    for capabilities, expected in (
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16-mixed"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16-mixed"),
        ({"avx2": True, "avx512_bf16": False}, "32-true"),
        ({}, "32-true"),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        assert resolve_precision("auto", cpu) == expected
    assert resolve_precision("32-true", cpu) == "32-true"
    assert resolve_precision("bf16-mixed", cpu) == "bf16-mixed"
