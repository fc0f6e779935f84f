"""What a network gets wrong: confusion matrix and images of a classifier, overlays of a segmentation network.

Letters: N images, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from netdeconv.data.pairs import spaced
from netdeconv.report.figures import Trained
from netdeconv.tasks.trained import TrainedSegmentation
from netdeconv.viz import overlay, panels
from netdeconv.viz.style import styled

_MOST_IMAGES = 1000
_MOST_CLASSES = 40
_SHOWN = 12
_SCENES = 3


def mistakes_of(trained: Trained, data_dir: str | None = None) -> tuple[dict[str, Any], Figure | None]:
    """Look at evaluation images of a run's network.

    Returns:
        ``matrix``, true classes by predicted ones, empty where there is none; ``names`` of the classes; ``images`` that
        were counted. And a figure of wrong images, or of overlays.

    Raises:
        MissingDataError: when the run's data are not here.
    """
    if isinstance(trained, TrainedSegmentation):
        return {"matrix": [], "names": [], "images": 0}, _scenes(trained)
    count = trained.info.num_classes
    matrix = torch.zeros(count, count, dtype=torch.int64)
    wrong: list[tuple[Tensor, int, int]] = []
    seen = 0
    for inputs, targets in trained.batches("evaluation", data_dir=data_dir):
        with torch.no_grad():
            guesses = trained.network(inputs).argmax(1)
        matrix += multiclass_confusion_matrix(guesses, targets, count)
        seen += len(targets)
        for index in (guesses != targets).nonzero().flatten()[: _SHOWN - len(wrong)].tolist():
            wrong.append((inputs[index], int(targets[index]), int(guesses[index])))
        if seen >= _MOST_IMAGES:
            break
    names = trained.class_names
    small = matrix.tolist() if count <= _MOST_CLASSES else []
    return {"matrix": small, "names": names, "images": seen}, _wrong(wrong, names) if wrong else None


@styled
def _wrong(wrong: list[tuple[Tensor, int, int]], names: list[str]) -> Figure:
    rows = -(-len(wrong) // 4)
    figure = Figure(figsize=(7, 2.0 * rows), layout="constrained")
    axes = list(figure.subplots(rows, 4, squeeze=False).flat)
    for panel in axes:
        panel.set_axis_off()
    for panel, (image, true, guess) in zip(axes, wrong, strict=False):
        low, high = image.min(), image.max()
        picture = ((image - low) / (high - low).clamp_min(1e-6)).permute(1, 2, 0).cpu().numpy()
        panel.imshow(picture if picture.shape[2] == 3 else picture[:, :, 0], cmap="gray")
        panel.set_title(f"{names[true]},\nseen as {names[guess]}", fontsize="small")
    return figure


def _scenes(trained: TrainedSegmentation) -> Figure:
    """Draw a segmentation network's predictions of some images that it was evaluated on, beside image and truth."""
    classes = trained.info.classes
    _, pairs = trained.pairs()
    shown = pairs.some(spaced(len(pairs), min(_SCENES, len(pairs))))
    rows = {}
    for number, (file, _) in enumerate(shown.files):
        image, truth = shown[number]
        rows[file.stem] = [image, overlay(image, truth, classes), overlay(image, trained.predict(image), classes)]
    return panels(rows, ["image", "truth", "prediction"], classes)
