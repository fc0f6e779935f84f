"""Optional Triton kernels behind functions of ``netdeconv.linalg``, chosen at run time; the same results.

Importing this package needs neither Triton nor a GPU: the kernels are defined when the first of them is launched.
``NETDECONV_TRITON=0`` in the environment switches them off. Every function is also a custom operator of torch
(``torch.ops.netdeconv``), so that compilers can trace through it. The operators are forward only: they have no
derivative of their own and are called from hand-written autograd functions.
"""

from netdeconv.kernels.availability import usable
from netdeconv.kernels.patches import patch_statistics, supports_patch_statistics
from netdeconv.kernels.roots import (
    MAX_ROOT_SIZE,
    newton_schulz_root,
    newton_schulz_root_backward,
    supports_newton_schulz_root,
)

__all__ = [
    "MAX_ROOT_SIZE",
    "newton_schulz_root",
    "newton_schulz_root_backward",
    "patch_statistics",
    "supports_newton_schulz_root",
    "supports_patch_statistics",
    "usable",
]
