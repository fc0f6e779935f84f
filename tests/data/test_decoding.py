"""Files become pictures, whatever their format; what is broken says how."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from image_folders import truncate, write_image
from netdeconv.data.decoding import load_image
from netdeconv.data.errors import CorruptImageError


@pytest.fixture
def picture(tmp_path) -> Image.Image:
    write_image(tmp_path / "picture.JPEG", 3)
    with Image.open(tmp_path / "picture.JPEG") as image:
        return image.convert("RGB")


@pytest.fixture
def decoded(tmp_path):
    """Write a picture as a file of some kind, and read it."""

    def write_and_read(picture: Image.Image, kind: str, **settings) -> torch.Tensor:
        picture.save(tmp_path / "FILE", kind, **settings)
        return load_image(tmp_path / "FILE")

    return write_and_read


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_formats_without_loss_are_decoded_exactly(picture, kind, decoded):
    expected = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    assert torch.equal(decoded(picture, kind), expected)


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("L", "JPEG"), ("RGBA", "PNG"), ("P", "PNG")])
def test_other_colours_become_red_green_and_blue(picture, mode, kind, decoded):
    result = decoded(picture.convert(mode), kind)
    assert result.dtype == torch.uint8
    assert result.shape == (3, picture.height, picture.width)
    if mode == "RGBA":
        assert torch.equal(result, torch.from_numpy(np.array(picture)).permute(2, 0, 1))
    if mode == "L":
        assert torch.equal(result[0], result[2])


def test_what_is_no_image_says_so(tmp_path):
    write_image(tmp_path / "half.jpg", 3)
    truncate(tmp_path / "half.jpg", 600)
    (tmp_path / "bytes.jpg").write_bytes(bytes(range(200)))
    (tmp_path / "empty.png").touch()
    for name, reason in (
        ("half.jpg", "(?i:.*truncated)"),
        ("bytes.jpg", "cannot identify image file"),
        ("empty.png", "the file is empty"),
        ("absent.png", "No such file or directory"),
    ):
        with pytest.raises(CorruptImageError, match=rf"{name} cannot be decoded \({reason}"):
            load_image(tmp_path / name)
    with pytest.raises(CorruptImageError, match="Is a directory"):
        load_image(tmp_path)


# Pillow cuts grey values off at 255: sixteen bits became white, floats in [0, 1] black.


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_to_eight(kind, decoded):
    values = np.array([[0, 128, 257, 32896], [40000, 65279, 65534, 65535]], np.uint16)
    result = decoded(Image.fromarray(values), kind)
    assert torch.equal(result[0], torch.tensor([[0, 0, 1, 128], [156, 254, 255, 255]], dtype=torch.uint8))
    assert torch.equal(result[0], result[1])


def test_floats_from_zero_to_one_are_scaled_and_others_refused(decoded):
    values = np.array([[0.0, 0.25], [0.5, 1.0]], np.float32)
    assert decoded(Image.fromarray(values), "TIFF")[2].tolist() == [[0, 64], [128, 255]]
    with pytest.raises(CorruptImageError, match="its values are from 0 to 2, where 0 to 1 are expected"):
        decoded(Image.fromarray(values * 2), "TIFF")
    values[0, 0] = np.nan
    with pytest.raises(CorruptImageError, match="it holds NaN or infinity"):
        decoded(Image.fromarray(values), "TIFF")


def test_integers_beyond_sixteen_bits_are_refused(decoded):
    with pytest.raises(CorruptImageError, match="its values are from 7 to 70000, where 0 to 65535 are expected"):
        decoded(Image.fromarray(np.array([[7, 70000]], np.int32)), "TIFF")


def test_a_palette_with_transparent_colours_is_decoded_without_a_warning(picture, decoded):
    palette = picture.quantize(16)
    result = decoded(palette, "PNG", transparency=bytes([0, 128, 255]))
    assert torch.equal(result, decoded(palette, "PNG"))


def test_of_an_animation_the_first_picture_is_taken(picture, decoded):
    black = Image.new("RGB", picture.size)
    animation = decoded(picture, "WEBP", save_all=True, append_images=[black], lossless=True)
    assert torch.equal(animation, decoded(picture, "PNG"))
