"""Whether kernels can run where a tensor is. Plain Python, which compilers trace without a break."""

from __future__ import annotations

import importlib.util
import os

import torch
from torch import Tensor

# Looked for, not imported: importing Triton takes a good part of a second and is left to the first launch.
_TRITON_IS_INSTALLED = importlib.util.find_spec("triton") is not None
# Ampere is the first generation with the asynchronous copies and tensor-core formats that Triton's compiler relies on.
_LEAST_CAPABILITY = 8


def usable(tensor: Tensor) -> bool:
    """Whether kernels can run where a tensor is.

    Args:
        tensor: only its device matters. Which shapes and dtypes a kernel takes is said by its own ``supports_...``.

    Shapes:
        any.

    Returns:
        Whether Triton is installed, not switched off by ``NETDECONV_TRITON=0``, and the tensor is on an NVIDIA GPU of
        compute capability 8 or higher. With Triton's interpreter (``TRITON_INTERPRET=1``) also on the processor.

        A compiled graph keeps the answer it was traced with.

    Example:
        >>> kernels.usable(torch.zeros(1, device="meta"))
        False
    """
    if not _TRITON_IS_INSTALLED or os.environ.get("NETDECONV_TRITON", "1") == "0":
        return False
    if tensor.is_cuda:
        # an AMD GPU calls itself cuda too; nothing here was tried on one
        return torch.version.hip is None and (
            torch.cuda.get_device_properties(tensor.device).major >= _LEAST_CAPABILITY
        )
    return tensor.device.type == "cpu" and os.environ.get("TRITON_INTERPRET", "0") == "1"
