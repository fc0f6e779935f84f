"""Inverse square roots and covariances of patches, with hand-written gradients. Needs torch alone."""

from netdeconv.linalg.converged import Converged
from netdeconv.linalg.covariance import patch_statistics
from netdeconv.linalg.eigen import Eigen
from netdeconv.linalg.geometry import PatchGeometry
from netdeconv.linalg.grouping import Grouping
from netdeconv.linalg.inverse_sqrt import Root, inverse_sqrt
from netdeconv.linalg.newton_schulz import NewtonSchulz
from netdeconv.linalg.patches import gather_patches

__all__ = [
    "Converged",
    "Eigen",
    "Grouping",
    "NewtonSchulz",
    "PatchGeometry",
    "Root",
    "gather_patches",
    "inverse_sqrt",
    "patch_statistics",
]
