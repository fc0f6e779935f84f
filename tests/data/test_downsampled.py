"""Pickled batches of downsampled ImageNet: read, and refused where they are not what they should be."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from netdeconv.data import DataConfig, DataError, MissingDataError, find_imagenet, open_splits, read

CPU = torch.device("cpu")
EACH = 4


def write(folder: Path, side: int, *, first_label: int = 1) -> None:
    """Ten batches and one for validation; labels count up from 1, pixels are random."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for number, name in enumerate([*(f"train_data_batch_{index}" for index in range(1, 11)), "val_data"]):
        content = {
            "data": generator.integers(256, size=(EACH, 3 * side * side), dtype=np.uint8),
            "labels": [first_label + (number * EACH + index) % 1000 for index in range(EACH)],
            "mean": np.zeros(3 * side * side),
        }
        (folder / name).write_bytes(pickle.dumps(content, protocol=2 if number % 2 else 4))


@pytest.mark.parametrize(("name", "side"), [("imagenet16", 16), ("imagenet32", 32)])
@pytest.mark.parametrize("below", ["", "{name}", "Imagenet{side}_train"])
def test_batches_are_read_in_order_from_every_place(tmp_path, name, side, below):
    folder = tmp_path / below.format(name=name, side=side)
    write(folder, side)
    if below.startswith("Imagenet"):
        (tmp_path / f"Imagenet{side}_val").mkdir()
        (folder / "val_data").rename(tmp_path / f"Imagenet{side}_val" / "val_data")
    train, test = read(name, data_dir=str(tmp_path))
    assert train.images.shape == (10 * EACH, side, side, 3)
    assert train.labels.tolist() == list(range(10 * EACH))
    assert test.labels.tolist() == list(range(10 * EACH, 11 * EACH))
    second = pickle.loads((folder / "train_data_batch_2").read_bytes())["data"]
    # All red, then all green, then all blue values, row by row: image 1, row 2, column 3.
    expected = [second[1, channel * side * side + 2 * side + 3] for channel in range(3)]
    assert train.images[EACH + 1, 2, 3].tolist() == expected


def test_they_train_like_any_set_in_memory(tmp_path):
    write(tmp_path, 16)
    splits = open_splits(DataConfig(dataset="imagenet16", data_dir=str(tmp_path), batch_size=8), seed=0, device=CPU)
    assert (splits.info.num_classes, len(splits.train), splits.evaluated_on) == (1000, 5, "test")
    assert next(splits.train.epoch(1))[0].shape == (8, 3, 16, 16)


def test_a_folder_of_batches_is_recognised(tmp_path):
    write(tmp_path / "a", 16)
    write(tmp_path / "b", 32)
    assert find_imagenet(tmp_path / "a") == ("imagenet16", None)
    assert find_imagenet(tmp_path / "b") == ("imagenet32", None)


def test_missing_batches_are_named(tmp_path):
    write(tmp_path, 32)
    (tmp_path / "train_data_batch_3").unlink()
    with pytest.raises(MissingDataError, match="no train_data_batch_3 there or in Imagenet32_train"):
        read("imagenet32", data_dir=str(tmp_path))


def test_batches_of_another_size_are_refused(tmp_path):
    write(tmp_path, 16)
    with pytest.raises(DataError, match=r"train_data_batch_1 holds rows of 768 values, where 3 x 32 x 32"):
        read("imagenet32", data_dir=str(tmp_path))


@pytest.mark.parametrize(("first", "found"), [(0, "0 to 3"), (998, "998 to 1001")])
def test_labels_that_are_no_classes_are_refused(tmp_path, first, found):
    write(tmp_path, 16, first_label=first)
    with pytest.raises(DataError, match=f"labels from {found}, where 1 to 1000 are expected"):
        read("imagenet16", data_dir=str(tmp_path))


class Harmful:
    """Runs something when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("harm"),))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Ran out of input"),
        (pickle.dumps({"labels": [1]}), "'data'"),
        (pickle.dumps({"data": np.zeros((2, 3)), "labels": [1, 2]}), "float64"),
        (pickle.dumps({"data": np.zeros((2, 768), np.uint8), "labels": [1]}), "with 1 labels"),
        (pickle.dumps(Harmful()), "asks for .*, where only arrays are expected"),
    ],
)
def test_what_is_no_batch_is_refused_and_nothing_in_it_is_run(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, 16)
    (tmp_path / "train_data_batch_5").write_bytes(content)
    with pytest.raises(DataError, match=f"train_data_batch_5 is damaged.*{message}"):
        read("imagenet16", data_dir=str(tmp_path))
    assert not (tmp_path / "harm").exists()
