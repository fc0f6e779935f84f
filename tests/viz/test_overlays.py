"""Overlays have the classes' colours where the classes are, and nothing elsewhere."""

from __future__ import annotations

import pytest
import torch

from netdeconv.data.registry import IGNORE, PixelClass
from netdeconv.viz import labelled_overlay, overlay, panels

CLASSES = (PixelClass("sky", (0, 100, 200)), PixelClass("road", (200, 0, 50)), PixelClass("car", (9, 9, 9)))


@pytest.fixture
def image():
    return torch.full((3, 8, 12), 100, dtype=torch.uint8)


@pytest.fixture
def classes():
    """Sky above, road below, a corner that counts for nothing; no car."""
    mask = torch.zeros(8, 12, dtype=torch.uint8)
    mask[4:] = 1
    mask[:2, :3] = IGNORE
    return mask


def test_colours_are_mixed_with_the_image_where_a_class_is(image, classes):
    mixed = overlay(image, classes, CLASSES, strength=0.25)
    for number in (0, 1):
        expected = torch.tensor([round(0.75 * 100 + 0.25 * part) for part in CLASSES[number].color])
        for channel in range(3):
            seen = mixed[channel][classes == number].long()
            assert (seen - expected[channel]).abs().max() <= 1
    assert torch.equal(mixed[:, classes == IGNORE], image[:, classes == IGNORE])
    assert mixed.dtype == torch.uint8


def test_another_size_is_refused(image, classes):
    with pytest.raises(ValueError, match="differ in size"):
        overlay(image, classes[1:], CLASSES)


def test_panels_have_a_row_for_each_image_and_a_legend(image):
    figure = panels({"first": [image, image], "second": [image, image]}, ["image", "truth"], CLASSES)
    pictures, below = figure.subfigs
    axes = pictures.axes
    assert len(axes) == 4
    assert all(torch.equal(torch.from_numpy(each.get_images()[0].get_array()).permute(2, 0, 1), image) for each in axes)
    assert [axes[0].get_title(loc="left"), axes[2].get_title(loc="left")] == ["first", "second"]
    assert [text.get_text() for text in below.legends[0].get_texts()] == ["sky", "road", "car"]
    colors = [patch.get_facecolor()[:3] for patch in below.legends[0].get_patches()]
    assert colors[0] == pytest.approx([part / 255 for part in CLASSES[0].color])
    assert {text.get_text() for each in axes for text in each.texts} == {"image", "truth"}


@pytest.mark.parametrize("rows", [{}, {"first": [torch.zeros(3, 2, 2, dtype=torch.uint8)]}])
def test_rows_that_do_not_fit_their_titles_are_refused(rows):
    with pytest.raises(ValueError, match="rows of 2 images are needed"):
        panels(rows, ["image", "truth"], CLASSES)


def test_a_labelled_overlay_has_every_pixel_and_the_classes_that_occur(tmp_path, classes):
    from PIL import Image

    tall, wide = (torch.nn.functional.interpolate(classes[None, None], scale_factor=50)[0, 0] for _ in range(2))
    image = torch.full((3, *wide.shape), 100, dtype=torch.uint8)
    figure = labelled_overlay(image, tall, CLASSES)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["sky", "road"]
    figure.savefig(tmp_path / "picture.png")
    saved = Image.open(tmp_path / "picture.png").convert("RGB")
    expected = overlay(image, wide, CLASSES)
    assert saved.width == 600
    assert saved.height > 400
    for row, column in ((10, 10), (100, 300), (390, 590)):
        assert saved.getpixel((column, row)) == pytest.approx(tuple(expected[:, row, column].tolist()), abs=1)
