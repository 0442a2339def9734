"""PNG: checksums are looked at, and what holds no pixels is not."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mindssd.decoders.decoded import SEVERAL
from mindssd.decoders.png import SIGNATURE, decode_png
from mindssd.errors import ImageError
from tests.decoders.conftest import by_pillow, encoded, picture


def chunk(name: bytes, content: bytes) -> bytes:
    checked = name + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def with_chunk(data: bytes, name: bytes, content: bytes) -> bytes:
    """A file with one chunk more, behind its header."""
    end_of_header = len(SIGNATURE) + 25
    return data[:end_of_header] + chunk(name, content) + data[end_of_header:]


def written(values: np.ndarray, kind: int, transparent: bytes = b"") -> bytes:
    """A PNG of 16 bits; `kind` is its colour type."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    pieces = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    if transparent:
        pieces.insert(1, chunk(b"tRNS", transparent))
    return SIGNATURE + b"".join(pieces)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_the_pixels_are_those_of_pillow(mode: str) -> None:
    data = encoded(picture().convert(mode), "PNG")
    pixels = decode_png(data).pixels
    np.testing.assert_array_equal(
        np.asarray(Image.fromarray(pixels).convert("RGB")), by_pillow(data)
    )


@pytest.mark.parametrize("name", [b"IHDR", b"IDAT", b"IEND"])
def test_a_bit_that_fell_over_is_noticed(name: bytes) -> None:
    data = bytearray(encoded(picture(), "PNG"))
    at = data.index(name)
    for position in (at + 4, at + 6):
        damaged = data.copy()
        damaged[position] ^= 1
        with pytest.raises(ImageError, match="checksum"):
            decode_png(bytes(damaged))


def test_a_file_without_its_end_is_truncated() -> None:
    data = encoded(picture(), "PNG")
    for missing in (1, 12, 13, len(data) - 20):
        with pytest.raises(ImageError, match="truncated or damaged: the PNG file has"):
            decode_png(data[:-missing])


def test_a_file_that_does_not_start_with_its_header_is_refused() -> None:
    data = encoded(picture(), "PNG")
    end = chunk(b"IEND", b"")
    for wrong in (SIGNATURE + end, SIGNATURE + chunk(b"IHDR", b"") + end, data[:8] + data[33:]):
        with pytest.raises(ImageError, match="does not start with its header"):
            decode_png(wrong)


def test_what_stands_behind_the_end_is_left_alone() -> None:
    data = encoded(picture(), "PNG")
    np.testing.assert_array_equal(decode_png(data + b"more").pixels, picture())


def test_a_text_longer_than_pillow_takes_keeps_no_picture_from_being_read() -> None:
    text = b"prompt\0\0" + zlib.compress(b"x" * 2_000_000)
    data = with_chunk(encoded(picture(), "PNG"), b"zTXt", text)
    with pytest.raises(ValueError, match="too large"):
        by_pillow(data)
    np.testing.assert_array_equal(decode_png(data).pixels, picture())


def test_an_animation_gives_its_picture_and_says_so() -> None:
    data = encoded(picture(), "PNG", save_all=True, append_images=[picture().rotate(180)])
    decoded = decode_png(data)
    np.testing.assert_array_equal(decoded.pixels, picture())
    assert decoded.remarks == (SEVERAL,)


def test_sixteen_bits_of_grey_may_have_a_transparent_value() -> None:
    decoded = decode_png(written(np.array([[40_000, 1000]]), 0, struct.pack(">H", 40_000)))
    assert decoded.pixels.tolist() == [[[40_000, 0], [1000, 65535]]]


def test_colours_of_sixteen_bits_that_are_dark_come_with_both_bytes() -> None:
    values = np.array([[[1000, 2000, 4095], [255, 0, 7]]])
    assert decode_png(written(values, 2)).pixels.tolist() == values.tolist()
    bright = np.array([[[1000, 2000, 65535], [255, 0, 7]]])
    assert decode_png(written(bright, 2)).pixels.tolist() == (bright >> 8).tolist()


def test_an_alpha_of_sixteen_bits_comes_with_both_bytes_too() -> None:
    values = np.array([[[1000, 2000, 4095, 65535], [255, 0, 7, 1]]])
    assert decode_png(written(values, 6)).pixels.tolist() == values.tolist()


def test_pillow_is_left_as_it_was() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    before = (Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK)
    decode_png(encoded(picture(), "PNG"))
    assert before == (Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK)
