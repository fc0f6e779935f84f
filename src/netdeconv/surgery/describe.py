"""What every whitened layer of a model does, and what its statistics cost beside its own arithmetic."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from netdeconv.nn import ChannelWhitening, WhitenedLayer
from netdeconv.surgery.batches import calls
from netdeconv.surgery.tree import evaluation_mode


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """Multiply-adds of one training forward pass, relative to those of the layer without whitening.

    Args:
        covariance: of all sampled rows.
        inverse_root: of the matrices, by n steps of Newton-Schulz.
        weight_product: of the whitening matrices and the weight.
    """

    covariance: float
    inverse_root: float
    weight_product: float

    @property
    def total(self) -> float:
        """The sum of the three."""
        return self.covariance + self.inverse_root + self.weight_product


@dataclasses.dataclass(frozen=True)
class LayerDescription:
    """One whitened layer.

    Args:
        name: qualified name; empty for the model itself.
        type: name of the class.
        structure: of the settings, or "channel" where the layer knows no other.
        group_size: channels in a block, as used.
        num_groups: blocks that share a matrix.
        num_matrices: whitening matrices (groups of the convolution).
        matrix_size: their rows.
        num_iterations: Newton-Schulz steps.
        cost: relative cost; None without an example input, and for layers that it did not reach.
    """

    name: str
    type: str
    structure: str
    group_size: int
    num_groups: int
    num_matrices: int
    matrix_size: int
    num_iterations: int
    cost: LayerCost | None = None


class Description(tuple[LayerDescription, ...]):
    """The whitened layers of a model, a tuple; ``print`` shows it as a table.

    Args:
        rows: of each layer, in registration order.
    """

    def __str__(self) -> str:
        head = ["layer", "type", "structure", "group size", "groups", "matrices", "steps"]
        costs = ["covariance", "inverse root", "weight product"]
        with_cost = any(row.cost is not None for row in self)
        table = [head + costs if with_cost else head]
        for row in self:
            matrices = f"{row.num_matrices} x {row.matrix_size}x{row.matrix_size}"
            numbers = [row.group_size, row.num_groups, matrices, row.num_iterations]
            cells = [row.name or "-", row.type, row.structure, *map(str, numbers)]
            if with_cost:
                values = dataclasses.astuple(row.cost) if row.cost is not None else (None,) * 3
                cells += ["-" if value is None else f"{value:.3f}" for value in values]
            table.append(cells)
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in table]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(lines)


def describe(model: nn.Module, example_input: Any = None) -> Description:
    r"""Tabulate the whitened layers of a model.

    With P sampled rows of D features in each of G matrices, S blocks, n steps and O·C/G·K weights,
    multiply-adds are covariance :math:`G P S D^2`, inverse root :math:`G (3n - 3) D^3`, weight product
    :math:`(O·C/G·K) D`. They are given relative to the plain
    layer's own; a backward pass costs about twice as much of each.

    Args:
        model: any module.
        example_input: one batch, to learn the sizes of feature maps from: a tensor, a tuple or list whose
            first element is the input, or a mapping of keyword arguments. None: no costs.

    Returns:
        A :class:`Description`; ``print`` shows it as a table.

    Example:
        >>> print(describe(WhitenedLinear(128, 10)))
        layer  type            structure  group size  groups  matrices   steps
        -----  --------------  ---------  ----------  ------  ---------  -----
        -      WhitenedLinear  channel    64          2       1 x 64x64  5
    """
    layers = {module: name for name, module in model.named_modules() if isinstance(module, WhitenedLayer)}
    costs = {} if example_input is None else _costs(model, layers, example_input)
    return Description(
        LayerDescription(
            name,
            type(layer).__name__,
            "channel" if layer.sampler.geometry.num_taps == 1 else "full",
            layer.sampler.grouping.block_channels,
            layer.sampler.grouping.num_blocks,
            layer.sampler.grouping.num_matrices,
            layer.sampler.matrix_size,
            layer.whitening.num_iterations,
            costs.get(layer),
        )
        for layer, name in layers.items()
    )


def _costs(model: nn.Module, layers: dict[WhitenedLayer, str], example: Any) -> dict[WhitenedLayer, LayerCost]:
    """Costs from the shapes of one pass in evaluation mode; a layer called twice has its last call's."""
    found: dict[WhitenedLayer, LayerCost] = {}

    def note(layer: WhitenedLayer, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        found[layer] = _cost(layer, args[0] if args else kwargs["input"], output)

    handles = [layer.register_forward_hook(note, with_kwargs=True) for layer in layers]
    try:
        with torch.no_grad(), evaluation_mode(model):
            for call in calls([example], model):
                call.run(model)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _cost(layer: WhitenedLayer, input: Tensor, output: Tensor) -> LayerCost:
    sampler, x = layer.sampler, layer._prepare(input)
    matrices, size, rows = sampler.grouping.num_matrices, sampler.matrix_size, sampler.num_rows(x.shape)
    products = 3 * layer.whitening.num_iterations - 3  # the first step needs one product, the last two
    if isinstance(layer, ChannelWhitening):  # multiplies no weight by D
        plain, weights = x.numel() * size, 0
    else:
        weight, positions = layer.weight, x if isinstance(layer, _ConvTransposeNd) else output
        assert isinstance(weight, Tensor)
        plain, weights = positions.numel() // weight.shape[0] * weight.numel(), weight.numel()
    return LayerCost(matrices * rows * size**2 / plain, matrices * products * size**3 / plain, weights * size / plain)
