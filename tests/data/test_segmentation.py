"""Batches: an epoch can be replayed, processes share it, memory and files give the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.transforms import v2

import small_scenes
from netdeconv.data import splits
from netdeconv.data.config import DataConfig, Views
from netdeconv.data.errors import CorruptImageError
from netdeconv.data.pairs import Pairs, find_pairs
from netdeconv.data.registry import segmentation_info
from netdeconv.data.splits import open_splits

VIEWS = Views(crop=(16, 16), scale=(0.7, 1.4), evaluation_batch=2)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return small_scenes.cityscapes(small_scenes.camvid(tmp_path_factory.mktemp("scenes")))


@pytest.fixture
def streamed(monkeypatch):
    monkeypatch.setattr(splits, "MEMORY_LIMIT", 0)


def opened(root, *, views=VIEWS, seed=0, shard=(0, 1), **data):
    config = DataConfig(**{"dataset": "camvid", "data_dir": str(root), "batch_size": 4, **data})
    return open_splits(config, seed=seed, device=CPU, shard=shard, views=views)


def epoch(splits, number=1):
    return list(splits.train.epoch(number))


def same(left, right) -> bool:
    return len(left) == len(right) and all(
        torch.equal(a, b) for one, other in zip(left, right, strict=True) for a, b in zip(one, other, strict=True)
    )


def test_an_epoch_depends_on_seed_and_number_alone(root):
    both = opened(root)
    first = epoch(both)
    assert [len(targets) for _, targets in first] == [4, 4, 2]
    assert len(both.train) == 3
    epoch(both, 2)
    assert same(first, epoch(both))
    assert same(first, epoch(opened(root)))
    assert not same(first, epoch(both, 2))
    assert not same(first, epoch(opened(root, seed=1)))


def test_every_image_is_seen_once_an_epoch(root):
    # without random changes, an image is known by its pixels
    whole = Views(crop=(24, 32), scale=(1.0, 1.0), flip=False)
    for number in (1, 2):
        images = torch.cat([inputs for inputs, _ in epoch(opened(root, views=whole), number)])
        assert len({tuple(image.flatten().tolist()) for image in images}) == 10


def test_every_image_of_an_epoch_has_a_view_of_its_own(tmp_path):
    image, mask = small_scenes.scene(0, [3, 0, 1, 8])
    for number in range(6):
        small_scenes.save(tmp_path / "camvid" / "train" / f"{number}.png", image)
        small_scenes.save(tmp_path / "camvid" / "trainannot" / f"{number}.png", mask)
        small_scenes.save(tmp_path / "camvid" / "val" / f"{number}.png", image)
        small_scenes.save(tmp_path / "camvid" / "valannot" / f"{number}.png", mask)
    ((inputs, _),) = epoch(opened(tmp_path, batch_size=6))
    assert len({tuple(each.flatten().tolist()) for each in inputs}) == 6


def test_a_last_batch_of_less_than_half_is_left_out(root):
    assert len(opened(root, batch_size=4, train_size=9).train) == 2
    assert len(opened(root, batch_size=4, train_size=6).train) == 2
    assert len(opened(root, batch_size=64).train) == 1


def test_loader_processes_change_nothing_and_draw_nothing(root, streamed):
    alone = epoch(opened(root))
    state = torch.get_rng_state()
    assert same(alone, epoch(opened(root, num_workers=2)))
    assert torch.equal(torch.get_rng_state(), state)


def test_memory_and_files_give_the_same(root, monkeypatch):
    memory = opened(root)
    monkeypatch.setattr(splits, "MEMORY_LIMIT", 0)
    read = opened(root)
    assert same(epoch(memory), epoch(read))
    assert same(list(memory.evaluation), list(read.evaluation))


def test_what_fits_into_memory_is_held(root):
    # ten images of 2048x1024 would, by the registry, be 80 MiB
    small = find_pairs("cityscapes", "train", data_dir=str(root), size=(12, 16))
    held = splits.in_memory(small)
    assert isinstance(held, list)
    assert torch.equal(held[3][1], small[3][1])
    many = Pairs([(Path("image"), Path("mask"))] * 2975, segmentation_info("cityscapes"))
    assert splits.in_memory(many) is many


def test_images_are_normalised_as_torchvision_does_it(root):
    both = opened(root, validation_size=0)
    inputs, targets = next(iter(both.evaluation))
    info = segmentation_info("camvid")
    image, mask = find_pairs("camvid", "val", data_dir=str(root))[0]
    expected = v2.Normalize(info.mean, info.std)(v2.functional.to_dtype(image, torch.float32, scale=True))
    torch.testing.assert_close(inputs[0], torch.as_tensor(expected), rtol=0, atol=1e-5)
    assert torch.equal(targets[0], mask.long())
    assert targets.dtype == torch.int64
    assert inputs.is_contiguous(memory_format=torch.channels_last)


def test_processes_share_the_batches_of_one(root):
    alone = epoch(opened(root))
    shares = [epoch(opened(root, shard=(rank, 2))) for rank in range(2)]
    for whole, *parts in zip(alone, *shares, strict=True):
        for tensor, *pieces in zip(whole, *parts, strict=True):
            assert torch.equal(tensor, torch.stack(pieces, 1).flatten(0, 1))


def test_evaluation_gives_whole_batches_to_one_process(root):
    alone = list(opened(root).evaluation)
    shares = [list(opened(root, shard=(rank, 2)).evaluation) for rank in range(2)]
    assert same(alone, [shares[0][0], shares[1][0], shares[0][1]])
    assert [len(targets) for _, targets in alone] == [2, 2, 1]


def test_a_batch_that_cannot_be_divided_is_refused(root):
    with pytest.raises(ValueError, match="batch of 3 cannot be cut into 2 equal parts"):
        opened(root, batch_size=3, shard=(0, 2))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_file_is_named_in_one_line(tmp_path, streamed, workers):
    root = small_scenes.camvid(tmp_path)
    (root / "camvid/train/train_05.png").write_bytes(b"")
    with pytest.raises(CorruptImageError, match=r"train_05.png cannot be decoded \(the file is empty\)") as caught:
        epoch(opened(root, num_workers=workers))
    assert "Traceback" not in str(caught.value)


def test_the_part_to_evaluate_on_can_be_chosen(root):
    assert (opened(root).evaluated_on, sum(map(len, opened(root).evaluation.batches))) == ("val", 5)
    tested = opened(root, views=Views(crop=(16, 16), evaluate_on="test"))
    assert (tested.evaluated_on, sum(map(len, tested.evaluation.batches))) == ("test", 3)
    cut = opened(root, validation_size=4)
    assert (cut.evaluated_on, sum(map(len, cut.evaluation.batches))) == ("validation", 4)
    assert cut.train.num_samples == 6
    with pytest.raises(ValueError, match="unknown part to evaluate on 'tset'; did you mean 'test'"):
        opened(root, views=Views(crop=(16, 16), evaluate_on="tset"))


def test_without_augmentation_only_the_crop_is_random(root):
    both = opened(root, views=Views(crop=(24, 32)), augment=False, batch_size=10)
    first, second = (
        {tuple(image.flatten().tolist()) for image in torch.cat([inputs for inputs, _ in epoch(both, number)])}
        for number in (1, 2)
    )
    assert len(first) == 10
    assert first == second


def test_a_first_look_is_short(root):
    both = opened(root, max_batches=1)
    assert (len(both.train), len(epoch(both)), len(list(both.evaluation))) == (1, 1, 1)


def test_settings_of_images_with_one_label_are_refused(root):
    with pytest.raises(ValueError, match="image_size is for image files with one label each"):
        opened(root, image_size=32)
