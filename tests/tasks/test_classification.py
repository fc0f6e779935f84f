"""Loss and accuracy of classification are exact, whatever the batches."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from netdeconv.tasks import Classification

CPU = torch.device("cpu")


@pytest.mark.parametrize("loss", ["CE", "L2"])
def test_metrics_do_not_depend_on_how_the_samples_are_batched(loss):
    task = Classification(loss=loss)
    outputs, targets = torch.randn(100, 10), torch.randint(10, (100,))
    measured = []
    for sizes in ([100], [40, 60], [33, 33, 33, 1]):
        meter = task.meter(10, CPU)
        for part_of_outputs, part_of_targets in zip(outputs.split(sizes), targets.split(sizes), strict=True):
            meter.update(part_of_outputs, part_of_targets)
        measured.append(meter.compute())
    right = sum(int(scores.argmax()) == int(label) for scores, label in zip(outputs, targets, strict=True))
    for found in measured:
        assert found["accuracy"] == right
        # Means of float32 in different groupings: a few units in the last place.
        expected = float(task.compute_loss(outputs, targets))
        assert found["loss"] == pytest.approx(expected, rel=8 * torch.finfo(torch.float32).eps)


def test_cross_entropy_is_minus_the_log_of_the_right_share():
    outputs = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    expected = -(outputs.softmax(1)[0, 0].log() + outputs.softmax(1)[1, 2].log()) / 2
    assert torch.allclose(Classification().compute_loss(outputs, torch.tensor([0, 2])), expected)


def test_squared_error_is_the_mean_over_samples_and_classes_against_one_hot():
    outputs = torch.tensor([[1.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    # 0.5^2 in one place, 1 in another, of 8.
    value = Classification(loss="L2").compute_loss(outputs, torch.tensor([0, 3]))
    assert float(value) == 1.25 / 8


def test_squared_error_has_a_gradient_towards_the_labels():
    outputs = torch.zeros(4, 5, requires_grad=True)
    targets = torch.tensor([0, 1, 2, 3])
    Classification(loss="L2").compute_loss(outputs, targets).backward()
    assert torch.equal(outputs.grad, -2 * functional.one_hot(targets, 5).float() / 20)
