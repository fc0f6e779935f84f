"""A run is read back: its network, what it measured, what it predicts."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from torch.nn import functional
from torchvision.transforms import v2

from netdeconv.data.config import Views
from netdeconv.data.decoding import load_image
from netdeconv.tasks import Segmentation
from netdeconv.tasks.trained import load_trained
from netdeconv.training.checkpoint import CheckpointError
from netdeconv.training.run_directory import RunDirectoryError
from netdeconv.training.session import run
from small_runs import StopAt, numbers
from small_scenes import small_segmentation


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two epochs, its network and its settings."""
    root = tmp_path_factory.mktemp("trained")
    config = small_segmentation(root, root / "run", epochs=2)
    return root, config, run(config)


def test_the_network_measures_what_the_run_measured(finished):
    root, _, result = finished
    trained = load_trained(root / "run")
    measured = trained.measure()
    assert measured == trained.measure("val")
    last = result.history[-1]
    assert {**measured, "loss": None} == {key: last[key] for key in measured} | {"loss": None}
    assert measured["loss"] == pytest.approx(last["loss"], rel=1e-5)
    assert trained.network.training is False
    assert trained.measure("test")["iou"] != measured["iou"]


def test_a_stopped_run_goes_on_bit_for_bit(finished, tmp_path):
    _, config, result = finished
    config = dataclasses.replace(config, result_path=str(tmp_path / "run"))
    with pytest.raises(KeyboardInterrupt):
        run(config, progress=StopAt(2, 1))
    resumed = run(config, resume=True)
    assert numbers(resumed.history) == numbers(result.history)
    for key, value in result.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[key], value), key


def test_an_image_is_predicted_as_in_evaluation(finished):
    root, _, result = finished
    trained = load_trained(root / "run")
    _, source = trained.pairs()
    assert len(source) == 5
    image, _ = source[2]
    info = trained.info
    inputs = (image.float() / 255 - torch.tensor(info.mean).view(3, 1, 1)) / torch.tensor(info.std).view(3, 1, 1)
    with torch.no_grad():
        scores = result.model.eval()(inputs[None])["out"]
    assert torch.equal(trained.predict(image), scores.argmax(1)[0].to(torch.uint8))


def test_an_image_of_any_size_is_predicted_at_the_size_of_the_run(finished):
    root, _, _ = finished
    trained = load_trained(root / "run")
    task = dataclasses.replace(trained.config.task, views=Views(size=(24, 32)))
    sized = dataclasses.replace(trained, config=dataclasses.replace(trained.config, task=task))
    image = load_image(root / "camvid/val/val_01.png")
    large = functional.interpolate(image[None], scale_factor=3)[0]
    predicted = sized.predict(large)
    assert predicted.shape == (72, 96)
    info = trained.info
    small = v2.functional.resize(large, [24, 32], antialias=True)
    inputs = (small.float() / 255 - torch.tensor(info.mean).view(3, 1, 1)) / torch.tensor(info.std).view(3, 1, 1)
    scores = functional.interpolate(trained.scores(inputs[None])["out"], (72, 96), mode="bilinear", align_corners=False)
    assert (predicted == scores.argmax(1)[0]).float().mean() > 0.99  # rounding may decide between equal scores
    assert sized.predict(torch.zeros(3, 7, 9, dtype=torch.uint8)).shape == (7, 9)


def test_what_is_no_run_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"experiment": "camvid"}')
    with pytest.raises(RunDirectoryError, match="holds no run of one network"):
        load_trained(tmp_path)
    with pytest.raises(RunDirectoryError, match="holds no run"):
        load_trained(tmp_path / "nothing")


def test_a_class_list_that_does_not_fit_the_checkpoint_is_refused(finished, tmp_path):
    root, _, _ = finished
    plain = json.loads((root / "run/config.json").read_text())
    plain["data"]["dataset"] = "cityscapes"
    (tmp_path / "config.json").write_text(json.dumps(plain))
    (tmp_path / "checkpoint.pt").write_bytes((root / "run/checkpoint.pt").read_bytes())
    with pytest.raises(CheckpointError, match="predicts 11 classes, and cityscapes has 19: road, sidewalk"):
        load_trained(tmp_path)


def test_other_weights_are_refused_by_name(finished, tmp_path):
    root, _, _ = finished
    plain = json.loads((root / "run/config.json").read_text())
    plain["task"]["auxiliary"] = False
    (tmp_path / "config.json").write_text(json.dumps(plain))
    (tmp_path / "checkpoint.pt").write_bytes((root / "run/checkpoint.pt").read_bytes())
    with pytest.raises(CheckpointError, match=r"Unexpected key\(s\) in state_dict: .aux_classifier"):
        load_trained(tmp_path)


def test_averaged_weights_are_what_is_read(tmp_path):
    config = small_segmentation(tmp_path, tmp_path / "run", epochs=1, averaging=0.5, recalibration=2)
    result = run(config)
    trained = load_trained(tmp_path / "run")
    for key, value in result.model.state_dict().items():
        assert torch.equal(trained.network.state_dict()[key], value), key


def test_images_cut_from_train_are_what_a_search_was_evaluated_on(tmp_path):
    config = small_segmentation(tmp_path, tmp_path / "run", epochs=1)
    data = dataclasses.replace(config.data, validation_size=3, max_batches=1)
    run(dataclasses.replace(config, data=data))
    part, source = load_trained(tmp_path / "run").pairs()
    assert part == "validation"
    assert [image.stem for image, _ in source.files] == ["train_01", "train_05", "train_08"]


def test_no_weights_of_the_backbone_are_fetched_again(tmp_path, monkeypatch):
    asked = []
    real = Segmentation.build_network
    monkeypatch.setattr(
        Segmentation, "build_network", lambda self, *a: asked.append(self.pretrained_backbone) or real(self, *a)
    )
    config = small_segmentation(tmp_path, tmp_path / "run", epochs=1)
    run(config)
    plain = json.loads((tmp_path / "run/config.json").read_text())
    plain["task"]["pretrained_backbone"] = True
    (tmp_path / "run/config.json").write_text(json.dumps(plain))
    load_trained(tmp_path / "run")
    assert asked == [False, False]
