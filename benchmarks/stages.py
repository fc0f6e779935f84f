"""A step of a whitened network taken apart: its stages, and the least time that each of them can take.

The library's autograd functions appear in torch's profiler by their names, forward and backward; all that happens
inside one counts as its stage. The bound of a stage is the sum over the layers of the time that its fewest operations
and bytes take at the machine's measured peak, as in ``layer_parts``.

Letters: n sampled rows, D features of a matrix, G matrices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.machine import Peak
from benchmarks.recording import Recording
from benchmarks.timing import rounded
from netdeconv.linalg.precision import statistics_dtype
from netdeconv.nn import WhitenedLayer
from netdeconv.nn.sampler import product_dtype

SAMPLE, ROOT, PRODUCT, CONVOLUTION = (
    "sample and covariance",
    "inverse root",
    "product with the weight",
    "convolution",
)
# what the profiler calls them, forward and backward
_EVENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    SAMPLE: (("_PatchStatistics",), ("_PatchStatisticsBackward",)),
    ROOT: (("_ByProducts", "_ByEigenvalues"), ("_ByProductsBackward", "_ByEigenvaluesBackward")),
    PRODUCT: (("_WhitenedWeight",), ("_WhitenedWeightBackward",)),
    CONVOLUTION: (("aten::convolution",), ("aten::convolution_backward",)),
}
Shapes = dict[WhitenedLayer, tuple[torch.Size, torch.dtype]]


def stage_rows(recording: Recording, shapes: Shapes, peak: Peak) -> list[dict[str, Any]]:
    """One row a stage, milliseconds a step.

    Args:
        recording: of the steps of a whitened network.
        shapes: as :func:`input_shapes` returns for it.
        peak: of the machine.
    """
    inclusive = recording.inclusive()
    rows, covered = [], 0.0
    for stage, names in _EVENTS.items():
        forward, backward = (sum(inclusive.get(name, 0.0) for name in side) for side in names)
        covered += forward + backward
        least = sum(bounds(layer, *shape, peak).get(stage, 0.0) for layer, shape in shapes.items())
        rows.append(_row(stage, forward, backward, least))
    rest = {"stage": "everything else", "both, ms": rounded(1e3 * (recording.seconds - covered), 3)}
    return [*rows, rest]


def _row(stage: str, forward: float, backward: float, least: float) -> dict[str, Any]:
    return {
        "stage": stage,
        "both, ms": rounded(1e3 * (forward + backward), 3),
        "forward, ms": rounded(1e3 * forward, 3),
        "backward, ms": rounded(1e3 * backward, 3),
        "bound, ms": rounded(1e3 * least, 3) if least else None,
        "times the bound": rounded((forward + backward) / least, 3) if least else None,
    }


def input_shapes(step: Callable[[], object], network: nn.Module) -> Shapes:
    """Shape and dtype of what every whitened layer of a network sees in a step, as it computes with it.

    Args:
        step: is run once.
        network: what it trains.
    """
    found: Shapes = {}

    def note(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, WhitenedLayer)
        x = layer._prepare(args[0])
        found[layer] = x.shape, x.dtype

    handles = [
        module.register_forward_pre_hook(note) for module in network.modules() if isinstance(module, WhitenedLayer)
    ]
    step()
    for handle in handles:
        handle.remove()
    return found


def bounds(layer: WhitenedLayer, shape: torch.Size, dtype: torch.dtype, peak: Peak) -> dict[str, float]:
    """Seconds below which no code gets forward and backward of each stage of one layer done.

    Args:
        layer: a convolution or linear layer, of any structure.
        shape: of its input (N, C, ...).
        dtype: of its input.
        peak: of the machine.
    """
    return {stage: sum(peak.bound(*work) for work in works) for stage, works in _work(layer, shape, dtype)}


def _work(
    layer: WhitenedLayer, shape: torch.Size, dtype: torch.dtype
) -> Iterator[tuple[str, list[tuple[float, float, torch.dtype]]]]:
    """Fewest operations and bytes of each stage, forward and backward, and the dtype of the products."""
    wide, steps = statistics_dtype(dtype), layer.whitening.num_iterations
    factors = product_dtype(dtype, wide, layer.whitening)
    g, d = layer.sampler.grouping.num_matrices, layer.sampler.matrix_size
    n, size, pixels = layer.sampler.num_rows(shape), dtype.itemsize, math.prod(shape)
    sampled, matrices = size * min(g * n * d, pixels), g * wide.itemsize * d * d
    # symmetric: half of the products; the gradient has to be added to what the convolution left there
    yield SAMPLE, [(g * n * d * d, sampled + matrices, factors), (2 * g * n * d * d, 3 * sampled + matrices, factors)]
    # 3 (n - 1) products of symmetric result; the derivative of a product is two products
    cubes = 3 * (steps - 1) * g * d**3
    yield ROOT, [(cubes, 2 * matrices, wide), (2 * cubes, 3 * matrices, wide)]
    weights = layer.get_parameter("weight").numel()
    work = [(2 * weights * d, (4 + size) * weights + matrices), (4 * weights * d, (8 + size) * weights + matrices)]
    yield PRODUCT, [(operations, moved, factors) for operations, moved in work]
