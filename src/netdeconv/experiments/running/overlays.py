"""What trained networks predict, drawn over images."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from netdeconv.data.segmentation import Pairs
from netdeconv.tasks.trained import TrainedSegmentation
from netdeconv.viz import overlay, panels


def prediction_panels(networks: Mapping[str, TrainedSegmentation], source: Pairs, count: int) -> Figure:
    """Draw images, their truth, and what networks of the same classes predict; one image a row.

    Args:
        networks: by the titles of their columns.
        source: images and masks, at the networks' size.
        count: how many, evenly spaced.

    Raises:
        ValueError: when there is no network.
    """
    if not networks:
        raise ValueError("there is no network whose predictions could be drawn")
    classes = next(iter(networks.values())).info.classes
    rows, names = [], []
    for name, image, truth in source.first(count):
        predictions = [overlay(image, network.predict(image), classes) for network in networks.values()]
        rows.append([image, overlay(image, truth, classes), *predictions])
        names.append(name)
    return panels(rows, ["image", "truth", *networks], classes, names=names)
