"""Windows, mirror images and holes agree with loops over pixels; holes come only when they are asked for."""

from __future__ import annotations

import pytest
import torch

from netdeconv.data import DataConfig, open_splits
from netdeconv.data.augment import crop_and_flip, cut_out

CPU = torch.device("cpu")


@pytest.mark.parametrize("side", [1, 2, 3, 7])
def test_cut_out_agrees_with_a_loop_over_pixels(side):
    images = torch.rand(5, 2, 6, 8) + 1
    row, column = torch.tensor([0, 5, 3, 0, 2]), torch.tensor([0, 7, 4, 7, 1])
    expected = images.clone()
    for n in range(5):
        for y in range(6):
            for x in range(8):
                top, left = int(row[n]) - side // 2, int(column[n]) - side // 2
                if top <= y < top + side and left <= x < left + side:
                    expected[n, :, y, x] = 0
    assert torch.equal(cut_out(images, side, row, column), expected)


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


def test_training_images_get_a_hole_in_the_mean_colour_and_are_otherwise_the_same():
    plain, holed = (
        open_splits(DataConfig(train_size=200, batch_size=100, cutout=side), seed=1, device=CPU) for side in (0, 8)
    )
    changed = 0
    for (image, label), (other, its_label) in zip(plain.train.epoch(1), holed.train.epoch(1), strict=True):
        assert torch.equal(label, its_label)
        different = image != other
        assert other[different].eq(0).all()
        # Where the image has the very mean colour a hole cannot be seen; digits have none of that value.
        areas = different.flatten(1).sum(1)
        assert areas.max() == 64
        assert areas.min() >= 16  # at a corner a quarter is left
        changed += len(image)
    assert changed == 200
    assert all(torch.equal(a[0], b[0]) for a, b in zip(plain.evaluation, holed.evaluation, strict=True))


def test_holes_differ_between_images_and_epochs():
    train = open_splits(DataConfig(train_size=200, batch_size=200, cutout=8), seed=1, device=CPU).train
    first, second = train._choose(1), train._choose(2)
    assert len(set(first.hole_row.tolist())) == len(set(first.hole_column.tolist())) == 32
    assert not torch.equal(first.hole_row, first.hole_column)
    assert not torch.equal(first.hole_row, second.hole_row)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutout": -1}, "cutout must be at least 0, got -1"),
        ({"cutout": 4, "augment": False}, "augment=False forbids"),
        ({"cutout": 33}, "cutout 33 hides all of an image of 32 x 32"),
    ],
)
def test_holes_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        open_splits(DataConfig(**settings), seed=0, device=CPU)
