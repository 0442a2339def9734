"""TIFF: bands, pages, bytes and bits of many kinds, and directories that are wrong."""

import struct

import numpy as np
import pytest
from PIL import Image

from mindssd.decoders.decoded import SEVERAL
from mindssd.decoders.exif import Structure
from mindssd.decoders.tiff import decode_tiff
from mindssd.errors import ImageError
from mindssd.images import decode_image
from mindssd.types import Array
from tests.decoders.conftest import by_pillow, encoded, picture

BITS, COMPRESSION, STRIPS, ROWS, SIZES, LARGEST, EXTRA = 258, 259, 273, 278, 279, 281, 338


def written(pixels: Array, order: str = "<", photometric: int = 2, **tags: int) -> bytes:
    """An uncompressed TIFF of one strip, with further short tags by their numbers: `_338=0`."""
    height, width, samples = pixels.shape
    bits = 8 * pixels.itemsize
    strip = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    entries = {256: width, 257: height, BITS: bits, COMPRESSION: 1, 262: photometric, 277: samples}
    entries |= {STRIPS: 8, ROWS: height, SIZES: len(strip)}
    entries |= {int(name[1:]): value for name, value in tags.items()}
    start = 8 + len(strip)
    mark = b"II" if order == "<" else b"MM"
    directory = struct.pack(order + "H", len(entries))
    for tag, value in sorted(entries.items()):
        count = samples if tag == BITS and samples > 1 else 1
        if count > 2:
            place = start + 2 + 12 * len(entries) + 4
            directory += struct.pack(order + "HHII", tag, 3, count, place)
        else:
            content = struct.pack(order + f"{count}H", *[value] * count)
            directory += struct.pack(order + "HHI", tag, 3, count) + content.ljust(4, b"\0")
    directory += bytes(4) + struct.pack(order + f"{samples}H", *[bits] * samples)
    return mark + struct.pack(order + "HI", 42, start) + strip + directory


def bands(count: int, dtype: str = "u1") -> Array:
    scale = 1 if dtype == "u1" else 257
    numbers = 255 - np.arange(4 * 6 * count).reshape(4, 6, count) * 2
    return (numbers * scale).astype(dtype)


def test_a_fourth_band_that_nothing_declares_is_no_alpha() -> None:
    for tags in ({}, {f"_{EXTRA}": 0}):
        data = written(bands(4), **tags)
        np.testing.assert_array_equal(decode_image(data, "bands"), bands(4)[:, :, :3])


@pytest.mark.parametrize("order", "<>")
def test_nor_is_one_of_sixteen_bits(order: str) -> None:
    for tags in ({}, {f"_{EXTRA}": 0}):
        data = written(bands(4, "u2"), order, **tags)
        np.testing.assert_array_equal(decode_image(data, "bands"), bands(4)[:, :, :3])


def test_a_fourth_band_that_is_declared_as_alpha_is_laid_on_white() -> None:
    pixels = np.array([[[200, 100, 0, 51], [200, 100, 0, 255]]], np.uint8)
    alpha = written(pixels, _338=2)
    assert decode_image(alpha, "alpha").tolist() == [[[244, 224, 204], [200, 100, 0]]]
    # Associated alpha stands multiplied into the colours already: 40 is 1/5 of 200.
    multiplied = written(np.array([[[40, 20, 0, 51], [200, 100, 0, 255]]], np.uint8), _338=1)
    assert decode_image(multiplied, "alpha").tolist() == [[[244, 224, 204], [200, 100, 0]]]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("count", [1, 3])
def test_twelve_bits_in_sixteen_are_not_nearly_black(order: str, count: int) -> None:
    values = bands(count, "u2") >> 4
    decoded = decode_image(written(values, order, photometric=1 if count == 1 else 2), "12 bits")
    np.testing.assert_array_equal(decoded, np.broadcast_to(bands(count), (4, 6, 3)))


def test_a_largest_value_that_the_file_declares_decides() -> None:
    dark = np.full((4, 6, 1), 400, np.uint16)
    for largest, shift in ((1023, 2), (4095, 4), (65535, 8)):
        data = written(dark, photometric=1, **{f"_{LARGEST}": largest})
        assert decode_image(data, "dark")[0, 0, 0] == 400 >> shift


