"""What every format starts from: a folded copy of the model, and a program captured of it."""

from __future__ import annotations

import copy
import importlib

import torch
from torch import Tensor, nn

from netdeconv.nn import WhitenedLayer
from netdeconv.surgery import fold


class ExportError(RuntimeError):
    """A model that a format cannot hold, or a package that is not installed; the message says what to do."""


def deployable(model: nn.Module) -> nn.Module:
    """Return a folded copy on the processor, in evaluation mode.

    Raises:
        ExportError: when a whitened layer cannot be folded.
    """
    copied = copy.deepcopy(model).cpu().eval()
    if any(isinstance(module, WhitenedLayer) for module in copied.modules()):
        copied = fold(copied)
    left = [name for name, module in copied.named_modules() if isinstance(module, WhitenedLayer)]
    if left:
        raise ExportError(f"{left[0]!r} is still whitened: fold leaves subclasses alone; replace it by a plain layer")
    for parameter in copied.parameters():  # a part of a larger tensor would be stored with all of it
        parameter.data = parameter.detach().clone(memory_format=torch.contiguous_format)
    return copied


def captured(model: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    """Return the folded model as a program for batches of any size; one image would be taken for a constant.

    Raises:
        ExportError: when the model's forward cannot be captured, with the reason.
    """
    example = example.cpu().contiguous()
    example = example if len(example) > 1 else torch.cat([example, example])
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    try:
        return torch.export.export(deployable(model), (example,), dynamic_shapes=shapes)
    except Exception as error:  # whatever the model's own code does with a tensor that has no values
        reason = " ".join(str(error).split())[:300]
        raise ExportError(
            f"torch.export cannot capture this model ({type(error).__name__}: {reason}): its forward may branch on "
            "values, or need a batch of one size"
        ) from error


def need(*packages: str) -> None:
    """Make sure that packages are installed.

    Raises:
        ExportError: when one is absent.
    """
    for package in packages:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise ExportError(f"{package} is not installed: pip install 'netdeconv[export]'") from error
