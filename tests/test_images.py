"""Odd image files, each written here with Pillow, and what becomes of them."""

import io
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from mindssd.errors import ImageError
from mindssd.images import (
    Normalization,
    as_rgb,
    counted_remarks,
    decode_image,
    normalise,
    read_image,
    resize,
)
from mindssd.types import Array
from tests.decoders.conftest import encoded, picture


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


@pytest.mark.parametrize(
    ("largest", "shift"), [(255, 0), (1023, 2), (4095, 4), (16383, 6), (16384, 8), (65535, 8)]
)
def test_values_of_fewer_bits_than_sixteen_are_shown_by_the_upper_eight_of_those(
    largest: int, shift: int
) -> None:
    values = np.array([[0, 200, largest]], np.uint16)
    image = decode_image(encoded(Image.fromarray(values), "PNG"), "few bits")
    assert image[0, :, 0].tolist() == [0, 200 >> shift, largest >> shift]
    assert as_rgb(values).tolist() == image.tolist()
    opaque = np.stack([values, values, values, np.full_like(values, 65535)], axis=2)
    assert as_rgb(opaque).tolist() == image.tolist()


def test_black_is_black_at_any_depth_and_nothing_is_said_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert not decode_image(encoded(Image.new("I;16", (3, 2)), "PNG"), "black").any()
    assert not caplog.records


def test_what_a_picture_leaves_out_of_its_file_is_logged_with_its_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pages = encoded(picture(), "TIFF", save_all=True, append_images=[picture()])
    decode_image(pages, "a.tif")
    assert caplog.messages == ["a.tif: several pages or frames: only the first is used"]
    assert caplog.records[0].levelno == logging.WARNING
    assert caplog.records[0].name == "mindssd.images"


def test_what_is_said_of_many_images_is_counted_in_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pages = encoded(picture(), "TIFF", save_all=True, append_images=[picture()])
    dark = encoded(Image.fromarray(np.array([[4095]], np.uint16)), "PNG")
    files = {"a.tif": pages, "b.tif": pages, "c.tif": pages, "d.png": dark}
    with counted_remarks() as remarks, ThreadPoolExecutor(2) as pool:
        assert remarks.lines() == []
        for name, data in [*files.items(), *files.items()]:  # as in two epochs
            pool.submit(decode_image, data, name).result()
    assert remarks.lines() == [
        "3 images, such as a.tif: several pages or frames: only the first is used",
        "d.png: 12 bits stored in 16, which nothing says: the upper 8 of 12 are used",
    ]
    assert not caplog.records
    decode_image(pages, "e.tif")
    assert len(caplog.records) == 1


def test_of_a_users_arrays_it_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        as_rgb(np.array([[1000]], np.uint16))
    assert len(caplog.records) <= 1  # another test may have been the first


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_what_is_read_may_be_drawn_on(image_format: str) -> None:
    image = decode_image(encoded(picture(), image_format), "picture")
    image[0, 0] = 1
    assert image.flags.c_contiguous


def test_eight_threads_read_what_one_reads() -> None:
    rng = np.random.default_rng(0)
    files = []
    for image_format in ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "JPEG2000"):
        noise = Image.fromarray(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8))
        files.append(encoded(noise, image_format))
    alone = [decode_image(data, "one") for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: decode_image(data, "many"), files * 20))
    for index, image in enumerate(together):
        np.testing.assert_array_equal(image, alone[index % len(files)])


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


def test_an_address_in_a_files_place_is_named_without_its_secrets():
    with pytest.raises(ImageError, match=r"^http:/+host/a\.jpg\?…: cannot be read") as caught:
        read_image("http://user:secret@host/a.jpg?token=secret")
    assert "secret" not in str(caught.value)
