"""PIL images in every mode: the same picture as their file read by path."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mindssd.errors import ImageError
from mindssd.images import from_pillow, is_pillow, read_image
from mindssd.types import Array

ROWS, COLUMNS = np.mgrid[0:20, 0:30]
RGB = np.stack([COLUMNS * 8, ROWS * 12, (COLUMNS + ROWS) * 5], axis=-1).astype(np.uint8)
PICTURE = Image.fromarray(RGB)
GREY_16 = Image.fromarray((COLUMNS * 2000).astype(np.uint16))
ALPHA = Image.fromarray((COLUMNS * 8).astype(np.uint8))


def with_alpha(mode: str) -> Image.Image:
    image = PICTURE.convert(mode)
    image.putalpha(ALPHA)
    return image


def both_ways(path: Path) -> tuple[Array, Array]:
    with warnings.catch_warnings(), Image.open(path) as image:
        warnings.simplefilter("ignore")  # PIL's own, about palettes with transparency
        return from_pillow(image).astype(int), read_image(path).astype(int)


@pytest.mark.parametrize(
    ("name", "image", "options", "tolerance"),
    [
        ("grey.png", PICTURE.convert("L"), {}, 0),
        ("grey_key.png", PICTURE.convert("L"), {"transparency": 32}, 0),
        ("grey_alpha.png", with_alpha("LA"), {}, 0),
        ("bits.png", PICTURE.convert("1"), {}, 0),
        ("bits.tif", PICTURE.convert("1"), {}, 0),
        ("palette.png", PICTURE.quantize(16), {}, 0),
        ("palette.bmp", PICTURE.quantize(16), {}, 0),
        ("palette_key.png", PICTURE.quantize(16), {"transparency": 3}, 0),
        ("palette_alpha.png", PICTURE.quantize(16), {"transparency": bytes(range(0, 240, 15))}, 0),
        ("colour_key.png", PICTURE, {"transparency": tuple(map(int, RGB[3, 3]))}, 0),
        ("alpha.png", with_alpha("RGBA"), {}, 0),
        ("sixteen.png", GREY_16, {}, 0),
        ("sixteen.tif", GREY_16, {}, 0),
        ("big_endian.tif", GREY_16.convert("I;16B"), {}, 0),
        # Each library rounds its own way from these to RGB.
        ("ink.jpg", PICTURE.convert("CMYK"), {"quality": 95}, 2),
        ("ink.tif", PICTURE.convert("CMYK"), {}, 2),
        ("luma.tif", PICTURE.convert("YCbCr"), {}, 2),
        ("luma.jpg", PICTURE.convert("YCbCr"), {}, 2),
    ],
)
def test_a_pil_image_is_what_its_file_is(
    tmp_path: Path, name: str, image: Image.Image, options: dict[str, Any], tolerance: int
) -> None:
    image.save(tmp_path / name, **options)
    given, read = both_ways(tmp_path / name)
    assert given.shape == read.shape == (20, 30, 3)
    assert np.abs(given - read).max() <= tolerance


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"turned.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    PICTURE.save(path, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    given, read = both_ways(path)
    assert given.shape == ((30, 20, 3) if orientation >= 5 else (20, 30, 3))
    assert np.abs(given - read).max() <= (2 if suffix == "jpg" else 0)


def test_an_image_made_in_hsv_has_its_colours() -> None:
    assert from_pillow(Image.new("HSV", (4, 3), (85, 255, 255)))[0, 0].tolist() == [0, 255, 0]


def test_a_mode_that_has_no_colours_of_a_screen_is_refused_with_the_way_out() -> None:
    with pytest.raises(ImageError, match="LAB; convert it to RGB"):
        from_pillow(Image.new("LAB", (4, 3)))
    with pytest.raises(ImageError, match="32-bit floats; expected 8 or 16 bits"):
        from_pillow(Image.new("F", (4, 3)))


def test_a_truncated_file_opened_by_pil_is_an_image_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:500])
    with Image.open(path) as image, pytest.raises(ImageError, match=r"PngImageFile.*truncated"):
        from_pillow(image)


def test_only_pil_images_are_taken_for_such_and_pil_is_not_imported_for_others() -> None:
    assert is_pillow(PICTURE)
    assert not is_pillow(RGB)
    code = (
        "import sys, numpy\n"
        "from mindssd.images import is_pillow\n"
        "assert not is_pillow(numpy.zeros(3)) and 'PIL' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
