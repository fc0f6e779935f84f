"""Checkpoints: written whole or not at all, tensors and plain data only, refused when they do not fit."""

from __future__ import annotations

import contextlib
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_SHOWN_KEYS = 4


class CheckpointError(RuntimeError):
    """A checkpoint that is damaged or belongs to another network."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a small file so that a reader finds the old content or the new, never a part."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _replace(partial, path)


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain data so that a stop at any moment leaves the old file or the new.

    Raises:
        CheckpointError: when the disk is full or refuses, with what is left of the run.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        _replace(partial, path)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)  # a part of a checkpoint only fills the disk further
        rest = f"the last good checkpoint is intact in {path}" if path.exists() else "there is no earlier one"
        reason = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), type(error).__name__)
        raise CheckpointError(f"cannot write the checkpoint ({reason}); {rest}") from error


def _replace(partial: Path, path: Path) -> None:
    os.replace(partial, path)
    # The new name is on the disk only once its folder is; not every system can open folders.
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is executed.

    Raises:
        CheckpointError: when the file is truncated, damaged, or holds more than tensors and plain data.
        FileNotFoundError: when there is no such file.
    """
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise _damaged(path, "its archive has no end")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, OSError, pickle.UnpicklingError) as error:
        raise _damaged(path, next(iter(str(error).strip().splitlines()), type(error).__name__)) from error
    if not isinstance(state, dict) or "model" not in state:
        raise CheckpointError(f"{path} is not a checkpoint of a run: it holds no model")
    return state


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} is truncated, damaged or not a checkpoint ({reason})")


def require_fit(model: nn.Module, saved: Mapping[str, Tensor], path: Path) -> None:
    """Make sure that saved weights and buffers are those of a network.

    Raises:
        CheckpointError: when the network is another one, with the keys that differ.
    """
    own = model.state_dict()
    differences = {
        "missing in the file": [key for key in own if key not in saved],
        "unknown to the network": [key for key in saved if key not in own],
        "of another shape": [
            f"{key} {tuple(saved[key].shape)} for {tuple(own[key].shape)}"
            for key in own
            if key in saved and own[key].shape != saved[key].shape
        ],
    }
    found = [f"{len(keys)} {what}: {_shorten(keys)}" for what, keys in differences.items() if keys]
    if found:
        raise CheckpointError(f"{path} belongs to another network. Keys {'; '.join(found)}")


def restore_model(model: nn.Module, saved: Mapping[str, Tensor], path: Path) -> None:
    """Load weights and buffers, all of them or none.

    Raises:
        CheckpointError: when the network is another one, with the keys that differ.
    """
    require_fit(model, saved, path)
    model.load_state_dict(saved)


def _shorten(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN_KEYS]) + (", ..." if len(keys) > _SHOWN_KEYS else "")
