"""All whitened layers of a network beside each other: spectra, ranks, sparsity, norms of weights, memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from netdeconv.health.measure import effective_rank
from netdeconv.linalg import NewtonSchulz, Root, inverse_sqrt
from netdeconv.nn.layer import WeightedWhitenedLayer
from netdeconv.viz.samples import LayerSample
from netdeconv.viz.style import AFTER, BEFORE, MARKERS, name_lines, styled

_FLOOR = 1e-7  # below this share of the largest, an eigenvalue is rounding
_MOST_LAYERS = 6
_STYLES: tuple[dict[str, Any], ...] = (
    {"color": BEFORE, "marker": MARKERS[0], "linestyle": "-", "label": "before"},
    {"color": AFTER, "marker": MARKERS[1], "linestyle": "--", "label": "after"},
)


@styled
def spectra(samples: Sequence[LayerSample], root: Root | None = None) -> Figure:
    """Draw the eigenvalues of covariances before and after, and what the root makes of every eigenvalue.

    Args:
        samples: of layers; the first, the last and some between are drawn.
        root: whose curve is drawn; None: the first layer's.

    Returns:
        A figure: eigenvalues by their order, relative to the largest, before and after; and the standard deviation
        that a direction is left with, over its share of the covariance's Frobenius norm, with the layers' own
        eigenvalues on the curve.
    """
    samples = _some(samples)
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for sample, marker in zip(samples, MARKERS, strict=False):
        before, after = (_eigenvalues(matrix) for matrix in sample.covariances())
        order = np.linspace(0, 1, len(before))
        left.plot(order, before / before[0], label=sample.name)
        middle.plot(order, after, label=sample.name)
        share = before / np.sqrt((before**2).sum())
        right.plot(share, np.sqrt(after), marker, markersize=4, alpha=0.7, linestyle="none", label=f"_{sample.name}")
    for panel, title in ((left, "before, over the largest"), (middle, "after whitening")):
        panel.set(yscale="log", xlabel="eigenvalues, the largest first", title=title)
    left.set_ylim(bottom=max(left.get_ylim()[0], _FLOOR))
    left.set_xticks([0, 1], ["first", "last"])
    middle.set_xticks([0, 1], ["first", "last"])
    middle.set_ylim(bottom=max(middle.get_ylim()[0], _FLOOR))
    middle.axhline(1, color="0.5", linewidth=1)
    name_lines(middle)
    root = root or samples[0].root
    shares = torch.logspace(-6, 0, 121, dtype=torch.float64)
    right.plot(shares, gain_curve(root, shares), color="0.2", linestyle="-", zorder=0, label="_curve")
    name = f"{root.num_iterations} steps" if isinstance(root, NewtonSchulz) else type(root).__name__
    right.set(xscale="log", yscale="log", title=f"left deviation; curve: {name}", xlabel="eigenvalue / Frobenius norm")
    right.set(xlim=(5e-7, 2), ylim=(2e-3, 4))
    return figure


def gain_curve(root: Root, shares: Tensor) -> Tensor:
    """Standard deviation that a direction is left with, for its eigenvalue over the Frobenius norm, (n,) to (n,)."""
    shares = shares.double()
    matrices = torch.diag_embed(torch.stack([shares, (1 - shares**2).clamp_min(0).sqrt()], 1) + 1e-12)
    return inverse_sqrt(matrices, method=root)[:, 0, 0] * shares.sqrt()


@styled
def ranks(samples: Sequence[LayerSample]) -> Figure:
    """Draw effective rank and condition number of every layer's covariance before and after.

    Args:
        samples: of layers.

    Returns:
        A figure of two panels. The effective rank is given in per cent of the features.
    """
    figure = Figure(figsize=(max(7.0, 0.55 * len(samples) + 4), 5.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    pairs = [tuple(_eigenvalues(matrix) for matrix in sample.covariances()) for sample in samples]
    for number, style in enumerate(_STYLES):
        values = [pair[number] for pair in pairs]
        shares = [100 * float(effective_rank(torch.from_numpy(each))) / len(each) for each in values]
        conditions = [float(each[0] / max(each[-1], _FLOOR * each[0], 1e-300)) for each in values]
        upper.plot(range(len(samples)), shares, **style)
        lower.plot(range(len(samples)), conditions, **style)
    upper.set(ylabel="effective rank (%)", ylim=(0, 105))
    lower.set(ylabel="condition number", yscale="log")
    _name_layers(lower, [sample.name for sample in samples])
    name_lines(upper)
    return figure


@styled
def sparsity(samples: Sequence[LayerSample]) -> Figure:
    """Draw how often values occur before and after whitening, and every layer's kurtosis.

    Args:
        samples: of layers; the first one's values are drawn.

    Returns:
        A figure of two panels. A normal distribution's excess kurtosis is 0; sparse values have more.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    first = samples[0]
    edges = np.linspace(-8, 8, 81)
    middle = (edges[:-1] + edges[1:]) / 2
    for values, style in zip((first.rows, first.whitened), _STYLES, strict=True):
        heights, _ = np.histogram(_standard(values).flatten().numpy(), bins=edges, density=True)
        heights[heights == 0] = np.nan
        left.plot(middle, heights, **style | {"marker": ""})
    normal = np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi)
    left.plot(middle, normal, color="0.6", linewidth=1, linestyle=":", label="normal")
    left.set(
        yscale="log", ylim=(1e-5, 2), xlabel="standard deviations", ylabel="density", title=f"values of {first.name}"
    )
    left.legend(fontsize="small")
    for kind, style in zip(("rows", "whitened"), _STYLES, strict=True):
        right.plot(range(len(samples)), [kurtosis(getattr(sample, kind)) for sample in samples], **style)
    right.set(title="excess kurtosis", yscale="symlog")
    right.axhline(0, color="0.5", linewidth=1)
    _name_layers(right, [sample.name for sample in samples])
    name_lines(right)
    return figure


