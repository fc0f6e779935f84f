"""An image and its mask change together."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torchvision import tv_tensors

from netdeconv.data.config import Views
from netdeconv.data.loader import vary
from netdeconv.data.pairs import resized
from netdeconv.data.registry import IGNORE, segmentation_info
from netdeconv.data.splits import random_view

INFO = dataclasses.replace(segmentation_info("camvid"), mean=(250 / 255, 251 / 255, 252 / 255))
FILL = (250, 251, 252)


def view(**changes):
    return random_view(Views(**{"crop": (12, 16), "scale": (1.0, 1.0), "flip": False, **changes}), INFO)


def pair(height: int = 20, width: int = 30):
    """An image whose first channel says the row, the second the column; the mask is the row, too."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    image = torch.stack([rows, columns, rows * 0]).to(torch.uint8)
    return tv_tensors.Image(image), tv_tensors.Mask(rows.to(torch.uint8))


def seen(number: int, chosen, of=None):
    return vary(of or pair(), chosen, number)


def test_crops_are_cut_from_everywhere_and_mask_follows():
    corners, chosen = set(), view()
    for number in range(150):
        image, mask = seen(number, chosen)
        assert image.shape == (3, 12, 16)
        assert torch.equal(image[0], mask)
        assert torch.equal(image[1][0], torch.arange(16, dtype=torch.uint8) + image[1, 0, 0])
        corners.add((int(image[0, 0, 0]), int(image[1, 0, 0])))
    tops, lefts = ({corner[axis] for corner in corners} for axis in (0, 1))
    assert tops == set(range(9))
    assert lefts == set(range(15))


def test_half_are_mirrored_with_their_masks():
    mirrored, chosen = 0, view(flip=True)
    for number in range(200):
        image, mask = seen(number, chosen, (pair()[0], tv_tensors.Mask(pair()[0][1])))
        assert torch.equal(image[1], mask)
        mirrored += int(image[1, 0, 0] > image[1, 0, 1])
    assert 70 < mirrored < 130


def test_scales_are_drawn_from_the_whole_range():
    # rows count up, so that their slope in the crop is one over the scale
    chosen, slopes = view(scale=(0.5, 2.0), crop=(12, 60)), []
    for number in range(100):
        image, mask = seen(number, chosen, pair(20, 60))
        kept = (mask != IGNORE).any(1)
        column = int((mask != IGNORE).any(0).nonzero().median())
        slopes.append(float(image[0][kept, column].float().diff().mean().abs()))
    factors = 1 / torch.tensor(slopes)
    assert factors.min() < 0.6
    assert factors.max() > 1.8
    assert abs(float(((factors > 1.25).float()).mean()) - 0.5) < 0.2


def test_what_is_smaller_is_padded_and_the_padding_ignored():
    for number in range(5):
        image, mask = seen(number, view(scale=(0.5, 0.5)))
        padded = mask == IGNORE
        assert padded.sum() == 12 * 16 - 10 * 15
        for channel, value in enumerate(FILL):
            assert (image[channel][padded] == value).all()
        assert not (image[2][~padded] == FILL[2]).any()


def test_the_seed_alone_decides_what_is_drawn_and_torchs_generator_stays():
    chosen = view(flip=True, scale=(0.5, 2.0))
    torch.manual_seed(0)
    first = seen(5, chosen)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    second = seen(5, chosen)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert torch.equal(torch.get_rng_state(), state)
    assert any(not torch.equal(first[0], seen(number, chosen)[0]) for number in (6, 7))


def test_masks_are_resized_without_new_labels():
    image, mask = pair(20, 30)
    small, labels = resized((image, tv_tensors.Mask((mask > 9) * 7)), (10, 15))
    assert small.shape == (3, 10, 15)
    assert {*labels.unique().tolist()} == {0, 7}
    assert int((labels == 7).sum()) == 5 * 15


def test_a_crop_larger_than_all_images_is_refused_before_anything_is_read():
    with pytest.raises(ValueError, match="crop of 512x512 is larger than the images, 480x360"):
        random_view(Views(crop=(512, 512)), segmentation_info("camvid"))
    with pytest.raises(ValueError, match="crop of 240x200 is larger than the images, 240x180"):
        random_view(Views(size=(180, 240), crop=(200, 240)), segmentation_info("cityscapes"))


@pytest.mark.parametrize(
    ("settings", "size"),
    [({"size": (18, 24)}, (18, 24)), ({"size": (18, 24), "crop": (9, 12)}, (9, 12)), ({}, (360, 480))],
)
def test_the_crop_is_the_size_unless_another_is_asked_for(settings, size):
    image, _ = seen(0, random_view(Views(**settings), segmentation_info("camvid")))
    assert image.shape[1:] == size


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": (0, 3)}, "size must be a height and a width of at least 1"),
        ({"crop": (3,)}, "crop must be a height and a width"),
        ({"scale": (0.0, 1.0)}, "scale must be"),
        ({"scale": (2.0, 1.0)}, "scale must be"),
        ({"evaluation_batch": 0}, "evaluation_batch must be at least 1"),
    ],
)
def test_senseless_views_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Views(**settings)
