"""Averages of the weights over training steps."""

from __future__ import annotations

import copy

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def averaged_model(model: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential average of the network's weights that starts at their values now.

    Args:
        model: the network.
        decay: weight of the old average at every step.
    """
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    average.update_parameters(model)
    return average


def copy_of(average: AveragedModel) -> nn.Module:
    """Return the averaged network as one of its own, in evaluation mode."""
    return copy.deepcopy(average.module).eval()
