"""Averages of the weights over training steps, with statistics that fit them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from netdeconv.nn import WhitenedLayer
from netdeconv.surgery import recalibrate


def averaged_model(model: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential average of the network's weights that starts at their values now.

    Args:
        model: the network.
        decay: weight of the old average at every step.
    """
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    average.update_parameters(model)
    return average


def fit_statistics(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace running statistics by averages over batches: those of training belong to other weights.

    Args:
        model: with whitened layers, batch norm, both or neither.
        batches: inputs (N, ...).
    """
    inputs: Sequence[Tensor] = list(batches)
    if any(isinstance(module, WhitenedLayer) for module in model.modules()):
        recalibrate(model, inputs)
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if norms:
        with _averaging(model, norms), torch.no_grad():
            for batch in inputs:
                model(batch)


@contextlib.contextmanager
def _averaging(model: nn.Module, norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Batch norm in training mode with an equal weight for every batch; all else in evaluation mode."""
    modes = {module: module.training for module in model.modules()}
    momenta = {norm: norm.momentum for norm in norms}
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.training = True
    try:
        yield
    finally:
        for norm, momentum in momenta.items():
            norm.momentum = momentum
        for module, mode in modes.items():
            module.training = mode


def copy_of(average: AveragedModel) -> nn.Module:
    """Return the averaged network as one of its own, in evaluation mode."""
    return copy.deepcopy(average.module).eval()
