"""Files that torch reads: a program of torch.export, a package of AOTInductor, weights as safetensors."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from netdeconv.export.folding import ExportError, captured, deployable, need


def to_program(model: nn.Module, example: Tensor, path: Path) -> None:
    """Write a program of ``torch.export`` (``.pt2``).

    Args:
        model: whitened or plain.
        example: one batch of inputs.
        path: the file.

    Raises:
        ExportError: when the model's forward cannot be captured, with the reason.
    """
    torch.export.save(captured(model, example), path)


def to_safetensors(model: nn.Module, path: Path) -> None:
    """Write the folded model's state_dict.

    Raises:
        ExportError: when safetensors is absent.
    """
    need("safetensors")
    from safetensors.torch import save_model

    save_model(deployable(model), str(path))


def to_package(model: nn.Module, example: Tensor, path: Path) -> None:
    """Write a compiled library with AOTInductor (``.pt2``), for this kind of processor.

    It takes the strides of its input to be those of a fresh contiguous tensor, and does not look: images that were
    permuted from (N, H, W, C) give wrong results in silence. :func:`run_package` copies them.

    Args:
        model: whitened or plain.
        example: one batch of inputs.
        path: the file.

    Raises:
        ExportError: when there is no C++ compiler, or the model's forward cannot be captured.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise ExportError(f"AOTInductor needs a C++ compiler, and there is no {compiler}: install one, or set CXX")
    torch._inductor.aoti_compile_and_package(captured(model, _plainly_strided(example)), package_path=str(path))


def run_package(path: Path) -> Callable[[Tensor], Tensor]:
    """Return the function that a package of AOTInductor computes, for inputs of any strides.

    Args:
        path: the file.
    """
    run = torch._inductor.aoti_load_package(str(path))
    return lambda images: run(_plainly_strided(images))


def _plainly_strided(images: Tensor) -> Tensor:
    """A copy: ``contiguous`` keeps images of one channel, whose strides are those of channels_last, too."""
    return images.clone(memory_format=torch.contiguous_format)
