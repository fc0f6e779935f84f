"""Batches: replayed bit for bit, cut over processes, varied as loops over pixels say."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from netdeconv.data import splits
from netdeconv.data.batches import EvaluationData, HeldImages, TrainingData, crop_and_flip
from netdeconv.data.config import DataConfig
from netdeconv.data.memory import RawImages
from netdeconv.data.registry import DATASETS
from netdeconv.data.splits import open_splits

CPU = torch.device("cpu")
ENTRY = dataclasses.replace(
    DATASETS["cifar10"], shape=(3, 8, 8), mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0), padding=2
)


def some_images(count: int = 50) -> RawImages:
    return RawImages(torch.randint(256, (count, 8, 8, 3), dtype=torch.uint8), torch.arange(count) % 10)


def training(count: int = 50, *, augmentation=ENTRY, **changes) -> TrainingData:
    torch.manual_seed(0)
    source = HeldImages(some_images(count), device=CPU, augmentation=augmentation)
    settings = {"batch_size": 16, "seed": 3, **changes}
    return TrainingData(source, ENTRY, torch.arange(count), **settings)


def same(left, right) -> bool:
    return all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(left, right, strict=True))


def test_an_epoch_is_replayed_bit_for_bit_and_epochs_differ():
    first, again, second = (list(training().epoch(number)) for number in (1, 1, 2))
    assert same(first, again)
    assert not torch.equal(first[0][1], second[0][1])
    assert not torch.equal(first[0][1], next(training(seed=4).epoch(1))[1])


def test_replaying_does_not_depend_on_or_touch_the_global_generator():
    data = training()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = next(data.epoch(1))[0]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(next(data.epoch(1))[0], first)


def test_the_first_batch_of_an_epoch_is_what_it_always_was():
    # Committed results are of these draws: a change of their order would change every number.
    data = training(48)
    generator = torch.Generator().manual_seed(3 * 1_000_003 + 5)
    order = torch.randperm(48, generator=generator)
    top, left = torch.randint(5, (2, 48), generator=generator)
    flip = torch.rand(48, generator=generator) < 0.5
    torch.manual_seed(0)
    images, labels = some_images(48)
    expected = crop_and_flip(images[order], 2, top, left, flip)[:16].permute(0, 3, 1, 2).float() / 255
    expected = (expected - torch.tensor(ENTRY.mean)[:, None, None]) / torch.tensor(ENTRY.std)[:, None, None]
    inputs, targets = next(data.epoch(5))
    assert torch.equal(targets, labels[order][:16])
    torch.testing.assert_close(inputs, expected, rtol=0, atol=1e-6)


def test_an_epoch_holds_every_image_once_and_keeps_labels_with_images():
    data = training(48, augmentation=None)
    seen = [(image, label) for inputs, labels in data.epoch(1) for image, label in zip(inputs, labels, strict=True)]
    ((images, labels),) = EvaluationData(data.source, ENTRY, [torch.arange(48)])
    originals = list(zip(images, labels, strict=True))
    found = {
        index
        for image, label in seen
        for index, (original, its_label) in enumerate(originals)
        if torch.equal(image, original) and label == its_label
    }
    assert (len(seen), found) == (48, set(range(48)))


def test_augmentation_moves_and_mirrors_about_half():
    top, left, flip = training(1000).source.draw(1000, torch.Generator())
    assert set(top.tolist()) == set(left.tolist()) == set(range(5))
    assert not torch.equal(top, left)
    assert 400 < int(flip.sum()) < 600
    still = dataclasses.replace(ENTRY, flip=False)
    assert not training(1000, augmentation=still).source.draw(1000, torch.Generator())[2].any()


@pytest.mark.parametrize(("count", "batches"), [(48, 3), (55, 3), (56, 4), (7, 1)])
def test_a_last_batch_of_less_than_half_is_left_out(count, batches):
    data = training(count)
    sizes = [len(labels) for _, labels in data.epoch(1)]
    assert (len(data), len(sizes)) == (batches, batches)
    assert sum(sizes) == (count if count != 55 else 48)


@pytest.mark.parametrize("world", [2, 4])
def test_the_processes_batches_together_are_those_of_one_process(world):
    whole = list(training(56).epoch(1))
    parts = [list(training(56, shard=(rank, world)).epoch(1)) for rank in range(world)]
    assert {len(part) for part in parts} == {len(whole)} == {4}
    for step, (inputs, labels) in enumerate(whole):
        # Rank r has every world-th image of the batch from the r-th on; together they are interleaved.
        assert torch.equal(torch.stack([part[step][0] for part in parts], 1).flatten(0, 1), inputs)
        assert torch.equal(torch.stack([part[step][1] for part in parts], 1).flatten(), labels)


def test_images_that_cannot_be_shared_equally_are_left_out_of_an_epoch():
    parts = [training(50, shard=(rank, 4), augmentation=None) for rank in range(4)]
    # 50 are 3 batches of 16; the other 2 are less than half of one
    assert [[len(labels) for _, labels in part.epoch(1)] for part in parts] == [[4, 4, 4]] * 4


@pytest.mark.parametrize("world", [1, 3])
def test_evaluation_gives_whole_batches_to_one_process(world, monkeypatch):
    config = DataConfig(evaluation_size=50)
    monkeypatch.setattr(splits, "_EVALUATION_BATCH", 8)
    whole = list(open_splits(config, seed=0, device=CPU).evaluation)
    assert [len(labels) for _, labels in whole] == [8] * 6 + [2]
    config = dataclasses.replace(config, batch_size=6)
    for rank in range(world):
        assert same(open_splits(config, seed=0, device=CPU, shard=(rank, world)).evaluation, whole[rank::world])


def test_batches_are_normalised_float32_and_channels_last():
    raw = RawImages(torch.full((4, 8, 8, 3), 255, dtype=torch.uint8), torch.arange(4))
    inputs, labels = next(iter(EvaluationData(HeldImages(raw, device=CPU), ENTRY, [torch.arange(4)])))
    assert inputs.shape == (4, 3, 8, 8)
    assert inputs.dtype == torch.float32
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    # 255 is 1: (1 - mean) / std, within two roundings of float32.
    assert torch.allclose(
        inputs[0, :, 0, 0], torch.tensor([1.0, 3.0, 1.0]), rtol=4 * torch.finfo(torch.float32).eps, atol=0
    )
    assert labels.tolist() == [0, 1, 2, 3]


def test_crop_and_flip_agree_with_a_loop_over_pixels():
    images = torch.randint(256, (6, 8, 8, 3), dtype=torch.uint8)
    top, left = torch.tensor([0, 4, 2, 1, 3, 2]), torch.tensor([0, 4, 2, 3, 1, 0])
    flip = torch.tensor([False, True, False, True, True, False])
    result = crop_and_flip(images, 2, top, left, flip)
    for n in range(6):
        for y in range(8):
            for x in range(8):
                source_x = 7 - x if flip[n] else x
                row, column = int(top[n]) + y - 2, int(left[n]) + source_x - 2
                inside = 0 <= row < 8 and 0 <= column < 8
                expected = images[n, row, column] if inside else torch.zeros(3, dtype=torch.uint8)
                assert torch.equal(result[n, y, x], expected), (n, y, x)


@pytest.mark.parametrize(
    ("batch_size", "world", "message"),
    [
        (3, 4, "a batch of 3 cannot be cut into 4 equal parts; one of 4 can"),
        (10, 4, "a batch of 10 cannot be cut into 4 equal parts; one of 8 can"),
    ],
)
def test_a_batch_that_cannot_be_cut_is_refused(batch_size, world, message):
    with pytest.raises(ValueError, match=message):
        training(batch_size=batch_size, shard=(0, world))


def test_fewer_images_than_processes_are_refused():
    with pytest.raises(ValueError, match="3 training images are too few for 4 processes"):
        training(3, shard=(0, 4))
