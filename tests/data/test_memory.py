"""Reading data sets, cutting them, and saying what is missing."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
import torchvision

from netdeconv.data.config import DataConfig
from netdeconv.data.errors import DataError, MissingDataError
from netdeconv.data.memory import balanced_split, read, resolve_data_dir
from netdeconv.data.registry import DATASETS, info
from netdeconv.data.splits import open_splits

CPU = torch.device("cpu")


def test_digits_need_no_files_and_are_the_same_every_time():
    (train, test), (train_again, _) = read("digits"), read("digits")
    assert train.images.shape == (1297, 32, 32, 1)
    assert test.images.shape == (500, 32, 32, 1)
    assert train.images.dtype == torch.uint8
    assert torch.equal(train.images, train_again.images)
    # Every class in proportion: 1797 digits, 174 to 183 of each.
    assert all(abs(int(count) - 50) <= 2 for count in test.labels.bincount(minlength=10))
    assert int(train.images.max()) == 255


def test_the_digits_of_train_and_test_are_all_of_scikit_learns():
    from sklearn.datasets import load_digits

    train, test = read("digits")
    # Means of 4x4 pixels of a bilinear enlargement have the originals' total to within rounding and borders.
    total = np.concatenate([train.images.numpy(), test.images.numpy()]).mean(dtype=np.float64) * 16 / 255
    assert abs(total - load_digits().images.mean()) < 0.01
    assert sorted(torch.cat([train.labels, test.labels]).tolist()) == sorted(load_digits().target.tolist())


def test_normalisation_of_digits_is_that_of_its_training_images():
    images = read("digits")[0].images.double() / 255
    entry = info("digits")
    assert abs(float(images.mean()) - entry.mean[0]) < 1e-3
    assert abs(float(images.std()) - entry.std[0]) < 1e-3


def test_every_entry_is_complete():
    for name, entry in DATASETS.items():
        channels, height, width = entry.shape
        assert len(entry.mean) == len(entry.std) == channels, name
        assert height == width
        assert entry.source
        assert entry.licence


def test_an_unknown_data_set_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown dataset 'cifar_10'; did you mean 'cifar10'\?"):
        read("cifar_10")


def test_missing_data_says_where_it_looked_and_how_to_get_it(tmp_path):
    for name in DATASETS.keys() - {"digits"}:
        with pytest.raises(MissingDataError) as caught:
            open_splits(DataConfig(dataset=name, data_dir=str(tmp_path)), seed=0, device=CPU)
        message = str(caught.value)
        assert f"{name!r}" in message
        assert str(tmp_path) in message
        assert "--data-dir" in message
        assert "NETDECONV_DATA" in message
        assert ("cannot be fetched" in message) == (info(name).reader == "folder")


def test_a_failed_download_is_missing_data_with_the_reason(tmp_path, monkeypatch):
    def no_network(*args, **kwargs):
        raise OSError("the network is unreachable")

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", no_network)
    with pytest.raises(MissingDataError, match="the network is unreachable"):
        read("cifar10", data_dir=str(tmp_path), download=True)


def test_the_data_folder_is_the_argument_then_the_variable_then_data(monkeypatch):
    monkeypatch.setenv("NETDECONV_DATA", "from-variable")
    assert str(resolve_data_dir("given")) == "given"
    assert str(resolve_data_dir(None)) == "from-variable"
    monkeypatch.delenv("NETDECONV_DATA")
    assert str(resolve_data_dir(None)) == "data"


@pytest.fixture
def unchecked(monkeypatch):
    """CIFAR-100 without its md5 sums."""
    kind = torchvision.datasets.CIFAR100
    for name in ("train_list", "test_list"):
        monkeypatch.setattr(kind, name, [[file, None] for file, _ in getattr(kind, name)])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": None})


def _write_cifar100(root):
    folder = root / "cifar-100-python"
    folder.mkdir()
    rows = np.arange(2 * 3072, dtype=np.int64).reshape(2, 3072) % 256
    for part in ("train", "test"):
        content = {"data": rows.astype(np.uint8), "fine_labels": [7, 3]}
        (folder / part).write_bytes(pickle.dumps(content))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [str(i) for i in range(100)]}))


def test_reencoded_cifar_is_refused(tmp_path, monkeypatch):
    _write_cifar100(tmp_path)
    with pytest.raises(
        DataError,
        match=r"cifar100. is damaged: .*train.* is absent or not as published .*--download$",
    ):
        read("cifar100", data_dir=str(tmp_path))


def test_cifar_is_read_from_its_files(tmp_path, unchecked):
    _write_cifar100(tmp_path)
    train, _ = read("cifar100", data_dir=str(tmp_path))
    assert train.labels.tolist() == [7, 3]
    # Stored as all red, then all green, then all blue values, row by row.
    assert train.images[0, 0, 1].tolist() == [1, (1024 + 1) % 256, (2048 + 1) % 256]
    assert train.images[0, 1, 0].tolist() == [32, 32, 32]


def _write_mnist(root, *, images=3, labels=(7, 0, 9), side=28):
    """Of both parts: big-endian headers, then bytes."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        header = b"".join(number.to_bytes(4, "big") for number in (0x803, images, side, side))
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + bytes(images * side * side))
        header = b"".join(number.to_bytes(4, "big") for number in (0x801, len(labels)))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(header + bytes(labels))
    return folder


def test_mnist_is_read_from_its_files(tmp_path):
    _write_mnist(tmp_path)
    train, test = read("mnist", data_dir=str(tmp_path))
    assert train.labels.tolist() == test.labels.tolist() == [7, 0, 9]
    assert train.images.shape == (3, 28, 28, 1)


