"""Class weights are counted from the training masks."""

from __future__ import annotations

import numpy as np
import pytest

import small_scenes
from netdeconv.data import DataConfig
from netdeconv.data.segmentation import PairError, Views
from netdeconv.tasks.class_weights import class_weights

# sky, building, road, void: pixels of three masks
COUNTS = [{0: 10, 3: 38, 11: 16}, {1: 16, 3: 48}, {0: 20, 3: 44}]


@pytest.fixture
def root(tmp_path):
    for number, counts in enumerate(COUNTS):
        mask = np.concatenate([np.full(count, label, np.uint8) for label, count in counts.items()]).reshape(8, 8)
        small_scenes.save(tmp_path / "camvid/trainannot" / f"{number}.png", mask)
        small_scenes.save(tmp_path / "camvid/train" / f"{number}.png", np.zeros((8, 8, 3), np.uint8))
    return tmp_path


def weights(root, kind, **data):
    return class_weights(kind, DataConfig(dataset="camvid", data_dir=str(root), **data), Views())


def test_inverse_frequencies_give_every_class_the_same_weight_in_all(root):
    found = weights(root, "inverse")
    pixels = {0: 30, 1: 16, 3: 130}
    assert [found[label] * count for label, count in pixels.items()] == pytest.approx([176 / 3] * 3, rel=1e-5)
    assert [found[label] for label in range(11) if label not in pixels] == [0.0] * 8


def test_median_frequencies_are_of_the_images_that_a_class_occurs_in(root):
    frequencies = {0: 30 / (48 + 64), 1: 16 / 64, 3: 130 / (48 + 64 + 64)}
    median = sorted(frequencies.values())[1]
    found = weights(root, "median")
    assert [found[label] for label in frequencies] == pytest.approx(
        [median / value for value in frequencies.values()], rel=1e-5
    )
    assert sum(found) == pytest.approx(sum(median / value for value in frequencies.values()), rel=1e-5)


def test_what_is_cut_from_train_does_not_count(root):
    # the second of three is cut
    assert weights(root, "inverse", validation_size=1)[1] == 0


def test_without_weights_nothing_is_read(tmp_path):
    assert weights(tmp_path, "none") is None


def test_an_unknown_kind_and_a_wrong_mask_are_refused(root):
    with pytest.raises(ValueError, match="unknown kind of class weights 'mean'; did you mean 'median'"):
        weights(root, "mean")
    small_scenes.save(root / "camvid/trainannot/2.png", np.full((8, 8), 77, np.uint8))
    with pytest.raises(PairError, match=r"2.png holds label ids .*: 77"):
        weights(root, "median")
