"""Pairs of images and masks are found in every layout, and what does not fit is named."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import small_scenes
from netdeconv.data.errors import CorruptImageError, DataError, MissingDataError
from netdeconv.data.pairs import PairError, find_pairs, spaced, spaced_split
from netdeconv.data.registry import IGNORE, SEGMENTATION_DATASETS, segmentation_info


def test_labels_of_cityscapes_are_those_of_its_makers():
    info = segmentation_info("cityscapes")
    table = torchvision.datasets.Cityscapes.classes
    assert {each.id: each.train_id for each in table if each.id >= 0} == dict(info.labels)
    named = {each.train_id: (each.name, each.color) for each in table if 0 <= each.train_id < IGNORE}
    assert [named[number] for number in range(19)] == [(each.name, each.color) for each in info.classes]


@pytest.mark.parametrize("name", SEGMENTATION_DATASETS)
def test_entries_are_whole(name):
    info = segmentation_info(name)
    assert {*info.labels.values()} - {IGNORE} == {*range(info.num_classes)}
    assert len({*info.class_names}) == len(info.classes) == info.num_classes
    assert info.source
    assert info.licence
    assert info.splits


def test_camvid_pairs_every_image_with_its_mask(tmp_path):
    source = find_pairs("camvid", "val", data_dir=str(small_scenes.camvid(tmp_path)))
    assert [image.stem for image, _ in source.files] == [f"val_{number:02}" for number in range(5)]
    image, mask = source[3]
    expected, labels = small_scenes.scene(103, [3, 0, 1, 8, 11])
    assert torch.equal(image.permute(1, 2, 0), torch.from_numpy(expected))
    assert torch.equal(mask, torch.from_numpy(np.where(labels == 11, IGNORE, labels)))
    assert (mask == IGNORE).any()


def test_cityscapes_is_read_in_the_order_of_names(tmp_path):
    source = find_pairs("cityscapes", "train", data_dir=str(small_scenes.cityscapes(tmp_path)))
    theirs = torchvision.datasets.Cityscapes(
        str(tmp_path / "cityscapes"), split="train", mode="fine", target_type="semantic"
    )
    expected = [(image, masks[0]) for image, masks in zip(theirs.images, theirs.targets, strict=True)]
    assert [tuple(map(str, files)) for files in source.files] == sorted(expected)
    assert source.files[0][0].name.startswith("aachen_000001")
    _, mask = source[0]
    labels = small_scenes.scene(1, [7, 23, 11, 26, 0])[1]
    known = {7: 0, 23: 10, 11: 2, 26: 13, 0: IGNORE}
    assert torch.equal(mask, torch.from_numpy(np.vectorize(known.get)(labels).astype(np.uint8)))


def test_the_folder_of_a_data_set_may_be_named_itself(tmp_path):
    small_scenes.cityscapes(tmp_path)
    assert len(find_pairs("cityscapes", "val", data_dir=str(tmp_path / "cityscapes"))) == 5


@pytest.mark.parametrize("name", SEGMENTATION_DATASETS)
def test_an_absent_data_set_says_where_it_was_looked_for(name, tmp_path):
    with pytest.raises(MissingDataError, match=r"was not found in .* --data-dir or NETDECONV_DATA; it cannot be"):
        find_pairs(name, "train", data_dir=str(tmp_path))


def test_a_missing_mask_is_named(tmp_path):
    root = small_scenes.camvid(tmp_path)
    (root / "camvid/trainannot/train_03.png").unlink()
    with pytest.raises(PairError, match=r"1 mask\(s\) for 10 images of 'camvid' are missing: .*/train_03.png"):
        find_pairs("camvid", "train", data_dir=str(root))


def test_a_missing_mask_of_cityscapes_is_named(tmp_path):
    root = small_scenes.cityscapes(tmp_path)
    (root / "cityscapes/gtFine/val/ulm/ulm_000002_000019_gtFine_labelIds.png").unlink()
    with pytest.raises(
        PairError, match=r"1 mask\(s\) for 5 images of 'cityscapes' .*ulm_000002_000019_gtFine_labelIds"
    ):
        find_pairs("cityscapes", "val", data_dir=str(root))


def loading(tmp_path, mask=None, image=None):
    root = small_scenes.camvid(tmp_path)
    if mask is not None:
        Image.fromarray(mask).save(root / "camvid/trainannot/train_00.png")
    if image is not None:
        (root / "camvid/train/train_00.png").write_bytes(image)
    return find_pairs("camvid", "train", data_dir=str(root))[0]


def test_a_mask_of_another_size_is_named_with_both_sizes(tmp_path):
    message = r"mask .*trainannot/train_00.png is 30x24 and its image .*train/train_00.png is 32x24"
    with pytest.raises(PairError, match=message):
        loading(tmp_path, mask=np.zeros((24, 30), np.uint8))


def test_unknown_labels_are_named_with_their_file(tmp_path):
    mask = np.zeros((24, 32), np.uint8)
    mask[3, 4], mask[5, 6] = 12, 200
    message = r"trainannot/train_00.png holds label ids .*: 12, 200 \(known: 0 to 11\)"
    with pytest.raises(PairError, match=message):
        loading(tmp_path, mask=mask)


def test_classes_of_a_mask_of_one_bit_are_zero_and_one(tmp_path):
    mask = np.zeros((24, 32), bool)
    mask[3, 4] = True
    assert torch.equal(loading(tmp_path, mask=mask)[1], torch.from_numpy(mask.astype(np.uint8)))


@pytest.mark.parametrize("below", ["", "camvid", "camvid/valannot"])
def test_a_folder_that_may_not_be_read_is_not_called_missing(tmp_path, monkeypatch, below):
    root = small_scenes.camvid(tmp_path)
    closed = str((root / below) if below else root)
    # Permissions mean nothing to a superuser, who may run the tests.
    monkeypatch.setattr("os.access", lambda path, mode: str(path) != closed)
    with pytest.raises(DataError, match=rf"{closed} may not be read by this user: .*chmod"):
        find_pairs("camvid", "val", data_dir=str(root))


def test_a_coloured_mask_is_refused(tmp_path):
    with pytest.raises(PairError, match=r"train_00.png is no mask: its mode is RGB"):
        loading(tmp_path, mask=np.zeros((24, 32, 3), np.uint8))


@pytest.mark.parametrize("content", [b"no image", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_a_damaged_image_is_named(tmp_path, content):
    with pytest.raises(CorruptImageError, match=r"train/train_00.png cannot be decoded \("):
        loading(tmp_path, image=content)


def test_evenly_spaced_pairs_are_cut(tmp_path):
    source = find_pairs("camvid", "train", data_dir=str(small_scenes.camvid(tmp_path)))
    kept, out = spaced_split(torch.arange(10), 3)
    assert [image.stem for image, _ in source.some(out.tolist()).files] == ["train_01", "train_05", "train_08"]
    assert sorted([*kept.tolist(), *out.tolist()]) == list(range(10))
    assert torch.equal(source.some(out.tolist())[2][1], source[8][1])
    assert spaced(10, 10) == list(range(10))


@pytest.mark.parametrize("size", [0, 10])
def test_all_or_nothing_cannot_be_cut(size):
    with pytest.raises(ValueError, match=f"cannot cut {size} images from 10"):
        spaced_split(torch.arange(10), size)


def test_statistics_of_real_camvid_are_those_of_the_registry(real_data):
    source = find_pairs("camvid", "train", data_dir=str(real_data("camvid")))
    assert len(source) == 367
    pixels = torch.cat([source[index][0].flatten(1)[:, ::7] for index in range(0, 367, 12)], 1).double() / 255
    info = segmentation_info("camvid")
    # a sample of every 12th image: three in a hundred apart
    assert (pixels.mean(1) - torch.tensor(info.mean)).abs().max() < 0.03
    assert (pixels.std(1) - torch.tensor(info.std)).abs().max() < 0.03
