"""What Pillow decodes, and what its images hold.

Its readers are called directly: `Image.open` would warn of large pictures, and try every format
that Pillow knows.
"""

import importlib
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from mindssd.decoders.decoded import SEVERAL, TOO_DARK, Decoded, require_size
from mindssd.decoders.exif import orientation_of
from mindssd.errors import ImageError
from mindssd.types import Array

_READERS = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "WebP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "PPM": ("PIL.PpmImagePlugin", "PpmImageFile"),
    "JPEG 2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIF": ("pillow_heif.as_plugin", "HeifImageFile"),
}
_WAYS_OUT = {
    "AVIF": "is AVIF, which needs Pillow 11.3 or later: pip install --upgrade pillow",
    "HEIF": "is HEIF, which needs a plug-in of Pillow: pip install 'mindssd[heif]'",
}

_EXTRA_SAMPLES, _LARGEST_VALUES, _BITS_PER_SAMPLE = 338, (281, 341), 258
_ALPHAS = {1, 2, 999}
"""What a TIFF calls an extra sample that is alpha; 999 is Corel's."""

_OTHER_ENDS = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_DARK = 64
"""Upper bytes below this are those of 14 bits or fewer."""


def decode(container: str, data: bytes) -> Decoded:
    """Decode a file of one of the containers that have a reader here."""
    reader = _reader(container)
    return load(lambda: reader(io.BytesIO(data)))


def read_header(container: str, file: BinaryIO) -> tuple[int, int, bytes]:
    """A file's width and height as stored, and its EXIF block; no pixel is decoded."""
    reader = _reader(container)
    with _any_error_as_image_error():
        image = reader(file)
        width, height = image.size
        return width, height, image.info.get("exif") or b""


def _reader(container: str) -> Any:
    module, name = _READERS[container]
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ImageError(_WAYS_OUT[container]) from error


def load(open_file: Callable[[], Any]) -> Decoded:
    """Decode what `open_file()` opens; again where a colour of 16 bits needs both its bytes."""
    with _any_error_as_image_error():
        image = open_file()
        require_size(*image.size)
        several = (SEVERAL,) if getattr(image, "is_animated", False) else ()
        layout = _layout(image)
        decoded = contents(image)
        # Of 16 bits Pillow keeps the upper 8 where there are several channels.
        if ";16" in layout and decoded.pixels.dtype == np.uint8 and _is_dark(decoded.pixels):
            decoded = _with_lower_bytes(decoded, open_file(), layout)
    return replace(decoded, remarks=several + decoded.remarks)


def contents(image: Any) -> Decoded:
    """Load a PIL image, and give what it holds.

    ImageError where it is truncated or damaged, or of a mode that no screen shows, such as LAB or
    32-bit floats.
    """
    with _any_error_as_image_error():
        image.load()  # only now the file is read, and a TIFF turned
    if image.mode == "LAB":
        raise ImageError("has mode LAB; convert it to RGB first (PIL.ImageCms)")
    # Before Pillow 11.3 a PNG of 16 bits had 32, as a PGM has still.
    has_16_bits = image.mode.startswith("I;16") or image.format in ("PNG", "PPM")
    if image.mode == "F" or (image.mode == "I" and not has_16_bits):
        kind = "32-bit floats" if image.mode == "F" else "whole numbers of 32 bits, or with a sign"
        raise ImageError(f"holds {kind}; expected 8 or 16 bits without a sign: convert it")
    pixels = _sixteen_bits(image) if image.mode.startswith("I") else _eight_bits(image)
    return Decoded(pixels, orientation_of(image.info.get("exif") or b""), _depth(image))


def _sixteen_bits(image: Any) -> Array:
    """Grey, uint16 in the machine's order; with alpha where one value is transparent."""
    values = np.asarray(image).astype(np.uint16)
    transparent = image.info.get("transparency")
    if transparent is None:
        return values
    return np.dstack([values, np.where(values == transparent, 0, 65535).astype(np.uint16)])


