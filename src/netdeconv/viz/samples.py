"""What whitened layers see: the rows behind their statistics, taken from one pass of a model.

Letters: G matrices, n rows, D features, B channels of a block, K kernel taps.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from netdeconv.linalg import Root
from netdeconv.lookup import unknown_name
from netdeconv.nn import WhitenedLayer
from netdeconv.surgery import batch_statistics

_MOST_ROWS = 4000


@dataclasses.dataclass(frozen=True)
class LayerSample:
    """One whitened layer and a batch.

    Args:
        name: of the layer.
        rows: what its statistics are of, taps before channels.
        mean: of the rows.
        matrix: whitening matrix that the layer uses for them.
        kernel: taps along each axis; a layer that whitens channels has one.
        channels: B.
        root: the layer's inverse square root.

    Shapes:
        rows (n, D), mean (D,), matrix (D, D), of the first of the layer's matrices, D = K B.
    """

    name: str
    rows: Tensor
    mean: Tensor
    matrix: Tensor
    kernel: tuple[int, ...]
    channels: int
    root: Root

    @property
    def whitened(self) -> Tensor:
        """The rows after whitening, (n, D)."""
        return (self.rows - self.mean) @ self.matrix.T

    def covariances(self, *, by_channel: bool = False) -> tuple[Tensor, Tensor]:
        """Covariance before and after, (D, D); with features in order of channels, then taps, if so wished."""
        before, after = (
            torch.cov(rows.T, correction=0).reshape(rows.shape[1], -1) for rows in (self.rows, self.whitened)
        )
        if by_channel:
            order = torch.arange(len(before)).view(-1, self.channels).T.flatten()
            before, after = (matrix[order][:, order] for matrix in (before, after))
        return before, after


def sample_layers(model: nn.Module, inputs: Any, names: Sequence[str] = ()) -> list[LayerSample]:
    """Pass a batch through a model and keep what its whitened layers see.

    Args:
        model: with whitened layers; it is as before afterwards.
        inputs: one batch, as the model's forward takes it.
        names: of layers; none: all.

    Returns:
        Samples in the order of the model's layers, on the processor, in float64; of layers that the batch reached.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when the model has no such layer.
        ValueError: when it has no whitened layer at all.
    """
    layers = {name: each for name, each in model.named_modules() if isinstance(each, WhitenedLayer)}
    if not layers:
        raise ValueError("the network has no whitened layer to draw: convert it, or train with --norm default")
    for name in names:
        if name not in layers:
            raise unknown_name("layer", name, layers)
    found: dict[str, LayerSample] = {}

    def keep(name: str, module: nn.Module, args: tuple[Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
        del module
        layer, sampler = layers[name], layers[name].sampler
        rows = sampler.rows(args[0])[0]
        rows = rows[:: -(-len(rows) // _MOST_ROWS)].double().cpu()
        _, mean, matrix = (part.detach().double().cpu() for part in output)
        kernel, channels = sampler.geometry.kernel_size or (1,), sampler.grouping.block_channels
        found[name] = LayerSample(name or "model", rows, mean[0], matrix[0], kernel, channels, layer.whitening.method)

    with torch.no_grad(), batch_statistics(model), contextlib.ExitStack() as hooks:
        for name in names or layers:
            hooks.enter_context(layers[name].statistics.register_forward_hook(functools.partial(keep, name)))
        model(inputs)
    return [found[name] for name in layers if name in found]


def deconvolve(image: Tensor, sample: LayerSample) -> Tensor:
    """An image whose patches are whitened: of each whitened patch the centre pixel, edges left out.

    Shapes: image (C, H, W) to (C, H - kernel + 1, W - kernel + 1).

    Raises:
        ValueError: when the layer whitens other channels than the image has, or no two-dimensional patches.
    """
    if len(image) != sample.channels or len(sample.kernel) != 2:
        raise ValueError(
            f"layer {sample.name!r} whitens patches {sample.kernel} of {sample.channels} channels, "
            f"the image has {len(image)}: take the network's first layer"
        )
    filters = centre_filters(sample)
    shift = filters.flatten(1) @ sample.mean.view(-1, sample.channels).T.flatten()
    return nn.functional.conv2d(image.double()[None], filters, -shift)[0]


def centre_filters(sample: LayerSample) -> Tensor:
    """Whitening filters of the patch's centre, one for each channel: (B, B, kernel), output channel first."""
    rows = sample.matrix.unflatten(0, (-1, sample.channels))
    return rows[len(rows) // 2].unflatten(1, (-1, sample.channels)).transpose(1, 2).unflatten(2, sample.kernel)
