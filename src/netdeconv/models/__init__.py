"""Networks of the paper's tables, each written once with plain torch layers and batch norm."""

from __future__ import annotations

from netdeconv.models.entry import Architecture, StemSettings
from netdeconv.models.registry import ARCHITECTURES, architecture, build, list_names

__all__ = ["ARCHITECTURES", "Architecture", "StemSettings", "architecture", "build", "list_names"]
