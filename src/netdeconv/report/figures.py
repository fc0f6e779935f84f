"""All figures of a run's network."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from netdeconv import viz
from netdeconv.nn import WhitenedLayer
from netdeconv.report.runs import SavedRun
from netdeconv.tasks.trained import TrainedClassifier, TrainedSegmentation

_IMAGES = 64


Trained = TrainedClassifier | TrainedSegmentation


def shown_images(trained: Trained, data_dir: str | None = None) -> Tensor:
    """Return at most 64 of the images that a run's network was trained on, normalised, (N, C, H, W).

    Raises:
        MissingDataError: when its data are not here.
    """
    config, size = trained.config, min(_IMAGES, trained.config.data.batch_size)
    data = dataclasses.replace(config.data, batch_size=size, num_workers=0, data_dir=data_dir or config.data.data_dir)
    splits = config.task.open(data, seed=config.seed, device=torch.device("cpu"), shard=(0, 1))
    return next(iter(splits.train.epoch(1)))[0]


def draw_all(
    network: nn.Module, batch: Tensor, run: SavedRun, *, image: str | Path | None = None, layer: str | None = None
) -> tuple[dict[str, Figure], list[str]]:
    """Draw every figure that there is for a network.

    Args:
        network: of the run.
        batch: normalised images that it is shown (N, C, H, W).
        run: itself.
        image: file that is deconvolved; None: an embedded photograph, or the batch's first image.
        layer: of the figures of one layer; None: the first.

    Returns:
        The figures by name, and for those that cannot be drawn why.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such layer.
        CorruptImageError, ValueError: when the file is no image that can be drawn.
    """
    drawn: dict[str, Figure] = {}
    missing: list[str] = []
    picture = None if image is None else viz.read_image(image)
    draw: dict[str, Callable[[], Figure]] = {}
    if layer is not None or any(isinstance(module, WhitenedLayer) for module in network.modules()):
        chosen = viz.sample_layers(network, batch, [layer] if layer is not None else ())[0]
        samples = viz.sample_layers(network, batch)
        others = [sample for sample in samples if sample.name != chosen.name]
        draw |= {
            "covariance": lambda: viz.covariances(chosen),
            "filters": lambda: viz.whitening_filters(chosen),
            "deconvolved": lambda: viz.images(_to_draw(picture, batch, chosen.channels), samples[0]),
            "spectra": lambda: viz.spectra(samples),
            "ranks": lambda: viz.ranks(samples),
            "sparsity": lambda: viz.sparsity([chosen, *others]),
        }
    else:
        missing.append("covariance, filters, spectra, ranks, sparsity: the network has no whitened layer")
    draw["weights"] = lambda: viz.weight_norms(network)
    draw["memory"] = lambda: viz.memory({run.label: viz.training_memory(copy.deepcopy(network), batch)})
    if run.history:
        draw["curves"] = lambda: viz.curves({run.label: [run.history]}, metric=run.metric)
    for name, figure in draw.items():
        try:
            drawn[name] = figure()
        except ValueError as error:
            missing.append(f"{name}: {error}")
    return drawn, missing


def _to_draw(picture: Tensor | None, batch: Tensor, channels: int) -> Tensor:
    """The image that is deconvolved, on the scale of the images that the network sees."""
    if picture is None and channels == 3:
        picture = viz.photographs()["china"]
    if picture is None:
        return batch[0]
    picture = picture if channels == 3 else picture.mean(0, keepdim=True)
    mean, deviation = batch.mean((0, 2, 3)).view(-1, 1, 1), batch.std((0, 2, 3)).view(-1, 1, 1)
    own = (picture - picture.mean((1, 2), keepdim=True)) / picture.std((1, 2), keepdim=True).clamp_min(1e-6)
    return own * deviation + mean


def family(run: SavedRun) -> str:
    """A run's label without its seed."""
    return re.sub(r",?[ _-]seed[ _=-]\d+$", "", run.label)
