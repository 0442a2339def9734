"""JPEG of many kinds: the pixels are Pillow's, and nothing damaged is used."""

import numpy as np
import pytest
from PIL import Image

from mindssd.decoders.decoded import UNCHECKED
from mindssd.decoders.jpeg import decode_jpeg
from mindssd.errors import ImageError
from tests.decoders.conftest import by_pillow, encoded, picture

SCAN, END = b"\xff\xda", b"\xff\xd9"


def noisy(size: int = 96) -> Image.Image:
    """A picture of which every part of the file counts."""
    pixels = np.random.default_rng(0).integers(0, 255, (size, size, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {"subsampling": "4:4:4"}),
        ("RGB", {"subsampling": "4:2:2"}),
        ("RGB", {"subsampling": "4:2:0"}),
        ("RGB", {"subsampling": "4:1:1"}),
        ("RGB", {"keep_rgb": True}),
        ("RGB", {"progressive": True}),
        ("RGB", {"optimize": True, "quality": 100}),
        ("RGB", {"restart_marker_blocks": 2}),
        ("RGB", {"restart_marker_rows": 1, "progressive": True}),
        ("L", {}),
        ("L", {"progressive": True}),
        ("CMYK", {}),
        ("CMYK", {"progressive": True}),
    ],
)
def test_the_pixels_are_those_of_pillow(mode: str, options: dict[str, object]) -> None:
    data = encoded(noisy().convert(mode), "JPEG", **options)
    np.testing.assert_array_equal(decode_jpeg(data).pixels, by_pillow(data))


def test_a_second_picture_or_anything_else_behind_the_end_is_left_alone() -> None:
    data = encoded(picture(), "JPEG", progressive=True)
    for file in (
        data + b"\0" * 100,
        data + data[: len(data) // 2],
        encoded(picture(), "MPO", save_all=True, append_images=[noisy()]),
    ):
        np.testing.assert_array_equal(decode_jpeg(file).pixels, by_pillow(data))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_part_with_an_end_mark_is_refused(progressive: bool, share: float) -> None:
    data = encoded(noisy(), "JPEG", progressive=progressive)
    with pytest.raises(ImageError, match="truncated"):
        decode_jpeg(data[: int(share * len(data))] + END)


@pytest.mark.parametrize("missing", [1, 2, 10, 200])
def test_a_file_without_its_last_bytes_is_refused(missing: int) -> None:
    with pytest.raises(ImageError, match="truncated"):
        decode_jpeg(encoded(noisy(), "JPEG")[:-missing])


def test_bytes_overwritten_in_the_middle_of_the_scan_are_noticed() -> None:
    data = bytearray(encoded(noisy(), "JPEG"))
    middle = len(data) // 2
    data[middle : middle + 40] = b"\xff\x00" * 20
    with pytest.raises(ImageError, match="damaged: Corrupt JPEG data"):
        decode_jpeg(bytes(data))


def test_a_lost_restart_interval_is_noticed() -> None:
    data = encoded(noisy(), "JPEG", restart_marker_blocks=4)
    first, second = data.index(b"\xff\xd1"), data.index(b"\xff\xd3")
    with pytest.raises(ImageError, match="damaged"):
        decode_jpeg(data[:first] + data[second:])


def test_a_progressive_file_that_ends_between_two_scans_is_refused() -> None:
    data = encoded(picture(), "JPEG", progressive=True)
    scans = [at for at in range(len(data)) if data.startswith(SCAN, at)]
    assert len(scans) == 10
    for at in scans[1:]:
        coarse = data[:at] + END
        assert by_pillow(coarse).shape == (24, 32, 3)  # libjpeg says nothing
        with pytest.raises(ImageError, match="scans of the JPEG file are missing"):
            decode_jpeg(coarse)


def test_a_colour_profile_in_wrong_pieces_is_ignored() -> None:
    data = bytearray(encoded(picture(), "JPEG", icc_profile=b"p" * 70_000))
    data[data.index(b"ICC_PROFILE\0") + 12] = 9
    np.testing.assert_array_equal(decode_jpeg(bytes(data)).pixels, by_pillow(bytes(data)))


def test_a_jfif_version_of_the_future_is_read() -> None:
    data = bytearray(encoded(picture(), "JPEG"))
    data[data.index(b"JFIF\0") + 5] = 3
    np.testing.assert_array_equal(decode_jpeg(bytes(data)).pixels, by_pillow(bytes(data)))


def test_a_scan_that_says_nothing_of_its_progression_is_read() -> None:
    data = bytearray(encoded(picture(), "JPEG"))
    scan = data.index(SCAN)
    end = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
    data[end - 3 : end] = b"\0\0\0"
    np.testing.assert_array_equal(decode_jpeg(bytes(data)).pixels, by_pillow(bytes(data)))


def test_damage_is_noticed_beside_what_needs_no_care() -> None:
    data = bytearray(encoded(noisy(), "JPEG"))
    data[data.index(b"JFIF\0") + 5] = 3
    with pytest.raises(ImageError, match="truncated or damaged: Corrupt JPEG data"):
        decode_jpeg(bytes(data[: len(data) // 2]) + END)


def test_a_rare_subsampling_is_read_and_said() -> None:
    data = bytearray(encoded(noisy(16), "JPEG", subsampling="4:4:4"))
    frame = data.index(b"\xff\xc0")
    # Of luma 4 x 2 blocks to 1 x 1: the scan of one block a component fits no longer, and is read
    # only as far as it goes.
    data[frame + 11] = 0x42
    decoded = decode_jpeg(bytes(data))
    assert decoded.remarks == (UNCHECKED,)
    assert decoded.pixels.shape == (16, 16, 3)


def test_another_precision_than_8_bits_is_named() -> None:
    data = bytearray(encoded(picture(), "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(ImageError, match="12 bits a sample; expected 8"):
        decode_jpeg(bytes(data))


def test_more_pixels_than_memory_may_hold_are_refused_before_decoding() -> None:
    data = bytearray(encoded(picture(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = b"\xff\xdc\xff\xdc"
    with pytest.raises(ImageError, match="has 65500 x 65500 pixels; expected at most 1074 million"):
        decode_jpeg(bytes(data))


@pytest.mark.parametrize("length", range(3, 700, 29))
def test_a_file_that_ends_in_its_header_is_refused(length: int) -> None:
    with pytest.raises(ImageError, match="truncated"):
        decode_jpeg(encoded(picture(), "JPEG")[:length])
