"""Figures: returned, never shown; no backend is chosen."""

from __future__ import annotations

from netdeconv.viz.curves import curves
from netdeconv.viz.embedded import photographs, read_image
from netdeconv.viz.layers import memory, ranks, sparsity, spectra, training_memory, weight_norms
from netdeconv.viz.overlays import labelled_overlay, overlay, panels
from netdeconv.viz.rates import rate_map
from netdeconv.viz.samples import LayerSample, deconvolve, sample_layers
from netdeconv.viz.style import save
from netdeconv.viz.whitening import covariances, images, whitening_filters

__all__ = [
    "LayerSample",
    "covariances",
    "curves",
    "deconvolve",
    "images",
    "labelled_overlay",
    "memory",
    "overlay",
    "panels",
    "photographs",
    "ranks",
    "rate_map",
    "read_image",
    "sample_layers",
    "save",
    "sparsity",
    "spectra",
    "training_memory",
    "weight_norms",
    "whitening_filters",
]
