"""What whitening does to patches, to an image, and what its filters look like: the paper's figures 2 and 3.

Letters: as in samples.py; C channels, H height, W width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from torch import Tensor

from netdeconv.viz.samples import LayerSample, centre_filters, deconvolve
from netdeconv.viz.style import styled

_MOST_FEATURES = 144
_MOST_CHANNELS = 8
# Signed values: blue, white, red; in grey its ends are dark and its middle is white.
_SIGNED = "RdBu_r"


@styled
def covariances(sample: LayerSample) -> Figure:
    """Draw covariance and correlation of a layer's patches before and after whitening, channel by channel.

    Args:
        sample: of the layer.

    Returns:
        A figure of four matrices; lines part the k x k blocks of two channels each.
    """
    before, after = sample.covariances(by_channel=True)
    taps = len(before) // sample.channels
    shown = min(len(before), max(1, _MOST_FEATURES // taps) * taps)
    before, after = before[:shown, :shown], after[:shown, :shown]
    figure = Figure(figsize=(8, 7.4), layout="constrained")
    rest = f", the first {shown} of {len(sample.mean)} features" if shown < len(sample.mean) else ""
    figure.suptitle(f"Patches of {sample.name}: {sample.channels} channels of {taps} taps{rest}")
    panels = figure.subplots(2, 2)
    for row, matrices, what in ((0, (before, after), "covariance"), (1, _correlations(before, after), "correlation")):
        for panel, matrix, when in zip(panels[row], matrices, ("before", "after"), strict=True):
            limit = float(matrix.abs().max()) or 1.0
            image = panel.imshow(matrix.numpy(), cmap=_SIGNED, vmin=-limit, vmax=limit)
            panel.set_title(f"{what} {when}")
            _blocks(panel, shown, taps if taps > 1 else 0)
            figure.colorbar(image, ax=panel, shrink=0.85)
    return figure


def _correlations(*covariances: Tensor) -> tuple[Tensor, ...]:
    deviations = [matrix.diagonal().clamp_min(0).sqrt().clamp_min(1e-12) for matrix in covariances]
    return tuple(matrix / d[:, None] / d for matrix, d in zip(covariances, deviations, strict=True))


def _blocks(panel: Axes, size: int, block: int) -> None:
    panel.set(xticks=[], yticks=[])
    panel.grid(visible=False)
    for edge in range(block, size, block) if block and size // block <= 32 else ():
        for line in (panel.axhline, panel.axvline):
            line(edge - 0.5, color="0.55", linewidth=0.6)


@styled
def images(image: Tensor, sample: LayerSample) -> Figure:
    """Draw an image, its absolute value about the mean, the deconvolved image, its absolute value.

    Args:
        image: of as many channels as the layer whitens together.
        sample: of a first layer, whose whitening is applied.

    Shapes:
        image (C, H, W), one or three channels are drawn.

    Returns:
        A figure of four panels. White is large in the absolute values: few pixels are left white after whitening.

    Raises:
        ValueError: when the layer whitens other channels than the image has.
    """
    white = deconvolve(image, sample)
    centred = image.double() - image.double().mean((1, 2), keepdim=True)
    figure = Figure(figsize=(9, 9 * image.shape[1] / image.shape[2] + 0.8), layout="constrained")
    pictures = (
        ("image", _picture(image.double())),
        ("absolute value about the mean", _grey(centred)),
        ("deconvolved", _picture(white)),
        ("absolute value, deconvolved", _grey(white)),
    )
    for panel, (title, picture) in zip(figure.subplots(2, 2).flat, pictures, strict=True):
        panel.imshow(picture, cmap="gray", vmin=0, vmax=1)
        panel.set_title(title)
        panel.set_axis_off()
    return figure


def _picture(values: Tensor, tail: float = 0.005) -> Any:
    """Values as an image: the outermost half per cent at either end is clipped."""
    low, high = np.quantile(values.numpy(), [tail, 1 - tail])
    scaled = ((values - low) / max(high - low, 1e-12)).clamp(0, 1).permute(1, 2, 0).numpy()
    return scaled if scaled.shape[2] == 3 else scaled.mean(2)


def _grey(values: Tensor) -> Any:
    """Absolute values, averaged over channels; the largest hundredth is white."""
    grey = values.abs().mean(0).numpy()
    return np.clip(grey / max(np.quantile(grey, 0.99), 1e-12), 0, 1)


@styled
def whitening_filters(sample: LayerSample) -> Figure:
    """Draw the filters that whiten the centre pixel of a patch: centre against surround.

    Args:
        sample: of a layer that whitens two-dimensional patches.

    Returns:
        A figure with one row for each whitened channel, one column for each channel that it reads, and for three
        channels a column that shows them as the colours of one filter.

    Raises:
        ValueError: when the layer whitens channels only.
    """
    if len(sample.kernel) != 2 or max(sample.kernel) == 1:
        raise ValueError(f"layer {sample.name!r} whitens no patches: its filters have one tap")
    filters = centre_filters(sample)[:_MOST_CHANNELS, :_MOST_CHANNELS]
    count = len(filters)
    names = ["red", "green", "blue"] if sample.channels == 3 else [str(number) for number in range(count)]
    colour = sample.channels == 3
    columns = count + colour
    figure = Figure(figsize=(1.5 * columns + 1.2, 1.5 * count + 0.7), layout="constrained")
    figure.suptitle(f"Whitening filters of {sample.name}")
    panels = figure.subplots(count, columns, squeeze=False)
    limit = float(filters.abs().max()) or 1.0
    for row in range(count):
        for column in range(count):
            panel = panels[row][column]
            # nearly logarithmic: the surround is weak and wide
            norm = AsinhNorm(linear_width=limit / 20, vmin=-limit, vmax=limit)
            drawn = panel.imshow(filters[row, column].numpy(), cmap=_SIGNED, norm=norm)
            _signs(panel, filters[row, column], limit)
            _label(panel, f"reads {names[column]}" if row == 0 else "", f"whitens {names[row]}" if column == 0 else "")
        if colour:
            panel = panels[row][count]
            own = filters[row]
            panel.imshow((0.5 + 0.5 * own / float(own.abs().max())).permute(1, 2, 0).numpy())
            _label(panel, "in colour" if row == 0 else "", "")
    ticks = [sign * limit * share for sign, share in ((-1, 1), (-1, 0.1), (0, 0), (1, 0.1), (1, 1))]
    figure.colorbar(drawn, ax=panels, shrink=0.8, ticks=ticks, format="%.2g")
    return figure


def _signs(panel: Axes, taps: Tensor, limit: float) -> None:
    """Plus and minus on what counts: a print in grey shows no sign."""
    for (row, column), value in np.ndenumerate(taps.numpy()):
        if abs(value) > 0.02 * limit:
            colour = "white" if abs(value) > 0.3 * limit else "0.3"
            panel.text(column, row, "+" if value > 0 else "–", ha="center", va="center", color=colour, fontsize="small")


def _label(panel: Axes, title: str, side: str) -> None:
    panel.set(xticks=[], yticks=[])
    panel.grid(visible=False)
    panel.set_title(title, fontsize="small")
    panel.set_ylabel(side, fontsize="small")
