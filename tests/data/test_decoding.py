"""Files become pictures, whatever their format; what is broken says how."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from image_folders import write_image
from netdeconv.data.decoding import (
    UndecodableError,
    decode,
    decode_on,
    drawing_from,
    evaluation_transform,
    read_bytes,
    training_transform,
)
from netdeconv.data.entry import ResizedCrop


@pytest.fixture
def picture(tmp_path) -> Image.Image:
    write_image(tmp_path / "picture.JPEG", 3)
    with Image.open(tmp_path / "picture.JPEG") as image:
        return image.convert("RGB")


def encoded(picture: Image.Image, kind: str) -> torch.Tensor:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)


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
    whole = encoded(picture, "JPEG")
    with pytest.raises(UndecodableError, match=r"(?i)truncated"):
        decode(whole[: len(whole) // 2])
    with pytest.raises(UndecodableError, match="no image of a known format"):
        decode(torch.arange(200, dtype=torch.uint8))
    (tmp_path / "empty").touch()
    with pytest.raises(UndecodableError, match="the file is empty"):
        read_bytes(str(tmp_path / "empty"))
    with pytest.raises(UndecodableError, match="No such file"):
        read_bytes(str(tmp_path / "absent"))


def test_decoding_where_the_network_is_keeps_the_order_and_the_reasons(picture):
    good, bad = encoded(picture, "PNG"), torch.zeros(10, dtype=torch.uint8)
    first, second, third = decode_on(torch.device("cpu"), [good, bad, good])
    assert torch.equal(first, decode(good))
    assert torch.equal(third, decode(good))
    assert isinstance(second, UndecodableError)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")
def test_a_graphics_card_decodes_jpeg_and_leaves_the_rest_to_the_processor(picture):
    jpeg, png, bad = encoded(picture, "JPEG"), encoded(picture, "PNG"), torch.zeros(10, dtype=torch.uint8)
    card = torch.device("cuda")
    for contents in ([jpeg, jpeg], [jpeg, png]):
        for content, result in zip(contents, decode_on(card, contents), strict=True):
            assert result.device.type == "cuda"
            # Another inverse cosine transform and colour conversion: a few of 255 values.
            assert (result.cpu().int() - decode(content).int()).abs().max() <= 8
    assert isinstance(decode_on(card, [jpeg, bad])[1], UndecodableError)


def test_the_seed_alone_decides_what_is_drawn_and_nothing_else_is_touched():
    transform = training_transform((12, 12), ResizedCrop())
    image = torch.randint(256, (3, 30, 40), dtype=torch.uint8)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with drawing_from(1):
        first = transform(image)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    with drawing_from(1):
        assert torch.equal(transform(image), first)
    with drawing_from(2):
        assert not torch.equal(transform(image), first)
    assert first.shape == (3, 12, 12)
    assert first.dtype == torch.uint8


def test_half_of_the_images_are_mirrored_unless_flipping_is_off():
    whole = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0)}
    ramp = torch.arange(16, dtype=torch.uint8).expand(3, 16, 16)
    flipped = 0
    for seed in range(200):
        with drawing_from(seed):
            flipped += bool(training_transform((16, 16), ResizedCrop(**whole))(ramp)[0, 0, 0] == 15)
        with drawing_from(seed):
            assert training_transform((16, 16), ResizedCrop(flip=False, **whole))(ramp)[0, 0, 0] == 0
    assert 70 < flipped < 130


def test_evaluation_resizes_the_shorter_side_and_cuts_the_centre():
    image = torch.randint(256, (3, 24, 48), dtype=torch.uint8)
    whole = v2.functional.resize(image, [12, 24], antialias=True)
    assert torch.equal(evaluation_transform((10, 8), 12)(image), whole[:, 1:11, 8:16])