def test_damaged_files_are_named_and_not_called_missing(tmp_path):
    folder = _write_mnist(tmp_path)
    whole = (folder / "t10k-images-idx3-ubyte").read_bytes()
    for content in (whole[:100], b"", b"no images at all"):
        (folder / "t10k-images-idx3-ubyte").write_bytes(content)
        with pytest.raises(DataError, match=r"'mnist' is damaged: .*t10k-images-idx3-ubyte .*Copy it again, or"):
            read("mnist", data_dir=str(tmp_path))
    (folder / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(DataError, match=r"'mnist' is damaged: .*t10k-images-idx3-ubyte is absent or not as published"):
        read("mnist", data_dir=str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps([1, 2]), pickle.dumps({"data": 1})])
def test_a_damaged_pickle_is_named(tmp_path, unchecked, content):
    _write_cifar100(tmp_path)
    (tmp_path / "cifar-100-python" / "train").write_bytes(content)
    with pytest.raises(DataError, match=r"'cifar100' is damaged: .*cifar-100-python/train"):
        read("cifar100", data_dir=str(tmp_path))


def test_data_that_may_not_be_read_are_not_called_missing(tmp_path, monkeypatch):
    folder = _write_mnist(tmp_path)
    (folder / "train-labels-idx1-ubyte").write_bytes(b"")
    for closed in (tmp_path, folder / "train-labels-idx1-ubyte"):
        # Permissions mean nothing to a superuser, who may run the tests.
        monkeypatch.setattr("os.access", lambda path, mode, closed=closed: str(path) != str(closed))
        with pytest.raises(DataError, match=rf"{closed} may not be read by this user: .*chmod"):
            read("mnist", data_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": (7, 10, 9)}, r"train has .* and 3 labels \[7, 9, 10\], where .* below 10 are expected"),
        ({"labels": (7, 1)}, r"train has images \(3, 28, 28, 1\) and 2 labels"),
        ({"side": 27}, r"train has images \(3, 27, 27, 1\) .* where N x 28 x 28 x 1 and N below 10 are expected"),
    ],
)
def test_files_that_hold_something_else_are_refused(tmp_path, changes, message):
    _write_mnist(tmp_path, **changes)
    with pytest.raises(DataError, match=f"'mnist' in .* is damaged: {message}"):
        read("mnist", data_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "shape", "counts"),
    [
        ("cifar10", (32, 32, 3), (50000, 10000)),
        ("fashion_mnist", (28, 28, 1), (60000, 10000)),
    ],
)
def test_real_data_has_its_shape_and_statistics(real_data, name, shape, counts):
    train, test = read(name, data_dir=str(real_data(name)))
    assert (len(train.images), len(test.images)) == counts
    assert train.images.shape[1:] == shape
    values = torch.arange(256, dtype=torch.float64) / 255
    for channel, (mean, std) in enumerate(zip(info(name).mean, info(name).std, strict=True)):
        pixels = train.images[::10, ..., channel].flatten()
        share = torch.bincount(pixels, minlength=256).double() / len(pixels)
        found = float(share @ values)
        # A tenth of the images: half of one in a hundred apart.
        assert found == pytest.approx(mean, abs=5e-3)
        assert float(share @ (values - found).square()) ** 0.5 == pytest.approx(std, abs=5e-3)
    assert train.labels.bincount().tolist() == [counts[0] // 10] * 10


def test_a_split_keeps_every_class_in_proportion_and_its_seed_decides():
    labels = torch.tensor([0] * 600 + [1] * 300 + [2] * 100)
    kept, cut = balanced_split(labels, 100, seed=5)
    assert labels[cut].bincount().tolist() == [60, 30, 10]
    assert sorted([*kept.tolist(), *cut.tolist()]) == list(range(1000))
    assert torch.equal(cut, balanced_split(labels, 100, seed=5)[1])
    assert not torch.equal(cut, balanced_split(labels, 100, seed=6)[1])


@pytest.mark.parametrize("size", [0, 10, 11])
def test_a_split_of_nothing_or_everything_is_refused(size):
    with pytest.raises(ValueError, match=f"cannot cut {size} samples from 10"):
        balanced_split(torch.zeros(10, dtype=torch.int64), size, seed=0)


def test_validation_images_come_from_train_and_leave_test_alone():
    train, test = read("digits")
    splits = open_splits(DataConfig(validation_size=297), seed=0, device=CPU)
    assert splits.evaluated_on == "validation"
    assert (splits.train.num_samples, sum(map(len, splits.evaluation.batches))) == (1000, 297)
    held_out, trained_on = set(splits.evaluation.batches[0].tolist()), set(splits.train.numbers.tolist())
    assert held_out | trained_on == set(range(len(train.labels)))
    assert not held_out & trained_on
    seen = torch.cat([inputs for inputs, _ in splits.evaluation])
    expected = train.images[splits.evaluation.batches[0]].permute(0, 3, 1, 2).float() / 255
    torch.testing.assert_close(seen, (expected - splits.info.mean[0]) / splits.info.std[0], rtol=0, atol=1e-5)
    assert not {image.numpy().tobytes() for image in test.images} & {image.numpy().tobytes() for image in train.images}


def test_the_validation_split_does_not_depend_on_the_runs_seed():
    first, second = (open_splits(DataConfig(validation_size=100), seed=seed, device=CPU).evaluation for seed in (0, 1))
    assert torch.equal(first.batches[0], second.batches[0])


def test_without_validation_evaluation_is_on_test():
    splits = open_splits(DataConfig(train_size=100), seed=0, device=CPU)
    assert splits.evaluated_on == "test"
    assert splits.train.num_samples == 100
    assert torch.equal(next(iter(splits.evaluation))[1], read("digits")[1].labels)
