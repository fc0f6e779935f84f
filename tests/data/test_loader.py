"""Batches of image files: the same whatever the number of loader processes, cut over processes, broken files named."""

from __future__ import annotations

import os

import pytest
import torch
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from image_folders import truncate, write_folder
from netdeconv.data.config import DataConfig
from netdeconv.data.errors import CorruptImageError
from netdeconv.data.loader import workers_of_this_process
from netdeconv.data.splits import open_splits
from tolerances import assert_close

CPU = torch.device("cpu")
# Newer versions of Python warn of any fork beside threads, which loader processes are by default.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("images"), train=10, val=4)


def opened(root, *, shard=(0, 1), seed=0, **changes):
    settings = {"dataset": "imagenet", "data_dir": str(root), "image_size": 16, "batch_size": 8}
    return open_splits(DataConfig(**{**settings, **changes}), seed=seed, device=CPU, shard=shard)


def same(left, right) -> bool:
    return all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(left, right, strict=True))


def test_an_epoch_depends_on_seed_and_number_alone(root):
    splits = opened(root)
    first, second = list(splits.train.epoch(1)), list(splits.train.epoch(2))
    list(splits.evaluation)
    torch.manual_seed(77)
    assert same(list(splits.train.epoch(1)), first)
    assert same(list(opened(root).train.epoch(2)), second)
    assert not same(first, second)
    assert not same(first, list(opened(root, seed=1).train.epoch(1)))


def test_loader_processes_change_no_image_and_draw_nothing(root, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(8), raising=False)
    alone, helped = opened(root), opened(root, num_workers=2)
    state = torch.get_rng_state()
    for number in (1, 2, 1):
        assert same(list(helped.train.epoch(number)), list(alone.train.epoch(number)))
        assert same(list(helped.evaluation), list(alone.evaluation))
    assert torch.equal(torch.get_rng_state(), state)
    # One that was given up does not leak into the next.
    started = helped.train.epoch(1)
    next(started)
    started.close()
    assert same(list(helped.train.epoch(2)), list(alone.train.epoch(2)))


def test_batches_are_normalised_float32_and_channels_last(root):
    inputs, labels = next(opened(root).train.epoch(1))
    assert inputs.shape == (8, 3, 16, 16)
    assert inputs.dtype == torch.float32
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert labels.dtype == torch.int64


@pytest.mark.parametrize(("settings", "side", "resize"), [({"image_size": 14}, 14, 16)])
def test_evaluation_agrees_with_the_usual_transforms_image_by_image(root, settings, side, resize):
    usual = v2.Compose(
        [
            v2.Resize(resize, antialias=True),
            v2.CenterCrop(side),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    images = [usual(v2.functional.pil_to_tensor(image)) for image, _ in ImageFolder(root / "val")]
    found = torch.cat([inputs for inputs, _ in opened(root, **settings).evaluation])
    assert_close(found, torch.stack(images))


@pytest.mark.parametrize("world", [2, 4])
def test_the_processes_batches_together_are_those_of_one_process(root, world):
    whole = list(opened(root).train.epoch(1))
    parts = [list(opened(root, shard=(rank, world)).train.epoch(1)) for rank in range(world)]
    assert {len(part) for part in parts} == {len(whole)} == {4}
    for step in range(3):
        assert torch.equal(torch.stack([part[step][0] for part in parts], 1).flatten(0, 1), whole[step][0])
    # 30 images are 3 batches of 8 and 6 more: for 4 processes 4 of them, one each.
    assert sum(len(labels) for part in parts for _, labels in part) == 30 // world * world


def test_evaluation_gives_whole_batches_to_one_process(root):
    whole = list(opened(root, batch_size=4).evaluation)
    # Four images of every class, in their order.
    assert [labels.tolist() for _, labels in whole] == [[0] * 4, [1] * 4, [2] * 4]
    for rank in range(2):
        own = opened(root, batch_size=4, shard=(rank, 2)).evaluation
        assert same(own, whole[rank::2])
        assert list(map(len, own.batches)) == ([4, 4], [4])[rank]


def test_without_augmentation_training_images_are_those_of_evaluation(root):
    splits = opened(root, augment=False)
    first, second = (torch.cat([inputs for inputs, _ in splits.train.epoch(number)]) for number in (1, 2))
    assert {image.numpy().tobytes() for image in first} == {image.numpy().tobytes() for image in second}
    assert not torch.equal(first, second)


def test_the_first_batches_alone(root):
    whole, some = opened(root), opened(root, max_batches=1)
    assert (len(some.train), len(some.evaluation.batches), len(whole.train), len(whole.evaluation.batches)) == (
        1,
        1,
        4,
        2,
    )
    assert same(list(some.train.epoch(1)), list(whole.train.epoch(1))[:1])
    assert same(list(some.evaluation), list(whole.evaluation)[:1])
    assert len(opened(root, max_batches=9).train) == 4


@pytest.fixture
def damaged(tmp_path):
    root = write_folder(tmp_path, train=4, val=4)
    return root, truncate(root / "train" / "n02" / "n02_1.JPEG"), truncate(root / "val" / "n03" / "n03_0.JPEG")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_named_in_one_line(damaged, workers):
    root, train, val = damaged
    splits = opened(root, num_workers=workers)
    for broken, batches in ((train, splits.train.epoch(1)), (val, splits.evaluation)):
        with pytest.raises(CorruptImageError, match=rf"^{broken} cannot be decoded \(.*\)$"):
            list(batches)


@pytest.mark.parametrize(
    ("asked", "cores", "processes", "expected"),
    [(0, 8, 1, 0), (32, 8, 1, 8), (4, 8, 1, 4), (32, 8, 3, 3), (1, 8, 4, 1)],
)
def test_loader_processes_are_shared_by_the_training_processes_of_a_machine(
    monkeypatch, asked, cores, processes, expected
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(cores), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert workers_of_this_process(asked) == expected
