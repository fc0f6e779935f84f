"""Running statistics with equal weight of all batches, for the time of a calibration."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from netdeconv.nn import WhitenedLayer


@contextmanager
def equal_weights(layers: Iterable[WhitenedLayer]) -> Iterator[None]:
    """Layers average all batches equally and follow no schedule; afterwards as before."""
    settings = {layer: layer.whitening for layer in layers}
    try:
        for layer, own in settings.items():
            layer.whitening = dataclasses.replace(own, momentum=None, freeze=None, refresh_interval=1)
        yield
    finally:
        for layer, own in settings.items():
            layer.whitening = own
