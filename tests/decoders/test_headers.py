"""A picture's size without its pixels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mindssd.decoders.headers import read_header
from mindssd.errors import ImageError
from mindssd.images import read_image
from mindssd.types import ImageSize

WITH_EXIF = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")
FORMATS = (*WITH_EXIF, "BMP", "GIF", "PPM", "JPEG2000")


def write(path: Path, image_format: str, orientation: int = 1, **more: object) -> Path:
    """A noisy picture 20 high and 32 wide."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    if image_format == "HEIF":
        pytest.importorskip("pillow_heif.HeifImagePlugin")
    options = {"exif": exif} if image_format in WITH_EXIF else {}
    Image.fromarray(pixels).save(path, image_format, **options, **more)  # type: ignore[arg-type]
    return path


def header_size(path: Path, expected_size: ImageSize | None = None) -> ImageSize:
    """The (height, width) that `read_image` gives, by the header."""
    header = read_header(path)
    stored = header.height, header.width
    return stored[::-1] if header.turned and expected_size != stored else stored


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("expected_size", [None, (20, 32), (32, 20), (10, 16)])
def test_the_header_tells_the_size_that_reading_gives(
    tmp_path: Path, image_format: str, orientation: int, expected_size: tuple[int, int] | None
) -> None:
    path = write(tmp_path / "a", image_format, orientation)
    assert header_size(path, expected_size) == read_image(path, expected_size).shape[:2]


def test_a_header_beyond_long_segments_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "JPEG", 6, icc_profile=bytes(200_000), progressive=True)
    assert path.read_bytes().find(b"\xff\xc2") > 200_000
    assert header_size(path) == (32, 20)


def test_exif_behind_a_pngs_pixels_is_found(tmp_path: Path) -> None:
    data = write(tmp_path / "a", "PNG", 8).read_bytes()
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    moved = data[:start] + data[end:-12] + data[start:end] + data[-12:]
    (tmp_path / "b").write_bytes(moved)
    assert header_size(tmp_path / "b") == read_image(tmp_path / "b").shape[:2] == (32, 20)


def test_padding_between_segments_is_stepped_over(tmp_path: Path) -> None:
    data = write(tmp_path / "a", "JPEG").read_bytes()
    (tmp_path / "b").write_bytes(data[:2] + b"\xff\xff\xff" + data[2:])
    assert header_size(tmp_path / "b") == (20, 32)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"?"]
)
def test_a_file_without_a_size_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd").write_bytes(content)
    with pytest.raises(ImageError, match="odd: "):
        read_header(tmp_path / "odd")
    with pytest.raises(ImageError, match="nowhere: cannot be read"):
        read_header(tmp_path / "nowhere")
    with pytest.raises(ImageError, match="cannot be read"):
        read_header(f"{tmp_path}/a\0b")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("image_format", FORMATS)
def test_damaged_headers_are_errors_and_nothing_else(tmp_path: Path, image_format: str) -> None:
    data = write(tmp_path / "a", image_format, 6).read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(200):
        damaged = bytearray(data[: int(rng.integers(1, len(data)))])
        for place in rng.integers(0, min(len(damaged), 300), 3):
            damaged[place] = int(rng.integers(256))
        (tmp_path / "b").write_bytes(damaged)
        try:
            height, width = header_size(tmp_path / "b")
        except ImageError:
            continue
        assert height > 0 and width > 0
