"""ONNX, in floats and in 8-bit integers, and how such a file is run."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netdeconv.export.folding import ExportError, captured, need

_OPERATOR = re.compile(r"No (?:ONNX function|decompositions registered)[^<]*<OpOverload\(op='([^']+)'")


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
    need("onnx", "onnxscript")
    program = captured(model, example)
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
    need("onnxruntime")
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


def run_onnx(path: Path, *, threads: int = 0) -> Callable[[Tensor], Tensor]:
    """Return the function that an ONNX file computes, in onnxruntime on the processor.

    Args:
        path: the file.
        threads: of the processor; 0: onnxruntime's choice.

    Raises:
        ExportError: when onnxruntime is absent.
    """
    need("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy(force=True)})[0])


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
