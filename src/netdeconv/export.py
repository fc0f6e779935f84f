"""Deployment files of a model: torch.export, ONNX, int8 ONNX, safetensors, AOTInductor.

Every function folds a copy of the model, so that plain torch layers are left, and writes that, for batches of any size.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netdeconv.nn import WhitenedLayer
from netdeconv.surgery import fold

_OPERATOR = re.compile(r"No (?:ONNX function|decompositions registered)[^<]*<OpOverload\(op='([^']+)'")


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


def to_program(model: nn.Module, example: Tensor, path: Path) -> None:
    """Write a program of ``torch.export`` (``.pt2``).

    Args:
        model: whitened or plain.
        example: one batch of inputs.
        path: the file.

    Raises:
        ExportError: when the model's forward cannot be captured, with the reason.
    """
    torch.export.save(_captured(model, example), path)


def to_onnx(model: nn.Module, example: Tensor, path: Path) -> None:
    """Write ONNX with torch's exporter on top of ``torch.export``; input ``images``.

    Args:
        model: whitened or plain.
        example: one batch of inputs.
        path: the file.

    Raises:
        ExportError: when onnx or onnxscript is absent, the model's forward cannot be captured, or ONNX lacks one of
            its operators, with the operator's name.
    """
    _need("onnx", "onnxscript")
    program = _captured(model, example)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of packages about each other
            made = torch.onnx.export(program, input_names=["images"], dynamo=True, verbose=False)
    except torch.onnx.OnnxExporterError as error:
        raise ExportError(_lacking(error)) from error
    assert made is not None
    made.save(path, external_data=False)


def to_int8(model: nn.Module, example: Tensor, path: Path, *, batches: Iterable[Tensor]) -> None:
    """Write ONNX whose weights and activations are 8-bit integers, by onnxruntime's static quantisation.

    Args:
        model: whitened or plain.
        example: one batch of inputs.
        path: the file.
        batches: inputs that show the range of the activations; some hundreds of training images are enough.

    Raises:
        ExportError: as :func:`to_onnx` does.

    Numerics:
        Weights have a scale for each output channel, for folding spreads their magnitudes, and 7 bits, for products of
        8 bits overflow on processors without VNNI.
    """
    _need("onnxruntime")
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter(batches)

        def get_next(self) -> dict[str, Any] | None:
            return next(({"images": batch.numpy(force=True)} for batch in self.batches), None)

    whole = path.with_name(path.name + ".float")
    try:
        to_onnx(model, example, whole)
        quant_pre_process(str(whole), str(whole), skip_symbolic_shape=True)
        quantization.quantize_static(str(whole), str(path), Reader(), per_channel=True, reduce_range=True)
    finally:
        whole.unlink(missing_ok=True)


def to_safetensors(model: nn.Module, path: Path) -> None:
    """Write the folded model's state_dict.

    Raises:
        ExportError: when safetensors is absent.
    """
    _need("safetensors")
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
    torch._inductor.aoti_compile_and_package(_captured(model, _plainly_strided(example)), package_path=str(path))


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


def run_onnx(path: Path, *, threads: int = 0) -> Callable[[Tensor], Tensor]:
    """Return the function that an ONNX file computes, in onnxruntime on the processor.

    Args:
        path: the file.
        threads: of the processor; 0: onnxruntime's choice.

    Raises:
        ExportError: when onnxruntime is absent.
    """
    _need("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy(force=True)})[0])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """How the outputs of an exported model compare with the model's own.

    Args:
        predictions: that were compared: of images, or of pixels.
        same_top1: of these, with the same class on top.
        difference: largest difference of any output, relative to the largest output.
        accuracy: of the model, per cent; labels that are no class, such as 255, do not count.
        accuracy_exported: of the exported model, per cent.
    """

    predictions: int
    same_top1: int
    difference: float
    accuracy: float
    accuracy_exported: float


@torch.no_grad()
def agreement(
    model: nn.Module, exported: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]
) -> Agreement:
    """Compare a model in evaluation mode with what was exported of it.

    Args:
        model: whitened or plain.
        exported: from images to class scores.
        batches: images, normalised, and labels or masks.
    """
    count = labelled = same = right = right_exported = 0
    largest = difference = 0.0
    for inputs, labels in batches:
        expected, actual = model(inputs).float().cpu(), exported(inputs.contiguous()).float().cpu()
        labels, top, exported_top = labels.cpu(), expected.argmax(1), actual.argmax(1)
        count += labels.numel()
        labelled += int((labels < expected.shape[1]).sum())
        same += int((top == exported_top).sum())
        right += int((top == labels).sum())
        right_exported += int((exported_top == labels).sum())
        largest = max(largest, float(expected.abs().max()))
        difference = max(difference, float((actual - expected).abs().max()))
    return Agreement(
        predictions=count,
        same_top1=same,
        difference=difference / largest,
        accuracy=100 * right / labelled,
        accuracy_exported=100 * right_exported / labelled,
    )


def _captured(model: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    """The folded model as a program for batches of any size; one image would be taken for a constant."""
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


def _need(*packages: str) -> None:
    for package in packages:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise ExportError(f"{package} is not installed: pip install 'netdeconv[export]'") from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _lacking(error: BaseException) -> str:
    """Which operator ONNX lacks, and what to do."""
    found = [match.group(1) for cause in _causes(error) for match in _OPERATOR.finditer(str(cause))]
    if not found:
        return f"the ONNX exporter failed: {' '.join(str(error).split())[:300]}"
    return (
        f"ONNX has no operator for {found[0]}: replace what calls it, teach torch.onnx.export the operator with "
        "custom_translation_table, or export a program or a package instead"
    )
