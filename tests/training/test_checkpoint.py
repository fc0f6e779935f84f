"""Checkpoints are whole, safe to load, and refused when they do not fit."""

from __future__ import annotations

import errno
import os
import pickle

import pytest
import torch
from torch import nn

from netdeconv import models
from netdeconv.training.checkpoint import CheckpointError, load_checkpoint, restore_model, save_checkpoint


def a_model() -> nn.Module:
    return models.build("lenet", num_classes=10, in_channels=1, width=0.5)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"model": a_model().state_dict(), "epoch": 1})
    return path


def test_what_was_saved_is_loaded(tmp_path):
    model = a_model()
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"model": model.state_dict(), "history": [{"epoch": 1, "loss": 0.25}]})
    state = load_checkpoint(path)
    assert state["history"] == [{"epoch": 1, "loss": 0.25}]
    other = a_model()
    restore_model(other, state["model"], path)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused_with_its_name(saved, kept):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt is truncated, damaged or not a checkpoint"):
        load_checkpoint(saved)


def test_a_flipped_bit_is_noticed(saved):
    content = bytearray(saved.read_bytes())
    values = next(iter(load_checkpoint(saved)["model"].values())).numpy().tobytes()
    content[content.index(values) + 3] ^= 1
    saved.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt is .*damaged.* \(the checksum of .* is wrong\)"):
        load_checkpoint(saved)


def test_a_file_that_would_run_code_is_refused_and_does_not_run(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "harmed"),))

    path = tmp_path / "checkpoint.pt"
    torch.save({"model": Harmful()}, path)
    with pytest.raises(CheckpointError, match=r"checkpoint \(it names posix\.mkdir, which could run") as caught:
        load_checkpoint(path)
    assert "weights_only" not in str(caught.value)
    path.write_bytes(pickle.dumps({"model": Harmful()}))
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_checkpoint(path)
    assert not (tmp_path / "harmed").exists()


def test_a_file_without_a_model_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"weights": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="holds no model"):
        load_checkpoint(path)


def test_another_architecture_is_refused_with_the_keys(saved):
    other = models.build("mlp", num_classes=10, in_channels=1)
    message = r'checkpoint\.pt belongs to another network: Missing key\(s\) in state_dict: "2.weight", .* Unexpected'
    with pytest.raises(CheckpointError, match=message):
        restore_model(other, load_checkpoint(saved)["model"], saved)


def test_another_width_is_refused_with_the_shapes(saved):
    other = models.build("lenet", num_classes=10, in_channels=1, width=1.0)
    with pytest.raises(CheckpointError, match=r"size mismatch for 0.weight: .*\[3, 1, 5, 5\].*\[6, 1, 5, 5\]"):
        restore_model(other, load_checkpoint(saved)["model"], saved)


def test_saving_over_a_checkpoint_that_cannot_be_replaced_keeps_it(saved, monkeypatch):
    before = saved.read_bytes()

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"No space left on device\); the last good checkpoint is intact in .*pt"):
        save_checkpoint(saved, {"model": {}})
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]