def _eight_bits(image: Any) -> Array:
    image = _without_doubtful_alpha(image)
    mode = image.mode
    if mode in ("RGB", "P", "PA", "RGBa") and image.has_transparency_data:
        image = image.convert("RGBA")
    elif mode == "La" or (mode in ("1", "L") and image.has_transparency_data):
        image = image.convert("LA")
    elif mode in ("P", "CMYK", "YCbCr", "HSV", "RGBX"):
        image = image.convert("RGB")
    return np.asarray(image)


def _without_doubtful_alpha(image: Any) -> Any:
    """Drop a fourth channel that nothing says is alpha.

    A TIFF without ExtraSamples, whose fourth band may be infrared; and a BMP whose spare bytes are
    all 0, which programs write that know of no alpha there.
    """
    if image.mode not in ("RGBA", "LA"):
        return image
    if image.format == "TIFF":
        kinds = image.tag_v2.get(_EXTRA_SAMPLES, ())
        is_alpha = not _ALPHAS.isdisjoint(kinds if isinstance(kinds, tuple) else (kinds,))
    elif image.format == "BMP":
        is_alpha = image.getchannel("A").getextrema() != (0, 0)
    else:
        is_alpha = True
    return image if is_alpha else image.convert(image.mode.removesuffix("A"))


def _depth(image: Any) -> int | None:
    """How many bits the file says its values have, or what largest value."""
    if image.format in ("PPM", "JPEG2000"):  # Pillow brings them to 16
        return 16
    if image.format != "TIFF":
        return None
    bits = image.tag_v2.get(_BITS_PER_SAMPLE)
    if isinstance(bits, tuple) and bits and bits[0] not in (8, 16):
        return int(bits[0])
    for tag in _LARGEST_VALUES:
        largest = image.tag_v2.get(tag)
        largest = max(largest) if isinstance(largest, tuple) and largest else largest
        if isinstance(largest, int) and largest > 0:
            return largest.bit_length()
    return None


def _layout(image: Any) -> str:
    """How Pillow unpacks an image that is not loaded yet, such as `RGB;16B`."""
    arguments = image.tile[0][3] if image.tile else ""
    layout = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return layout if isinstance(layout, str) else ""


def _is_dark(pixels: Array) -> bool:
    colours = pixels[:, :, :3] if pixels.ndim == 3 else pixels
    return bool(colours.max(initial=0) < _DARK)


def _with_lower_bytes(upper: Decoded, image: Any, layout: str) -> Decoded:
    """Bring colours to uint16: the file's lower bytes are the upper ones of the other byte order.

    `image` is the same file, not loaded yet. Where Pillow lacks that order, or mixes bytes, the
    upper bytes stay.
    """
    if layout[:-1] not in ("RGB;16", "RGBX;16", "RGBA;16") or "transparency" in image.info:
        dark = (TOO_DARK,) if upper.pixels[:, :, :3].any() else ()
        return replace(upper, remarks=upper.remarks + dark)
    other = layout[:-1] + _OTHER_ENDS[layout[-1]]
    image.tile = [_with_layout(tile, other) for tile in image.tile]
    lower = contents(image).pixels
    return replace(upper, pixels=upper.pixels.astype(np.uint16) << 8 | lower)


def _with_layout(tile: Any, layout: str) -> Any:
    arguments = layout if isinstance(tile[3], str) else (layout, *tile[3][1:])
    # A plain tuple before Pillow 11.
    named = hasattr(tile, "_replace")
    return tile._replace(args=arguments) if named else (*tile[:3], arguments)


@contextmanager
def _any_error_as_image_error() -> Iterator[None]:
    """Damaged headers make Pillow's readers raise nearly anything: IndexError, struct.error, …"""
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError("needs more memory than there is") from error
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ImageError(f"truncated, damaged or of an unknown kind: {reason}") from error
