"""Folders of images: found, listed, cut, and refused with what is wrong with them."""

from __future__ import annotations

import shutil

import pytest
import torch

from image_folders import CLASSES, write_folder, write_image, write_part
from netdeconv.data import (
    DataConfig,
    DataError,
    LeftOutWarning,
    MissingDataError,
    folder_classes,
    info,
    open_splits,
    read,
)
from netdeconv.data.folder import read_files

CPU = torch.device("cpu")


def opened(root, **changes):
    settings = {"dataset": "imagenet", "data_dir": str(root), "num_classes": 3, "image_size": 16, "batch_size": 6}
    return open_splits(DataConfig(**{**settings, **changes}), seed=0, device=CPU)


def test_labels_are_the_places_of_the_classes_in_alphabetical_order(tmp_path):
    files = read_files(write_folder(tmp_path) / "train")
    assert tuple(files.classes) == CLASSES
    assert files.targets == [0] * 8 + [1] * 8 + [2] * 8
    assert files.samples[9][0] == str(tmp_path / "train" / "n02" / "n02_1.JPEG")
    image, label = files[9]
    assert (image.shape, label) == ((3, 40, 40), 1)


@pytest.mark.parametrize(
    ("name", "below"), [("imagenet", "ILSVRC/Data/CLS-LOC"), ("imagenet", ""), ("imagenette", "imagenette2-160")]
)
def test_a_set_is_found_in_its_folder_or_below(tmp_path, name, below):
    write_folder(tmp_path / below)
    splits = opened(tmp_path, dataset=name)
    assert splits.train.num_samples == 24
    assert splits.evaluation.num_samples == 9
    assert splits.info.num_classes == 3
    assert splits.info.shape == (3, 16, 16)
    assert splits.evaluated_on == "test"


def test_classes_are_counted(tmp_path):
    assert len(folder_classes(write_folder(tmp_path))) == 3


def test_another_number_of_classes_than_the_heads_is_refused(tmp_path):
    write_folder(tmp_path)
    with pytest.raises(ValueError, match=r"has 3 classes, where 1000 are expected: the network's head"):
        opened(tmp_path, num_classes=None)
    with pytest.raises(ValueError, match=r"has 3 classes, where 10 are expected"):
        opened(tmp_path, dataset="imagenette", num_classes=None)


def test_no_validation_folder_says_how_to_go_on(tmp_path):
    write_part(tmp_path / "train", 8)
    with pytest.raises(MissingDataError, match="has no folder val: evaluate on images cut from train with --valid"):
        opened(tmp_path)
    splits = opened(tmp_path, validation_size=6)
    assert (splits.train.num_samples, splits.evaluation.num_samples, splits.evaluated_on) == (18, 6, "validation")


def test_unsorted_validation_images_say_how_to_go_on(tmp_path):
    write_part(tmp_path / "train", 2)
    (tmp_path / "val").mkdir()
    for number in range(3):
        write_image(tmp_path / "val" / f"ILSVRC2012_val_{number}.JPEG", number)
    with pytest.raises(MissingDataError, match=r"val holds 3 files, and no folder for each class: sort.*--validation"):
        opened(tmp_path)


def test_classes_that_differ_between_train_and_val_are_named(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "val" / "n02").rename(tmp_path / "val" / "n09")
    with pytest.raises(DataError, match="must have the same class folders, but 1 not in val: n02; 1 not in train: n09"):
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
    with pytest.warns(LeftOutWarning, match=r"files of .*train are left out.*\.jpg.*: 1 \(n01/n01_0.jepg\)"):
        assert len(read_files(root / "train")) == 5
    (root / "train/n01/n01_1.JPEG").rename(root / "train/n01/n01_1.gif")
    with pytest.raises(DataError, match=r"train: .*classes n01. Names of images end in .*, unlike n01/n01_0.jepg"):
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
    with pytest.raises(MissingDataError, match=r"expected are train/CLASS/IMAGE and val/CLASS/IMAGE\. Name"):
        opened(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingDataError, match=f"there is no folder {tmp_path / 'none'}"):
        opened(tmp_path / "none")


def test_parts_keep_every_class_in_proportion_and_are_disjoint(tmp_path):
    write_folder(tmp_path)
    splits = opened(tmp_path, validation_size=6, train_size=9, augment=False)
    (train, train_labels), (cut, cut_labels) = (
        map(torch.cat, zip(*batches, strict=True)) for batches in (splits.train.epoch(1), splits.evaluation)
    )
    assert train_labels.bincount().tolist() == [3, 3, 3]
    assert cut_labels.bincount().tolist() == [2, 2, 2]
    assert len({image.numpy().tobytes() for image in (*train, *cut)}) == 15
    assert opened(tmp_path, evaluation_size=6).evaluation.num_samples == 6
    again = opened(tmp_path, validation_size=6)
    assert torch.equal(torch.cat([inputs for inputs, _ in again.evaluation]), cut)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation_size": 24}, "cannot cut 24 samples from 24"),
        ({"num_workers": -1}, "num_workers must be at least 0, got -1"),
        ({"image_size": 1}, "image_size must be at least 8, got 1: networks for image files halve"),
        ({"resize": 15}, "resize 15 is smaller than image_size 16: images would be padded with black"),
        ({"max_batches": 0}, "max_batches must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, settings, message):
    write_folder(tmp_path)
    with pytest.raises(ValueError, match=message):
        opened(tmp_path, **settings)


@pytest.mark.parametrize("setting", [{"image_size": 16}, {"resize": 20}, {"num_classes": 10}])
def test_settings_of_image_files_are_refused_for_sets_in_memory(setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))} is for sets of image files"):
        open_splits(DataConfig(dataset="digits", **setting), seed=0, device=CPU)


def test_image_files_are_not_read_into_memory():
    with pytest.raises(ValueError, match="'imagenet' is read from its image files as they are needed"):
        read("imagenet")


def test_a_failed_download_is_missing_data_with_the_reason(tmp_path, monkeypatch):
    import torchvision

    def unreachable(root, *, size, download):
        assert (root, size, download) == (str(tmp_path), "160px", True)
        raise OSError("the network is unreachable")

    monkeypatch.setattr(torchvision.datasets, "Imagenette", unreachable)
    with pytest.raises(MissingDataError, match="the network is unreachable"):
        opened(tmp_path, dataset="imagenette", download=True)


def test_a_download_is_then_read(tmp_path, monkeypatch):
    import torchvision

    monkeypatch.setattr(
        torchvision.datasets, "Imagenette", lambda root, **_: write_folder(tmp_path / "imagenette2-160")
    )
    assert opened(tmp_path, dataset="imagenette", download=True).train.num_samples == 24


def test_the_real_sample_has_its_classes_and_colours(real_data):
    root = real_data("imagenet_sample") / "imagenet_sample"
    settings = DataConfig(dataset="imagenette", data_dir=str(root), batch_size=100, image_size=64, validation_size=100)
    splits = open_splits(settings, seed=0, device=CPU)
    assert (splits.train.num_samples, splits.evaluation.num_samples) == (900, 100)
    inputs, labels = next(iter(splits.evaluation))
    assert labels.bincount().tolist() == [10] * 10
    # Ten classes of a thousand: near the mean and the deviation of all, not at them.
    assert inputs.mean((0, 2, 3)).abs().max() < 0.3
    assert (inputs.std((0, 2, 3)) - 1).abs().max() < 0.3
    assert len(folder_classes(root / "imagenet1000")) == info("imagenet").num_classes
