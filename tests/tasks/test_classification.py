"""Loss and accuracy of classification are exact, whatever the batches."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from netdeconv.data.config import DataConfig
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


def test_smoothing_spreads_a_share_over_all_classes():
    outputs, targets = torch.randn(6, 4), torch.randint(4, (6,))
    shares = 0.8 * functional.one_hot(targets, 4) + 0.2 / 4
    cross_entropy = -(shares * outputs.log_softmax(1)).sum(1).mean()
    found = Classification(label_smoothing=0.2).compute_loss(outputs, targets)
    assert torch.allclose(found, cross_entropy, rtol=1e-5)
    squares = Classification(loss="L2", label_smoothing=0.2).compute_loss(outputs, targets)
    assert torch.allclose(squares, (outputs - shares).square().mean(), rtol=1e-5)


def test_evaluation_knows_no_smoothing():
    outputs, targets = torch.randn(6, 4), torch.randint(4, (6,))
    meters = [Classification(label_smoothing=smoothing).meter(4, CPU) for smoothing in (0.0, 0.5)]
    for meter in meters:
        meter.update(outputs, targets)
    assert meters[0].compute() == meters[1].compute()


def test_the_best_five_are_counted_where_there_are_many_classes():
    outputs = torch.arange(12.0).expand(4, 12)
    targets = torch.tensor([11, 7, 6, 0])
    meter = Classification().meter(12, CPU)
    meter.update(outputs, targets)
    found = meter.compute()
    assert (found["accuracy"], found["accuracy_top5"]) == (25.0, 50.0)
    few = Classification().meter(10, CPU)
    few.update(outputs[:, :10], targets[2:].repeat(2))
    assert "accuracy_top5" not in few.compute()


def test_mixed_images_and_targets_have_the_same_shares():
    inputs, targets = torch.eye(4)[:, :, None, None].expand(4, 4, 1, 1).contiguous(), torch.arange(4)
    mixed, shares = Classification(mixup=1.0).mix(inputs, targets, 4)
    assert torch.allclose(mixed[:, :, 0, 0], shares)
    assert torch.allclose(shares.sum(1), torch.ones(4))
    assert float(shares.max()) < 1
    same, labels = Classification().mix(inputs, targets, 4)
    assert same is inputs
    assert labels is targets


def test_every_image_has_a_square_of_its_own_in_the_mean_colour():
    torch.manual_seed(0)
    inputs, targets = torch.ones(60, 3, 32, 24), torch.arange(60)
    found, labels = Classification(cutout=7).mix(inputs, targets, 60)
    assert labels is targets
    assert set(found.unique().tolist()) == {0.0, 1.0}
    hidden = found[:, 0] == 0
    assert torch.equal(hidden, (found == 0).all(1))  # in every colour
    assert set(hidden.any(1).sum(1).tolist()) == set(hidden.any(2).sum(1).tolist()) == {7}
    assert set(hidden.flatten(1).sum(1).tolist()) == {49}
    assert len({tuple(mask.nonzero()[0].tolist()) for mask in hidden}) > 30


def test_squares_as_large_as_the_images_are_refused():
    with pytest.raises(ValueError, match="cutout 32 hides all of an image of"):
        Classification(cutout=32).open(DataConfig(), seed=0, device=CPU)


@pytest.mark.parametrize("settings", [{"label_smoothing": 1.0}, {"mixup": -1.0}, {"cutout": -1}])
def test_numbers_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Classification(**settings)
