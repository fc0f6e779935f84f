"""Inverse square roots and covariances of patches, with hand-written gradients. Needs torch alone."""

from netdeconv.linalg.converged import ConvergedNewtonSchulz
from netdeconv.linalg.covariance import patch_statistics
from netdeconv.linalg.eigendecomposition import Eigendecomposition
from netdeconv.linalg.geometry import PatchGeometry
from netdeconv.linalg.grouping import Grouping
from netdeconv.linalg.inverse_sqrt import inverse_sqrt, whitening_residual
from netdeconv.linalg.newton_schulz import NewtonSchulz
from netdeconv.linalg.patches import gather_patches, scatter_patches
from netdeconv.linalg.scale import patch_scale
from netdeconv.linalg.tap_covariance import tap_covariance

__all__ = [
    "ConvergedNewtonSchulz",
    "Eigendecomposition",
    "Grouping",
    "NewtonSchulz",
    "PatchGeometry",
    "gather_patches",
    "inverse_sqrt",
    "patch_scale",
    "patch_statistics",
    "scatter_patches",
    "tap_covariance",
    "whitening_residual",
]
