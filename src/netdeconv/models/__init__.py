"""Networks of the paper's tables, each written once with plain torch layers and batch norm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdeconv.lazy import lazy_names

if TYPE_CHECKING:
    from netdeconv.models.entry import IMAGENET, Architecture
    from netdeconv.models.imagenet import build_imagenet, imagenet_architecture
    from netdeconv.models.norm_config import BATCH_NORM, NORMALISATIONS, PLAIN_NORMS, NormChanges, NormConfig
    from netdeconv.models.normalisation import normalise, replace_norms
    from netdeconv.models.registry import ARCHITECTURES, architecture, build, list_names
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "ARCHITECTURES",
    "BATCH_NORM",
    "IMAGENET",
    "NORMALISATIONS",
    "PLAIN_NORMS",
    "Architecture",
    "NormChanges",
    "NormConfig",
    "architecture",
    "build",
    "build_imagenet",
    "imagenet_architecture",
    "list_names",
    "normalise",
    "replace_norms",
]
