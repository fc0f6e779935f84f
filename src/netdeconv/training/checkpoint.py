"""Checkpoints: written whole or not at all, tensors and plain data only, refused when they do not fit."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.tensor import DTensor

_SHOWN_KEYS = 4


class CheckpointError(RuntimeError):
    """A checkpoint that is damaged or belongs to another network."""


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write a file so that a reader finds the old content or the new, never a part.

    Raises:
        OSError: with the file's name, when the disk is full or refuses; the old content stays.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)  # a part of a file only fills the disk further
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    # The new name is on the disk only once its folder is; not every system can open folders.
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain data so that a stop at any moment leaves the old file or the new.

    Raises:
        CheckpointError: when the disk is full or refuses, with what is left of the run.
    """
    content = io.BytesIO()  # torch's own writer does not say why a file cannot be written
    torch.save(dict(state), content)
    try:
        write_atomically(path, content.getbuffer())
    except OSError as error:
        rest = f"the last good checkpoint is intact in {path}" if path.exists() else "there is no earlier one"
        raise CheckpointError(f"cannot write the checkpoint ({error.strerror}); {rest}") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is executed.

    Raises:
        CheckpointError: when the file is truncated, damaged, or holds more than tensors and plain data.
        OSError: when there is no such file, or it cannot be read.
    """
    path.open("rb").close()  # an error of the system is one of its own
    try:
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()  # torch does not compare the checksums
        if part is None:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        code = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if code is not None:
            raise CheckpointError(
                f"{path} is refused: it names {code[1]}, which could run as code, and is not a checkpoint of this "
                "program, whose checkpoints hold tensors and plain data only"
            ) from error
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        if isinstance(error, pickle.UnpicklingError):
            reason = "its contents cannot be read"  # torch goes on with advice to read them without protection
        raise CheckpointError(f"{path} is truncated, damaged or not a checkpoint ({reason})") from error
    if part is not None:
        raise CheckpointError(f"{path} is damaged: the checksum of {part} is wrong")
    if not isinstance(state, dict) or "model" not in state:
        raise CheckpointError(f"{path} is not a checkpoint of a run: it holds no model")
    return state


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
    found = [
        f"{len(keys)} {what}: {', '.join(keys[:_SHOWN_KEYS])}{', ...' if len(keys) > _SHOWN_KEYS else ''}"
        for what, keys in differences.items()
        if keys
    ]
    if found:
        raise CheckpointError(f"{path} belongs to another network. Keys {'; '.join(found)}")


def restore_model(model: nn.Module, saved: Mapping[str, Tensor], path: Path) -> None:
    """Load whole weights and buffers, all of them or none; every process of a sharded network has to call it.

    Raises:
        CheckpointError: when the network is another one, with the keys that differ.
    """
    require_fit(model, saved, path)
    if is_sharded(model):
        set_model_state_dict(model, dict(saved), options=StateDictOptions(full_state_dict=True))
    else:
        model.load_state_dict(saved)


def is_sharded(model: nn.Module) -> bool:
    """Whether parameters are spread over processes."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def evaluated_weights(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights that a run evaluated: the averaged ones where there are such, else the network's."""
    own = {
        key.removeprefix("module."): value
        for key, value in state.get("average", {}).items()
        if key.startswith("module.")
    }
    return own or state["model"]
