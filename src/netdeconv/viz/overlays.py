"""Images with the colours of their pixels' classes laid over them.

Shape letters: H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor
from torchvision.utils import draw_segmentation_masks

from netdeconv.data.registry import PixelClass

# Inches: of a tile, of a row of the legend, of the titles.
_TILE, _LEGEND_ROW, _TITLE = 2.6, 0.2, 0.25
_LEGEND_COLUMN = 1.15
_PIXELS = 100  # an inch


def overlay(image: Tensor, classes_HW: Tensor, classes: Sequence[PixelClass], *, strength: float = 0.6) -> Tensor:
    """Return an image with the colour of every pixel's class laid over it; other labels are left as they are.

    Shapes: image uint8 (3, H, W), class numbers (H, W); result as the image.

    Raises:
        ValueError: when they differ in size.
    """
    if image.shape[-2:] != classes_HW.shape:
        raise ValueError(f"image {tuple(image.shape)} and classes {tuple(classes_HW.shape)} differ in size")
    masks = torch.stack([classes_HW == number for number in range(len(classes))])
    colors: list[str | tuple[int, int, int]] = [each.color for each in classes]
    return draw_segmentation_masks(image.as_subclass(Tensor), masks, alpha=strength, colors=colors)


def labelled_overlay(image: Tensor, classes_HW: Tensor, classes: Sequence[PixelClass]) -> Figure:
    """Draw an image, pixel by pixel, with the colours of its classes, and the classes that occur below.

    Shapes: image uint8 (3, H, W), class numbers (H, W).

    Returns:
        A figure to be saved without another resolution: it is as wide as the image, or as its legend needs.

    Raises:
        ValueError: when image and classes differ in size.
    """
    picture = overlay(image, classes_HW, classes)
    present = [each for number, each in enumerate(classes) if bool((classes_HW == number).any())]
    height, width = (length / _PIXELS for length in picture.shape[-2:])
    wide = max(width, 3 * _LEGEND_COLUMN)
    columns = max(1, int(wide / _LEGEND_COLUMN))
    legend = _LEGEND_ROW * -(-len(present) // columns) + 0.1
    figure = Figure(figsize=(wide, height + legend), dpi=_PIXELS)
    panel = figure.add_axes((0, legend / (height + legend), width / wide, height / (height + legend)))
    _show(panel, picture)
    figure.legend(loc="lower center", **_legend(present, columns))
    return figure


def panels(rows: Mapping[str, Sequence[Tensor]], titles: Sequence[str], classes: Sequence[PixelClass]) -> Figure:
    """Draw rows of images of one size beside each other, with the classes' colours below.

    Args:
        rows: by their names, uint8 (3, H, W) images, as many in each row as there are titles.
        titles: above the columns.
        classes: of the legend.

    Returns:
        A figure that belongs to no window: save it with ``savefig``.

    Raises:
        ValueError: when there is nothing to draw, or rows and titles do not fit.
    """
    if not rows or any(len(row) != len(titles) for row in rows.values()):
        raise ValueError(f"rows of {len(titles)} images are needed, got {[len(row) for row in rows.values()]}")
    height, width = next(iter(rows.values()))[0].shape[-2:]
    wide = _TILE * len(titles)
    columns = max(1, int(wide / _LEGEND_COLUMN))
    legend = _LEGEND_ROW * -(-len(classes) // columns) + 0.1
    tall = (_TILE * height / width + _TITLE) * len(rows) + _TITLE
    figure = Figure(figsize=(wide, tall + legend), layout="constrained")
    pictures, below = figure.subfigures(2, 1, height_ratios=(tall, legend), squeeze=False)[:, 0]
    axes = pictures.subplots(len(rows), len(titles), squeeze=False)
    for (name, row), line in zip(rows.items(), axes, strict=True):
        for tile, panel in zip(row, line, strict=True):
            _show(panel, tile)
        line[0].set_title(name, fontsize=7, loc="left")
    for title, panel in zip(titles, axes[0], strict=True):
        panel.text(0.5, 1.12, title, transform=panel.transAxes, ha="center", va="bottom", fontsize=9)
    below.legend(loc="center", **_legend(classes, columns))
    return figure


def _show(panel: Axes, picture: Tensor) -> None:
    panel.imshow(picture.permute(1, 2, 0).cpu().numpy(), interpolation="nearest", aspect="auto")
    panel.set_axis_off()


def _legend(classes: Sequence[PixelClass], columns: int) -> dict[str, Any]:
    patches = [Patch(color="#" + bytes(each.color).hex(), label=each.name) for each in classes]
    return {"handles": patches, "ncols": columns, "frameon": False, "fontsize": 7}
