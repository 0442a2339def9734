"""Odd image files, each written here with Pillow, and what becomes of them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from mindssd.errors import ImageError
from mindssd.images import Normalization, as_rgb, decode_image, normalise, read_image, resize
from mindssd.types import Array


def picture(height: int = 24, width: int = 32) -> Image.Image:
    """A smooth picture without symmetry, so that JPEG keeps it and every turn of it differs."""
    rows, columns = np.mgrid[:height, :width]
    red, green = rows * 200 // height, columns * 250 // width
    blue = (rows + columns) * 100 // (height + width)
    return Image.fromarray(np.stack([red, green, blue], axis=2).astype(np.uint8))


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def difference(image: Array, expected: Image.Image) -> float:
    return float(np.abs(image.astype(float) - np.asarray(expected, float)).mean())


@pytest.mark.parametrize(
    ("image_format", "tolerance"),
    [("PNG", 0.0), ("BMP", 0.0), ("TIFF", 0.0), ("JPEG", 3.0), ("WEBP", 3.0)],
)
def test_each_supported_format_is_read_as_rgb(image_format: str, tolerance: float) -> None:
    image = decode_image(encoded(picture(), image_format), "picture")
    assert image.dtype == np.uint8
    assert difference(image, picture()) <= tolerance


@pytest.mark.parametrize("image_format", ["PNG", "JPEG"])
def test_a_grey_file_is_repeated_in_the_three_channels(image_format: str) -> None:
    grey = picture().convert("L")
    assert difference(decode_image(encoded(grey, image_format), "grey"), grey.convert("RGB")) < 1


def test_a_cmyk_jpeg_is_converted() -> None:
    cmyk = encoded(picture().convert("CMYK"), "JPEG", quality=95)
    assert difference(decode_image(cmyk, "cmyk"), picture()) < 6


def test_a_palette_is_looked_up() -> None:
    palette = picture().convert("P")
    assert difference(decode_image(encoded(palette, "PNG"), "p"), palette.convert("RGB")) == 0


def test_a_black_and_white_file_is_read() -> None:
    bilevel = picture().convert("1")
    assert difference(decode_image(encoded(bilevel, "PNG"), "1"), bilevel.convert("RGB")) == 0


def test_sixteen_bits_keep_their_upper_eight() -> None:
    values = np.array([[0, 255, 256, 65535]], np.uint16)
    image = decode_image(encoded(Image.fromarray(values), "PNG"), "sixteen bits")
    assert image[0, :, 0].tolist() == [0, 0, 1, 255]


def test_sixteen_bits_have_either_byte_order() -> None:
    values = np.array([[0, 255, 256, 65535]], ">u2")
    assert as_rgb(values)[0, :, 0].tolist() == [0, 0, 1, 255]


def test_an_empty_file_is_called_so() -> None:
    with pytest.raises(ImageError, match=r"^a\.jpg: the file is empty$"):
        decode_image(b"", "a.jpg")


def test_transparency_is_laid_on_white() -> None:
    colour = np.array([[[200, 100, 0, alpha] for alpha in (255, 0, 51)]], np.uint8)
    image = decode_image(encoded(Image.fromarray(colour), "PNG"), "alpha")
    # 51 / 255 = 1/5 of the colour and 4/5 of white: 40 + 204, 20 + 204, 0 + 204.
    assert image[0].tolist() == [[200, 100, 0], [255, 255, 255], [244, 224, 204]]


def test_a_transparent_palette_entry_becomes_white() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    image = decode_image(encoded(palette, "PNG", transparency=1), "palette")
    assert image[0].tolist() == [[10, 20, 30], [255, 255, 255]]


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_image_upright(image_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(), image_format, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    image = decode_image(data, "turned")
    assert image.shape[:2] == (expected.height, expected.width)
    assert difference(image, expected) < 3


def test_boxes_made_on_the_unrotated_picture_keep_it_unrotated() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(24, 32), "JPEG", exif=exif)
    assert decode_image(data, "turned", expected_size=(32, 24)).shape == (32, 24, 3)
    assert decode_image(data, "turned", expected_size=(24, 32)).shape == (24, 32, 3)
    # A size that is wrong either way decides nothing.
    assert decode_image(data, "turned", expected_size=(10, 10)).shape == (32, 24, 3)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_an_error_and_silent(
    image_format: str, kept: float, capfd: pytest.CaptureFixture[str]
) -> None:
    data = encoded(picture(100, 100), image_format)
    with pytest.raises(ImageError, match="cut\\.img"):
        decode_image(data[: int(len(data) * kept)], "cut.img")
    assert capfd.readouterr().err == ""


def test_a_broken_colour_profile_is_ignored_silently(capfd: pytest.CaptureFixture[str]) -> None:
    data = encoded(picture(), "PNG", icc_profile=b"no profile")
    assert difference(decode_image(data, "profile"), picture()) == 0
    assert capfd.readouterr().err == ""


def test_what_is_no_image_or_no_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("not an image")
    with pytest.raises(ImageError, match=r"notes\.jpg: .*expected JPEG"):
        read_image(text)
    with pytest.raises(ImageError, match=r"absent\.jpg: cannot be read: No such file"):
        read_image(tmp_path / "absent.jpg")
    with pytest.raises(ImageError, match="cannot be read: Is a directory"):
        read_image(tmp_path)


def test_arrays_of_a_user_become_rgb() -> None:
    grey = np.array([[0, 100]], np.uint8)
    assert as_rgb(grey).tolist() == [[[0, 0, 0], [100, 100, 100]]]
    assert as_rgb(grey[:, :, None]).tolist() == as_rgb(grey).tolist()
    assert as_rgb(grey > 50).tolist() == [[[0, 0, 0], [255, 255, 255]]]
    assert as_rgb(np.dstack([grey, grey * 0])).tolist() == [[[255] * 3, [255] * 3]]
    colour = np.zeros((2, 3, 3), np.uint8)
    assert as_rgb(colour) is colour


@pytest.mark.parametrize("shape", [(3,), (2, 2, 5), (0, 4, 3), (1, 2, 2, 3)])
def test_arrays_of_another_shape_are_refused_with_it(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="shape"):
        as_rgb(np.zeros(shape, np.uint8))


def test_arrays_of_another_dtype_are_refused_with_it() -> None:
    with pytest.raises(ImageError, match="float32"):
        as_rgb(np.zeros((2, 2, 3), np.float32))


def test_resize_takes_height_before_width_and_keeps_a_fitting_image() -> None:
    image = np.asarray(picture(24, 32))
    assert resize(image, (10, 20)).shape == (10, 20, 3)
    assert resize(image, (24, 32)) is image


def test_normalise_subtracts_the_mean_and_divides_by_the_standard_deviation() -> None:
    image = np.array([[[0, 127, 255]]], np.uint8)
    normalised = normalise(image, Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 0.5)))
    # -127.5 / 127.5, -0.5 / 63.75, 127.5 / 127.5
    assert normalised[:, 0, 0].tolist() == pytest.approx([-1, -0.5 / 63.75, 1], abs=1e-6)
    assert normalised.dtype == np.float32 and normalised.flags.c_contiguous
