"""The task of segmentation: ignored pixels, auxiliary loss, one confusion matrix."""

from __future__ import annotations

import json

import pytest
import torch
from sklearn.metrics import accuracy_score, jaccard_score
from torch.nn import functional

from netdeconv.data.config import DataConfig, Views
from netdeconv.data.registry import IGNORE, segmentation_info
from netdeconv.models import NormConfig
from netdeconv.nn import WhitenedLayer, Whitening
from netdeconv.tasks import TASKS, Segmentation
from netdeconv.training.config import NetworkConfig, TrainingConfig
from netdeconv.training.plain import from_plain, to_plain

CPU = torch.device("cpu")
CLASSES = 4


def batch(size: int = 3, *, ignored: float = 0.2):
    scores = torch.randn(size, CLASSES, 6, 5)
    targets = torch.randint(0, CLASSES, (size, 6, 5))
    return scores, targets.masked_fill(torch.rand(targets.shape) < ignored, IGNORE)


def test_ignored_pixels_count_neither_in_the_loss_nor_in_its_gradient():
    scores, targets = batch()
    scores.requires_grad_()
    loss = Segmentation().compute_loss({"out": scores}, targets)
    kept = targets != IGNORE
    expected = functional.cross_entropy(scores.permute(0, 2, 3, 1)[kept], targets[kept])
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert (scores.grad.abs().sum(1) > 0).equal(kept)


def test_a_batch_of_ignored_pixels_has_no_loss_and_no_nan():
    task = Segmentation()
    scores, targets = batch(ignored=1.1)
    scores.requires_grad_()
    loss = task.compute_loss({"out": scores, "aux": scores * 2}, targets)
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.equal(scores.grad, torch.zeros_like(scores))
    meter = task.meter(CLASSES, CPU)
    meter.update({"out": scores.detach()}, targets)
    assert meter.compute() == {"loss": 0.0, "accuracy": 0.0, "mean_iou": 0.0, "iou": [None] * CLASSES}


@pytest.mark.parametrize("weight", [0.5, 0.0, 2.0])
def test_the_auxiliary_loss_has_its_share(weight):
    scores, targets = batch()
    other = torch.randn_like(scores)
    task = Segmentation(auxiliary_weight=weight)
    parts = [task.compute_loss(each, targets) for each in (scores, other)]
    torch.testing.assert_close(task.compute_loss({"out": scores, "aux": other}, targets), parts[0] + weight * parts[1])


def test_the_loss_is_computed_in_single_precision():
    scores, targets = batch()
    low = scores.bfloat16()
    torch.testing.assert_close(
        Segmentation().compute_loss(low, targets), Segmentation().compute_loss(low.float(), targets), rtol=0, atol=0
    )


def measured(batches, task: Segmentation | None = None):
    meter = (task or Segmentation()).meter(CLASSES, CPU)
    for scores, targets in batches:
        meter.update(scores, targets)
    return meter.compute()


def test_the_meter_agrees_with_scikit_learn():
    scores, targets = batch(7)
    result = measured([({"out": scores, "aux": -scores}, targets)])
    kept = targets != IGNORE
    truth, guess = targets[kept].numpy(), scores.argmax(1)[kept].numpy()
    each = 100 * jaccard_score(truth, guess, average=None, labels=range(CLASSES))
    assert result["iou"] == pytest.approx(each.tolist(), abs=1e-4)
    assert result["mean_iou"] == pytest.approx(each.mean(), abs=1e-4)
    assert result["accuracy"] == pytest.approx(100 * accuracy_score(truth, guess), abs=1e-4)
    assert result["loss"] == pytest.approx(
        float(functional.cross_entropy(scores, targets, ignore_index=IGNORE)), rel=1e-6
    )


def test_any_batching_gives_the_same_result():
    scores, targets = batch(6)
    whole = measured([(scores, targets)])
    parts = measured(zip(scores.split([1, 3, 2]), targets.split([1, 3, 2]), strict=True))
    assert {**parts, "loss": None} == {**whole, "loss": None}
    assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-6)


def test_scores_that_overflow_have_a_loss_that_is_no_number():
    scores, targets = batch()
    scores[0, 0] = float("nan")
    result = measured([(scores, targets), batch()])
    assert result["loss"] != result["loss"]
    assert 0 < result["accuracy"] < 100


def test_a_class_that_never_occurs_takes_no_part_in_the_mean():
    scores, targets = batch()
    scores[:, 2] = -100
    targets[targets == 2] = 1
    result = measured([(scores, targets)])
    assert result["iou"][2] is None
    known = [value for value in result["iou"] if value is not None]
    assert len(known) == 3
    assert result["mean_iou"] == pytest.approx(sum(known) / 3, abs=1e-4)
    assert json.loads(json.dumps(result)) == result


def test_a_class_that_is_only_predicted_counts_as_zero():
    scores, targets = batch()
    targets[targets == 2] = 1
    result = measured([(scores, targets)])
    assert result["iou"][2] == 0
    assert result["mean_iou"] == pytest.approx(sum(result["iou"]) / 4, abs=1e-4)


def test_settings_become_plain_data_and_back():
    task = Segmentation(views=Views(size=(18, 24), evaluate_on="test"))
    config = TrainingConfig(task=task, data=DataConfig(dataset="camvid"))
    assert from_plain(json.loads(json.dumps(to_plain(config))), TASKS) == config


def built(task: Segmentation, **network):
    config = NetworkConfig(**{"arch": "fcn_resnet18", "width": 0.125, **network})
    return task.build_network(config, segmentation_info("camvid"))


def whitened(network) -> dict[str, Whitening]:
    return {name: layer.whitening for name, layer in network.named_modules() if isinstance(layer, WhitenedLayer)}


def test_the_network_is_that_of_the_settings():
    plain = built(Segmentation(auxiliary=False, output_stride=8))
    assert plain.aux_classifier is None
    assert plain.backbone.layer3[0].conv1.stride == (1, 1)
    assert plain.classifier[4].out_channels == 11
    assert not whitened(plain)
    layers = whitened(built(Segmentation(), norm=NormConfig(name="paper", group_size=8, freeze=False)))
    assert layers.pop("backbone.conv1") == Whitening(group_size=8, num_iterations=15)
    base = Whitening(group_size=8)
    assert {"classifier.0", "classifier.4", "aux_classifier.0", "aux_classifier.4"} < layers.keys()
    assert {*layers.values()} == {base}
    assert built(Segmentation(), norm=NormConfig(name="paper", bias=False)).classifier[4].bias is None


def test_depthwise_layers_have_the_steps_of_their_network():
    network = built(Segmentation(), arch="lraspp_mobilenet_v3_large", width=1.0, norm=NormConfig(name="full16"))
    steps = {
        layer.whitening.num_iterations
        for layer in network.modules()
        if isinstance(layer, WhitenedLayer) and layer.groups > 1
    }
    assert steps == {1}


def test_weights_of_the_backbone_mean_nothing_in_a_whitened_network():
    with pytest.raises(ValueError, match="pretrained"):
        built(Segmentation(pretrained_backbone=True), width=1.0, norm=NormConfig(name="paper"))


@pytest.mark.parametrize("settings", [{"auxiliary_weight": -1.0}, {"auxiliary_weight": float("nan")}])
def test_senseless_weights_are_refused(settings):
    with pytest.raises(ValueError, match="finite and not negative"):
        Segmentation(**settings)
