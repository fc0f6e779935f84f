"""Deployment files of a model: torch.export, ONNX, int8 ONNX, safetensors, AOTInductor.

Every function folds a copy of the model, so that plain torch layers are left, and writes that, for batches of any size.
"""

from netdeconv.export.compared import Agreement, agreement
from netdeconv.export.folding import ExportError, deployable
from netdeconv.export.onnx import run_onnx, to_int8, to_onnx
from netdeconv.export.programs import run_package, to_package, to_program, to_safetensors

__all__ = [
    "Agreement",
    "ExportError",
    "agreement",
    "deployable",
    "run_onnx",
    "run_package",
    "to_int8",
    "to_onnx",
    "to_package",
    "to_program",
    "to_safetensors",
]