def test_only_a_page_of_its_own_is_one_of_several() -> None:
    def decoded(**options: object) -> tuple[str, ...]:
        return decode_tiff(encoded(picture(), "TIFF", **options)).remarks

    assert decoded() == ()
    assert decoded(save_all=True, append_images=[picture()]) == (SEVERAL,)


def test_an_overview_is_no_page() -> None:
    data = bytearray(encoded(picture(), "TIFF", save_all=True, append_images=[picture(12, 16)]))
    structure = Structure(bytes(data))
    second = structure.directory(structure.first).next
    # The second page's bits, which nobody reads, become "a reduced picture".
    entry = data.index(struct.pack("<HH", BITS, 3), second)
    data[entry : entry + 12] = struct.pack("<HHII", 254, 4, 1, 1)
    assert decode_tiff(bytes(data)).remarks == ()


@pytest.mark.parametrize(
    "compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"]
)
def test_each_compression_is_read_and_its_truncation_noticed(compression: str) -> None:
    data = encoded(picture(100, 90), "TIFF", compression=compression)
    np.testing.assert_array_equal(decode_tiff(data).pixels, by_pillow(data))
    for share in (0.1, 0.5, 0.98):
        with pytest.raises(ImageError, match="truncated"):
            decode_tiff(data[: int(share * len(data))])


def test_damage_in_a_jpeg_inside_is_noticed() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    data = bytearray(encoded(noise, "TIFF", compression="jpeg"))
    structure = Structure(bytes(data))
    (start, *_), (size, *_) = (
        structure.integers(structure.directory(structure.first), tag) for tag in (STRIPS, SIZES)
    )
    middle = start + size // 2
    data[middle : middle + 30] = b"\xff\x00" * 15
    assert by_pillow(bytes(data)).shape == (64, 64, 3)  # libtiff says nothing
    with pytest.raises(ImageError, match="Corrupt JPEG data"):
        decode_tiff(bytes(data))


@pytest.mark.parametrize(
    ("tag", "value", "said"),
    [
        (STRIPS, 60_000, "pixels of the TIFF file lie beyond its end"),
        (ROWS, 1, "has 1 of 4 pieces"),
        (ROWS, 0, "in pieces of none"),
        (257, 0, "6 x 0 pixels"),
        (262, 77, "unknown pixel mode .TIFF, bits 8.8.8, samples 3, photometric 77"),
    ],
)
def test_a_directory_that_is_wrong_is_said_to_be(tag: int, value: int, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        decode_tiff(written(bands(3), **{f"_{tag}": value}))


def test_an_order_that_pillow_misreads_is_named() -> None:
    with pytest.raises(ImageError, match=r"BigTIFF in big-endian order.*convert it"):
        decode_tiff(b"MM\0+" + bytes(100))


def test_a_tag_outside_the_file_is_an_error_and_no_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    data = bytearray(written(bands(3)))
    entry = data.index(struct.pack("<HHI", BITS, 3, 3))
    data[entry + 8 : entry + 12] = struct.pack("<I", 1_000_000)
    with pytest.raises(ImageError, match="tag 258 lies outside the file"):
        decode_tiff(bytes(data))
    assert not recwarn.list


@pytest.mark.parametrize(("dtype", "said"), [("i2", "with a sign"), ("f4", "32-bit floats")])
def test_what_no_screen_shows_is_refused_with_the_way_out(dtype: str, said: str) -> None:
    sample_format = 2 if dtype == "i2" else 3
    data = written(bands(1).astype(dtype), photometric=1, _339=sample_format)
    with pytest.raises(ImageError, match=f"{said}; expected 8 or 16 bits without a sign"):
        decode_tiff(data)


def test_a_large_picture_needs_no_setting_of_pillow_and_is_not_warned_of(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # and twice as many are an error
    for image_format in ("TIFF", "PNG", "BMP", "JPEG"):
        assert decode_image(encoded(picture(), image_format), "large").shape == (24, 32, 3)
    assert not recwarn.list