def kurtosis(rows: Tensor) -> float:
    """Excess kurtosis of the features of rows (n, D), their mean; features that do not vary are left out."""
    standard = _standard(rows)
    return float(standard.pow(4).mean(0).mean() - 3) if standard.shape[1] else 0.0


def _standard(rows: Tensor) -> Tensor:
    deviation = rows.std(0)
    kept = deviation > 1e-9 * deviation.max().clamp_min(1e-30)
    return ((rows - rows.mean(0)) / deviation)[:, kept]


@styled
def weight_norms(model: nn.Module) -> Figure:
    """Draw the norm of every layer's weight, as the root mean square of its entries.

    Args:
        model: of whose whitened layers the weight is also drawn that is used, D w with the running statistics.

    Returns:
        A figure of one panel.

    Raises:
        ValueError: when the model has no layer with a weight.
    """
    layers = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)}
    if not layers:
        raise ValueError("there are no convolutions and linear layers to draw")
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([_size(layer.weight) for layer in layers.values()], marker="o", label="w")
    if any(isinstance(layer, WeightedWhitenedLayer) for layer in layers.values()):
        used = [
            _size(layer.folded_weight_and_bias()[0] if isinstance(layer, WeightedWhitenedLayer) else layer.weight)
            for layer in layers.values()
        ]
        axes.plot(used, marker="s", label="D w")
    axes.set(yscale="log", ylabel="root mean square of a weight")
    _name_layers(axes, [name or "model" for name in layers])
    name_lines(axes)
    return figure


@styled
def memory(amounts: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw what training needs of memory.

    Args:
        amounts: bytes by part, for every label.

    Returns:
        A figure with one stacked bar for each label.

    Raises:
        ValueError: when there is nothing to draw.
    """
    if not amounts:
        raise ValueError("there are no amounts of memory to draw")
    figure = Figure(figsize=(8, 1.2 + 0.55 * len(amounts)), layout="constrained")
    axes = figure.subplots()
    parts = list(dict.fromkeys(part for each in amounts.values() for part in each))
    start = np.zeros(len(amounts))
    for part, colour, hatch in zip(
        parts, ("#0072B2", "#E69F00", "#009E73", "#CC79A7"), ("", "//", "..", "xx"), strict=False
    ):
        widths = np.array([each.get(part, 0.0) for each in amounts.values()]) / 2**20
        axes.barh(range(len(amounts)), widths, left=start, color=colour, hatch=hatch, edgecolor="white", label=part)
        start += widths
    for number, total in enumerate(start):
        axes.annotate(f" {total:.1f} MiB", (total, number), va="center", fontsize="small")
    axes.set_yticks(range(len(amounts)), list(amounts))
    axes.invert_yaxis()
    axes.set(xlabel="MiB", xlim=(0, 1.18 * max(float(start.max()), 1e-9)))
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside upper center", ncols=len(parts), fontsize="small")
    return figure


def training_memory(model: nn.Module, inputs: Tensor) -> dict[str, float]:
    """Bytes that a training step of a model keeps: parameters with their gradients, buffers, and what backward needs.

    Every storage counts once. The model is as before afterwards, but for its running statistics.
    """
    held = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in held:
            kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    was_training = model.training
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.train()(inputs)
    model.train(was_training)
    return {
        "weights and gradients": 2.0 * sum(p.numel() * p.element_size() for p in model.parameters()),
        "statistics": float(sum(b.numel() * b.element_size() for b in model.buffers())),
        "kept for backward": float(sum(tensor.untyped_storage().nbytes() for tensor in kept.values())),
    }


def _some(samples: Sequence[LayerSample]) -> list[LayerSample]:
    places = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), _MOST_LAYERS)).round().astype(int))
    return [samples[place] for place in places]


def _eigenvalues(covariance: Tensor) -> np.ndarray:
    return torch.linalg.eigvalsh(covariance).flip(0).clamp_min(0).numpy()


def _size(weight: Tensor) -> float:
    return float(weight.detach().float().square().mean().sqrt())


def _name_layers(axes: Axes, names: Sequence[str]) -> None:
    every = -(-len(names) // 24)
    axes.set_xticks(
        range(0, len(names), every), [name[-18:] for name in names[::every]], rotation=60, ha="right", fontsize="small"
    )
    axes.set_xmargin(0.03)
