"""The containers that Pillow reads, and what it notices of damage in them."""

import io
import sys

import numpy as np
import pytest
from PIL import Image, features

from mindssd.decoders.containers import decode
from mindssd.decoders.decoded import SEVERAL
from mindssd.errors import ImageError
from mindssd.images import decode_image
from tests.decoders.conftest import by_pillow, encoded, picture

LOSSLESS: dict[str, dict[str, object]] = {
    "PNG": {},
    "BMP": {},
    "TIFF": {},
    "PPM": {},
    "GIF": {},
    "WEBP": {"lossless": True},
    "JPEG2000": {},
}


def heif(image: Image.Image) -> bytes:
    plug_in = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    plug_in.from_pillow(image).save(buffer, quality=-1)
    return buffer.getvalue()


@pytest.mark.parametrize("image_format", LOSSLESS)
def test_each_container_is_read_as_pillow_reads_it(image_format: str) -> None:
    data = encoded(picture(), image_format, **LOSSLESS[image_format])
    np.testing.assert_array_equal(decode_image(data, "picture"), by_pillow(data))


@pytest.mark.parametrize("image_format", ["PNG", "BMP", "PPM", "GIF", "WEBP", "JPEG2000", "AVIF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_part_of_a_file_is_refused(image_format: str, share: float) -> None:
    if image_format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, image_format)
    with pytest.raises(ImageError, match="truncated"):
        decode(data[: int(share * len(data))])


def test_half_a_jpeg_2000_with_an_end_mark_is_refused() -> None:
    data = encoded(picture(64, 64), "JPEG2000")
    with pytest.raises(ImageError, match="ends before its picture"):
        decode(data[: len(data) // 2] + b"\xff\xd9")


def test_a_jpeg_2000_may_be_a_bare_codestream() -> None:
    data = encoded(picture(), "JPEG2000", no_jp2=True)
    np.testing.assert_array_equal(decode(data).pixels, picture())


def test_heif_is_read_with_its_plug_in() -> None:
    data = heif(picture(64, 64))
    difference = decode(data).pixels.astype(int) - np.asarray(picture(64, 64))
    assert np.abs(difference).max() <= 6
    with pytest.raises(ImageError, match="truncated"):
        decode(data[: len(data) // 2])


def test_heif_without_its_plug_in_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heif(picture(64, 64))
    for name in [name for name in sys.modules if name.startswith("pillow_heif")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"a\.heic: is HEIF.*pip install 'mindssd\[heif\]'"):
        decode_image(data, "a.heic")


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_read_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(64, 48), "AVIF", exif=exif, quality=100, subsampling="4:4:4")
    image = decode_image(data, "turned")
    assert image.shape == (48, 64, 3)
    assert np.abs(image.astype(int) - np.rot90(picture(64, 48), -1)).max() <= 4
    assert decode_image(data, "turned", expected_size=(64, 48)).shape == (64, 48, 3)


def bmp32(masks: tuple[int, ...], pixels: np.ndarray) -> bytes:
    """A BMP of version 4, 32 bits a pixel, rows from the top."""
    height, width = pixels.shape[:2]
    header = np.array([108, width, -height], np.int64).astype("<u4").tobytes() + b"\1\0\x20\0"
    header += np.array([3, pixels.nbytes, 0, 0, 0, 0, *masks], "<u4").tobytes()
    header = header.ljust(108, b"\0")
    size = 14 + len(header)
    start = b"BM" + np.array([size + pixels.nbytes, 0, size], "<u4").tobytes()
    return start + header + pixels.tobytes()


@pytest.mark.parametrize("alpha_mask", [0, 0xFF000000])
def test_spare_bytes_of_a_bmp_are_no_transparency(alpha_mask: int) -> None:
    pixels = np.array([[[10, 20, 30, 0], [40, 50, 60, 0]]], np.uint8)
    data = bmp32((0xFF0000, 0xFF00, 0xFF, alpha_mask), pixels)
    assert decode_image(data, "spare").tolist() == [[[30, 20, 10], [60, 50, 40]]]


def test_an_alpha_that_a_bmp_uses_is_laid_on_white() -> None:
    pixels = np.array([[[10, 20, 30, 0], [40, 50, 60, 255]]], np.uint8)
    data = bmp32((0xFF0000, 0xFF00, 0xFF, 0xFF000000), pixels)
    assert decode_image(data, "alpha").tolist() == [[[255, 255, 255], [60, 50, 40]]]


def test_a_bmp_of_32_bits_without_masks_has_no_alpha() -> None:
    data = bytearray(encoded(Image.new("RGBA", (2, 1), (30, 20, 10, 0)), "BMP"))
    data[30:34] = b"\0\0\0\0"  # no bit fields
    assert decode_image(bytes(data), "plain").tolist() == [[[30, 20, 10]] * 2]


def test_a_grey_map_of_sixteen_bits_keeps_the_upper_eight() -> None:
    pixels = np.array([[0, 300, 4095]], ">u2")
    data = b"P5 3 1 4095\n" + pixels.tobytes()
    # Scaled to 16 bits by the largest value, which the file says: 300 · 65535 / 4095 / 256.
    assert decode_image(data, "grey")[0, :, 0].tolist() == [0, 18, 255]


def test_a_moving_picture_gives_its_first_and_says_so() -> None:
    other = picture().rotate(180)
    for image_format in ("GIF", "WEBP"):
        options = LOSSLESS[image_format]
        still = encoded(picture(), image_format, **options)
        moving = encoded(picture(), image_format, save_all=True, append_images=[other], **options)
        assert decode(still).remarks == ()
        assert decode(moving).remarks == (SEVERAL,)
        np.testing.assert_array_equal(decode_image(moving, "moving"), decode_image(still, "still"))
