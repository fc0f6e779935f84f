"""Batches of a set in memory: replayed bit for bit, cut over processes."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from netdeconv.data import DATASETS, Augmentation, InMemoryImages, RawImages, TrainingImages

CPU = torch.device("cpu")
ENTRY = dataclasses.replace(DATASETS["cifar10"], mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))


def some_images(count: int = 50) -> RawImages:
    return RawImages(torch.randint(256, (count, 8, 8, 3), dtype=torch.uint8), torch.arange(count) % 10)


def training(count: int = 50, **changes) -> TrainingImages:
    settings = {
        "batch_size": 16,
        "device": CPU,
        "augmentation": Augmentation(padding=2, flip=True),
        "seed": 3,
    }
    torch.manual_seed(0)
    return TrainingImages(some_images(count), ENTRY, **{**settings, **changes})


def test_an_epoch_is_replayed_bit_for_bit_and_epochs_differ():
    first, again, second = (list(training().epoch(number)) for number in (1, 1, 2))
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0][1], second[0][1])
    other_seed = list(training(seed=4).epoch(1))
    assert not torch.equal(first[0][1], other_seed[0][1])


def test_replaying_does_not_depend_on_or_touch_the_global_generator():
    data = training()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = next(data.epoch(1))[0]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(next(data.epoch(1))[0], first)


def test_an_epoch_holds_every_image_once_and_keeps_labels_with_images():
    data = training(48, augmentation=None)
    seen = [(image, label) for inputs, labels in data.epoch(1) for image, label in zip(inputs, labels, strict=True)]
    assert len(seen) == 48
    originals = list(zip(data._normalise(data.images_NHWC.permute(0, 3, 1, 2)), data.labels_N, strict=True))
    found = {
        index
        for image, label in seen
        for index, (original, its_label) in enumerate(originals)
        if torch.equal(image, original) and label == its_label
    }
    assert found == set(range(48))


def test_augmentation_moves_and_mirrors_about_half():
    order, top, left, flip, *_ = training(1000)._choose(1)
    assert len(set(order.tolist())) == 1000
    assert set(top.tolist()) == set(left.tolist()) == set(range(5))
    assert not torch.equal(top, left)
    assert 400 < int(flip.sum()) < 600
    assert not training(1000, augmentation=Augmentation(padding=2, flip=False))._choose(1).flip.any()


@pytest.mark.parametrize(("count", "batches"), [(48, 3), (55, 3), (56, 4), (7, 1)])
def test_a_last_batch_of_less_than_half_is_left_out(count, batches):
    data = training(count)
    assert len(data) == batches
    sizes = [len(labels) for _, labels in data.epoch(1)]
    assert len(sizes) == batches
    assert sum(sizes) == (count if count != 55 else 48)


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("cutout", [0, 3])
def test_the_processes_batches_together_are_those_of_one_process(world, cutout):
    settings = {"augmentation": Augmentation(padding=2, flip=True, cutout=cutout)}
    whole = list(training(56, **settings).epoch(1))
    parts = [list(training(56, shard=(rank, world), **settings).epoch(1)) for rank in range(world)]
    assert {len(part) for part in parts} == {len(whole)} == {4}
    for step, (inputs, labels) in enumerate(whole):
        # Rank r has every world-th image of the batch from the r-th on; together they are interleaved.
        assert torch.equal(torch.stack([part[step][0] for part in parts], 1).flatten(0, 1), inputs)
        assert torch.equal(torch.stack([part[step][1] for part in parts], 1).flatten(), labels)


def test_images_that_cannot_be_shared_equally_are_left_out_of_an_epoch():
    parts = [training(50, shard=(rank, 4), augmentation=None) for rank in range(4)]
    sizes = [[len(labels) for _, labels in part.epoch(1)] for part in parts]
    assert sizes == [[4, 4, 4]] * 4  # 50 are 3 batches of 16; the other 2 are less than half of one


@pytest.mark.parametrize("world", [1, 3])
def test_evaluation_is_cut_without_repeating_or_losing_an_image(world):
    raw = some_images(50)
    parts = [InMemoryImages(raw, ENTRY, batch_size=16, device=CPU, shard=(rank, world)) for rank in range(world)]
    images = torch.cat([part.images_NHWC for part in parts])
    assert len(images) == 50
    assert {image.numpy().tobytes() for image in images} == {image.numpy().tobytes() for image in raw.images}
    for rank, part in enumerate(parts):
        assert torch.equal(torch.cat([labels for _, labels in part]), raw.labels[rank::world])
        assert len(part) == -(-len(range(rank, 50, world)) // 16)


def test_batches_are_normalised_float32_and_channels_last():
    raw = RawImages(torch.full((4, 8, 8, 3), 255, dtype=torch.uint8), torch.arange(4))
    inputs, labels = next(iter(InMemoryImages(raw, ENTRY, batch_size=4, device=CPU)))
    assert inputs.shape == (4, 3, 8, 8)
    assert inputs.dtype == torch.float32
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    # 255 is 1: (1 - mean) / std, within two roundings of float32.
    expected = torch.tensor([1.0, 3.0, 1.0])
    assert torch.allclose(inputs[0, :, 0, 0], expected, rtol=4 * torch.finfo(torch.float32).eps, atol=0)
    assert labels.tolist() == [0, 1, 2, 3]


def test_evaluation_keeps_the_order_and_every_image():
    raw = some_images(50)
    data = InMemoryImages(raw, ENTRY, batch_size=16, device=CPU)
    labels = torch.cat([labels for _, labels in data])
    assert len(data) == 4
    assert torch.equal(labels, raw.labels)
