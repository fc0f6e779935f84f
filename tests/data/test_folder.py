"""Folders of images: found, listed, cut, and refused with what is wrong with them."""

from __future__ import annotations

import shutil

import pytest
import torch

from image_folders import CLASSES, write_folder, write_image, write_part
from netdeconv.data.config import DataConfig
from netdeconv.data.errors import DataError, MissingDataError
from netdeconv.data.folder import read_files
from netdeconv.data.memory import read
from netdeconv.data.splits import open_splits

CPU = torch.device("cpu")


def opened(root, **changes):
    settings = {"dataset": "imagenet", "data_dir": str(root), "image_size": 16, "batch_size": 6}
    return open_splits(DataConfig(**{**settings, **changes}), seed=0, device=CPU)


def test_labels_are_the_places_of_the_classes_in_alphabetical_order(tmp_path):
    files = read_files(write_folder(tmp_path) / "train")
    assert tuple(files.classes) == CLASSES
    assert files.targets == [0] * 8 + [1] * 8 + [2] * 8
    assert files.samples[9][0] == str(tmp_path / "train" / "n02" / "n02_1.JPEG")
    image, label = files[9]
    assert (image.shape, label) == ((3, 40, 40), 1)


@pytest.mark.parametrize("below", ["ILSVRC/Data/CLS-LOC", ""])
def test_a_set_is_found_in_its_folder_or_below(tmp_path, below):
    write_folder(tmp_path / below)
    splits = opened(tmp_path)
    assert splits.train.num_samples == 24
    assert sum(map(len, splits.evaluation.batches)) == 9
    assert splits.info.num_classes == 3
    assert splits.info.shape == (3, 16, 16)
    assert splits.evaluated_on == "test"


def test_no_validation_folder_says_how_to_go_on(tmp_path):
    write_part(tmp_path / "train", 8)
    with pytest.raises(MissingDataError, match=r"has no folder val: .* cut some from train with --validation-size"):
        opened(tmp_path)
    splits = opened(tmp_path, validation_size=6)
    assert (splits.train.num_samples, sum(map(len, splits.evaluation.batches)), splits.evaluated_on) == (
        18,
        6,
        "validation",
    )


def test_unsorted_validation_images_say_how_to_go_on(tmp_path):
    write_part(tmp_path / "train", 2)
    (tmp_path / "val").mkdir()
    for number in range(3):
        write_image(tmp_path / "val" / f"ILSVRC2012_val_{number}.JPEG", number)
    with pytest.raises(MissingDataError, match=r"val holds no folder for each class: sort.*--validation"):
        opened(tmp_path)


def test_classes_that_differ_between_train_and_val_are_named(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "val" / "n02").rename(tmp_path / "val" / "n09")
    with pytest.raises(DataError, match="must have the same class folders, but only one has n02, n09"):
        opened(tmp_path)


def test_a_class_without_images_is_named(tmp_path):
    write_folder(tmp_path)
    shutil.rmtree(tmp_path / "train" / "n02")
    (tmp_path / "train" / "n02").mkdir()
    with pytest.raises(DataError, match=r"train: .*n02"):
        opened(tmp_path)


def test_files_that_are_no_images_by_their_names_are_left_out_and_said(tmp_path):
    root = write_folder(tmp_path, train=2, val=1)
    (root / "train/n01/n01_0.JPEG").rename(root / "train/n01/n01_0.jepg")
    (root / "train/n01/.DS_Store").touch()
    with pytest.warns(UserWarning, match=r"1 files of .*train are left out \(n01/n01_0.jepg\): .*\.jpg"):
        assert len(read_files(root / "train")) == 5
    (root / "train/n01/n01_1.JPEG").rename(root / "train/n01/n01_1.gif")
    with pytest.raises(DataError, match=r"train: .*classes n01. .*Names of images end in .*\.jpg"):
        read_files(root / "train")


@pytest.mark.parametrize("below", ["", "train", "train/n02"])
def test_a_folder_that_may_not_be_read_is_not_called_missing(tmp_path, monkeypatch, below):
    root = write_folder(tmp_path / "set", train=2, val=1)
    closed = str((root / below) if below else root)
    # Permissions mean nothing to a superuser, who may run the tests.
    monkeypatch.setattr("os.access", lambda path, mode: str(path) != closed)
    with pytest.raises(DataError, match=rf"{closed} may not be read by this user: .*chmod"):
        opened(root)


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "images.tar").touch()
    with pytest.raises(DataError, match=r"images.tar is a file, where a folder is expected"):
        opened(tmp_path / "images.tar")


def test_a_folder_of_other_things_says_what_is_expected(tmp_path):
    with pytest.raises(MissingDataError, match=r"expected are train/CLASS/IMAGE and val/CLASS/IMAGE\)\. Name"):
        opened(tmp_path)


def test_parts_keep_every_class_in_proportion_and_are_disjoint(tmp_path):
    write_folder(tmp_path)
    splits = opened(tmp_path, validation_size=6, train_size=9, augment=False)
    (train, train_labels), (cut, cut_labels) = (
        map(torch.cat, zip(*batches, strict=True)) for batches in (splits.train.epoch(1), splits.evaluation)
    )
    assert train_labels.bincount().tolist() == [3, 3, 3]
    assert cut_labels.bincount().tolist() == [2, 2, 2]
    assert len({image.numpy().tobytes() for image in (*train, *cut)}) == 15
    assert sum(map(len, opened(tmp_path, evaluation_size=6).evaluation.batches)) == 6
    again = opened(tmp_path, validation_size=6)
    assert torch.equal(torch.cat([inputs for inputs, _ in again.evaluation]), cut)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation_size": 24}, "cannot cut 24 samples from 24"),
        ({"num_workers": -1}, "num_workers must be at least 0, got -1"),
        ({"image_size": 1}, "image_size must be at least 8, got 1"),
        ({"max_batches": 0}, "max_batches must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, settings, message):
    write_folder(tmp_path)
    with pytest.raises(ValueError, match=message):
        opened(tmp_path, **settings)


def test_settings_of_image_files_are_refused_for_sets_in_memory():
    with pytest.raises(ValueError, match="image_size is for image files with one label each, not for 'digits'"):
        open_splits(DataConfig(dataset="digits", image_size=16), seed=0, device=CPU)


def test_image_files_are_not_read_into_memory():
    with pytest.raises(ValueError, match="'imagenet' is read from its image files as they are needed"):
        read("imagenet")


def test_the_real_sample_has_its_classes_and_colours(real_data):
    root = real_data("imagenet_sample")
    settings = DataConfig(dataset="imagenette", data_dir=str(root), batch_size=100, image_size=64, validation_size=100)
    splits = open_splits(settings, seed=0, device=CPU)
    assert (splits.train.num_samples, sum(map(len, splits.evaluation.batches))) == (900, 100)
    inputs, labels = next(iter(splits.evaluation))
    assert labels.bincount().tolist() == [10] * 10
    # Ten classes of a thousand: near the mean and the deviation of all, not at them.
    assert inputs.mean((0, 2, 3)).abs().max() < 0.3
    assert (inputs.std((0, 2, 3)) - 1).abs().max() < 0.3
