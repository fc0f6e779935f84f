"""Files become pictures, whatever their format; what is broken says how."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from image_folders import write_image
from netdeconv.data import CorruptImageError
from netdeconv.data.decoding import Encoded, decode, decode_on, load_image


@pytest.fixture
def picture(tmp_path) -> Image.Image:
    write_image(tmp_path / "picture.JPEG", 3)
    with Image.open(tmp_path / "picture.JPEG") as image:
        return image.convert("RGB")


def encoded(picture: Image.Image, kind: str, **settings) -> Encoded:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **settings)
    return Encoded("FILE", buffer.getvalue())


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_formats_without_loss_are_decoded_exactly(picture, kind):
    expected = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    assert torch.equal(decode(encoded(picture, kind)), expected)


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("L", "JPEG"), ("RGBA", "PNG"), ("P", "PNG")])
def test_other_colours_become_red_green_and_blue(picture, mode, kind):
    result = decode(encoded(picture.convert(mode), kind))
    assert result.dtype == torch.uint8
    assert result.shape == (3, picture.height, picture.width)
    if mode == "RGBA":
        assert torch.equal(result, torch.from_numpy(np.array(picture)).permute(2, 0, 1))
    if mode == "L":
        assert torch.equal(result[0], result[2])


def test_what_is_no_image_says_so(picture, tmp_path):
    whole = encoded(picture, "JPEG").content
    with pytest.raises(CorruptImageError, match=r"FILE cannot be decoded \((?i:.*truncated)"):
        decode(Encoded("FILE", whole[: len(whole) // 2]))
    with pytest.raises(CorruptImageError, match="no image of a known format"):
        decode(Encoded("FILE", bytes(range(200))))
    (tmp_path / "empty.png").touch()
    with pytest.raises(CorruptImageError, match=r"empty.png cannot be decoded \(the file is empty\)"):
        load_image(tmp_path / "empty.png")
    with pytest.raises(CorruptImageError, match=r"absent.png cannot be decoded \(No such file or directory\)"):
        load_image(tmp_path / "absent.png")
    with pytest.raises(CorruptImageError, match="Is a directory"):
        load_image(tmp_path)


def test_decoding_where_the_network_is_keeps_the_order_and_the_reasons(picture):
    good, bad = encoded(picture, "PNG"), Encoded("BAD", bytes(10))
    first, second, third = decode_on(torch.device("cpu"), [good, bad, good])
    assert torch.equal(first, decode(good))
    assert torch.equal(third, decode(good))
    assert isinstance(second, CorruptImageError)
    assert second.path == "BAD"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")
def test_a_graphics_card_decodes_jpeg_and_leaves_the_rest_to_the_processor(picture):
    jpeg, png, bad = encoded(picture, "JPEG"), encoded(picture, "PNG"), Encoded("BAD", bytes(10))
    card = torch.device("cuda")
    for contents in ([jpeg, jpeg], [jpeg, png]):
        for content, result in zip(contents, decode_on(card, contents), strict=True):
            assert result.device.type == "cuda"
            # Another inverse cosine transform and colour conversion: a few of 255 values.
            assert (result.cpu().int() - decode(content).int()).abs().max() <= 8
    assert isinstance(decode_on(card, [jpeg, bad])[1], CorruptImageError)


# Pillow cuts grey values off at 255: sixteen bits became white, floats in [0, 1] black.


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_to_eight(kind):
    values = np.array([[0, 128, 257, 32896], [40000, 65279, 65534, 65535]], np.uint16)
    result = decode(encoded(Image.fromarray(values), kind))
    assert torch.equal(result[0], torch.tensor([[0, 0, 1, 128], [156, 254, 255, 255]], dtype=torch.uint8))
    assert torch.equal(result[0], result[1])


def test_floats_from_zero_to_one_are_scaled_and_others_refused():
    values = np.array([[0.0, 0.25], [0.5, 1.0]], np.float32)
    assert decode(encoded(Image.fromarray(values), "TIFF"))[2].tolist() == [[0, 64], [128, 255]]
    with pytest.raises(CorruptImageError, match="its values are from 0 to 2, where 0 to 1 are expected"):
        decode(encoded(Image.fromarray(values * 2), "TIFF"))
    values[0, 0] = np.nan
    with pytest.raises(CorruptImageError, match="it holds NaN or infinity"):
        decode(encoded(Image.fromarray(values), "TIFF"))


def test_integers_beyond_sixteen_bits_are_refused():
    with pytest.raises(CorruptImageError, match="its values are from 7 to 70000, where 0 to 65535 are expected"):
        decode(encoded(Image.fromarray(np.array([[7, 70000]], np.int32)), "TIFF"))


def test_a_palette_with_transparent_colours_is_decoded_without_a_warning(picture):
    palette = picture.quantize(16)
    result = decode(encoded(palette, "PNG", transparency=bytes([0, 128, 255])))
    assert torch.equal(result, decode(encoded(palette, "PNG")))


def test_of_an_animation_the_first_picture_is_taken(picture):
    black = Image.new("RGB", picture.size)
    animation = encoded(picture, "WEBP", save_all=True, append_images=[black], lossless=True)
    assert torch.equal(decode(animation), decode(encoded(picture, "PNG")))
