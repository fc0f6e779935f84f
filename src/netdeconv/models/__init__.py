"""Networks of the paper's tables, each written once with plain torch layers and batch norm."""

from __future__ import annotations

from netdeconv.models.cost import Cost, cost
from netdeconv.models.entry import Architecture, StemSettings
from netdeconv.models.imagenet import (
    IMAGENET,
    ImagenetName,
    build_imagenet,
    imagenet_architecture,
    parse_imagenet_name,
)
from netdeconv.models.normalisation import NORMALISATIONS, Normalisation, NormConfig, normalise
from netdeconv.models.norms import BATCH_NORM, NORMS, replace_norms
from netdeconv.models.registry import ARCHITECTURES, architecture, build, list_names

__all__ = [
    "ARCHITECTURES",
    "BATCH_NORM",
    "IMAGENET",
    "NORMALISATIONS",
    "NORMS",
    "Architecture",
    "Cost",
    "ImagenetName",
    "NormConfig",
    "Normalisation",
    "StemSettings",
    "architecture",
    "build",
    "build_imagenet",
    "cost",
    "imagenet_architecture",
    "list_names",
    "normalise",
    "parse_imagenet_name",
    "replace_norms",
]
