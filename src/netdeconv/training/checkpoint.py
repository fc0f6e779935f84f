"""Checkpoints: written whole or not at all, tensors and plain data only, refused when they do not fit."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import re
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


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
        if part is not None:
            raise ValueError(f"the checksum of {part} is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or "model" not in state:
            raise ValueError("it holds no model")
    except pickle.UnpicklingError as error:  # torch goes on with advice to read it without protection
        code = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it names {code[1]}, which could run as code" if code else "its contents cannot be read"
        raise CheckpointError(f"{path} is refused: {reason}; checkpoints hold tensors and plain data only") from error
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise CheckpointError(f"{path} is truncated, damaged or not a checkpoint ({reason})") from error
    return state


def restore_model(model: nn.Module, saved: Mapping[str, Tensor], path: Path) -> None:
    """Load weights and buffers.

    Raises:
        CheckpointError: when the network is another one, with the first keys that differ.
    """
    try:
        model.load_state_dict(saved)
    except RuntimeError as error:
        keys = textwrap.shorten(str(error).partition("\n")[2], 400, placeholder=" ...")
        raise CheckpointError(f"{path} belongs to another network: {keys}") from error


def evaluated_weights(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights that a run evaluated: the averaged ones where there are such, else the network's."""
    average = state.get("average", {}).items()
    own = {key.removeprefix("module."): value for key, value in average if key.startswith("module.")}
    return own or state["model"]
