"""Where a step's time goes: its operations under torch's profiler, and its stages beside the least time of each.

The library's autograd functions appear in the profiler by their names, forward and backward; all that happens inside
one counts as its stage. The bound of a stage is the sum over the layers of the time that its fewest operations and
bytes take at the machine's measured peak, as in ``layer_parts``.

Letters: n sampled rows, D features of a matrix, G matrices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.harness.machine import Peak, measure_peak
from benchmarks.harness.steps import TrainingStep
from benchmarks.harness.timing import rounded
from netdeconv.linalg.precision import statistics_dtype
from netdeconv.nn import WhitenedLayer
from netdeconv.nn.sampler import product_dtype

_STEPS = 3
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


class Recording:
    """What the operations of a step took, on the host for a processor, on the card for CUDA.

    Args:
        step: warmed up; recorded a few times.
        device: where it runs.
    """

    def __init__(self, step: Callable[[], object], device: torch.device) -> None:
        cuda = device.type == "cuda"
        with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]) as recorded:
            for _ in range(_STEPS):
                step()
            if cuda:
                torch.cuda.synchronize(device)
        self._kind = "device" if cuda else "cpu"
        # kernels are listed a second time beside the operations that launched them
        self._events = [event for event in recorded.key_averages() if event.device_type == DeviceType.CPU]

    @property
    def seconds(self) -> float:
        """Of all operations of a step."""
        return sum(map(self._self_time, self._events)) / 1e6 / _STEPS

    def inclusive(self) -> dict[str, float]:
        """Seconds a step of each operation, with the operations that it calls."""
        return {event.key: getattr(event, f"{self._kind}_time_total") / 1e6 / _STEPS for event in self._events}

    def longest(self, top: int = 12) -> list[dict[str, Any]]:
        """Rows with the share of the operations that take most by themselves."""
        events = sorted(self._events, key=self._self_time, reverse=True)
        total = sum(map(self._self_time, events)) or 1.0
        return [
            {
                "operation": event.key,
                "per cent": float(f"{100 * self._self_time(event) / total:.3g}"),
                "calls a step": round(event.count / _STEPS, 1),
            }
            for event in events[:top]
        ]

    def _self_time(self, event: Any) -> float:
        return float(getattr(event, f"self_{self._kind}_time_total"))


def profiles(name: str, step: TrainingStep, dtype: torch.dtype) -> list[dict[str, Any]]:
    """Operations and stages of a warm step of a variant, as parts of a table."""
    peak = measure_peak(step.device, {torch.float32, dtype})
    recording = Recording(step, step.device)
    parts = [{"name": f"Where the time of a step of {name} goes (self time)", "rows": recording.longest()}]
    if shapes := input_shapes(step, step.network):
        title = f"Stages of a step of {name}, and the least time of each: operations and bytes at {peak}"
        parts.append({"name": title, "rows": stage_rows(recording, shapes, peak)})
    return parts


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
