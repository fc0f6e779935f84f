"""Weights of the classes in the loss, from how often their pixels occur in the training masks.

Shape letters: C classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from netdeconv.data import DataConfig
from netdeconv.data.segmentation import Views, segmentation_info, training_source
from netdeconv.lookup import look_up


def _inverse(pixels_C: Tensor, possible_C: Tensor) -> Tensor:
    """So that every class that occurs has the same weight in all."""
    del possible_C
    return pixels_C.sum() / ((pixels_C > 0).sum() * pixels_C)


def _median(pixels_C: Tensor, possible_C: Tensor) -> Tensor:
    """The median of the frequencies over a class's own, each of the images that the class occurs in."""
    frequencies_C = pixels_C / possible_C
    return frequencies_C[pixels_C > 0].quantile(0.5) / frequencies_C


CLASS_WEIGHTS: dict[str, Callable[[Tensor, Tensor], Tensor] | None] = {
    "none": None,
    "median": _median,
    "inverse": _inverse,
}


def class_weights(kind: str, config: DataConfig, views: Views) -> tuple[float, ...] | None:
    """Count the pixels of all training masks and return the weight of every class.

    Args:
        kind: a key of :data:`CLASS_WEIGHTS`. ``"inverse"``: inversely as the class's pixels. ``"median"``: median
            frequency balancing.
        config: the data set, and what is cut from its training images.
        views: the size that masks are brought to.

    Returns:
        The weights, 0 for a class that does not occur; ``None`` for ``"none"``.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such kind.
        DataError: when a mask does not fit the data set.

    Source:
        Median frequency balancing: D. Eigen, R. Fergus, "Predicting Depth, Surface Normals and Semantic Labels with a
        Common Multi-Scale Convolutional Architecture", 2015.
    """
    weigh = look_up("kind of class weights", kind, CLASS_WEIGHTS)
    if weigh is None:
        return None
    source = training_source(config, views.size)[0]
    count = segmentation_info(config.dataset).num_classes
    pixels_C, possible_C = torch.zeros(2, count, dtype=torch.float64)
    for index in range(len(source)):
        # 255, ignored, is the last of the counts and falls away
        own_C = torch.bincount(source.load(index)[1].flatten().long(), minlength=count)[:count].double()
        pixels_C += own_C
        possible_C += (own_C > 0) * own_C.sum()
    weights_C = weigh(pixels_C, possible_C)
    return tuple(round(weight, 6) for weight in weights_C.where(pixels_C > 0, 0).tolist())
