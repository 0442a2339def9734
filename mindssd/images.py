"""Images read, oriented, resized and normalised: one path for training, evaluation and prediction.

JPEG, PNG, WebP, BMP and TIFF are read; other formats are refused. Every image becomes (H, W, 3)
uint8 RGB: grey is repeated, 16 bits keep their upper 8, CMYK and palettes are converted,
transparency is laid on white, EXIF orientation is applied. Colour profiles are ignored. A truncated
file is an error, never a half-grey picture.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mindssd.errors import ImageError
from mindssd.types import Array, ImageSize

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".avif", ".heic", ".heif", ".hif"}
)
"""What counts as an image in a folder; a file given by name may be called anything.

The last three are read where `mindssd[heif]` is installed, and are an ImageError that says so else.
A GIF counts as a video, and is read as its first picture where it is named as an image.
"""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*")
_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of red, green, blue in 0..1; the defaults are ImageNet's."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


def read_image(path: str | Path, expected_size: ImageSize | None = None) -> Array:
    """Read an image file as (H, W, 3) uint8 RGB; `expected_size` as in `decode_image`.

    Raises ImageError, naming the file, where it is missing, truncated or not an image.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}") from error
    return decode_image(data, str(path), expected_size)


def decode_image(data: bytes, source: str, expected_size: ImageSize | None = None) -> Array:
    """Decode a file's bytes as (H, W, 3) uint8 RGB, upright by its EXIF orientation.

    `expected_size` is the (height, width) its annotations were made on: where only the picture as
    stored, not the upright one, has that size, the annotators saw it unrotated and so it stays.
    `source` names the file in the ImageError.
    """
    if not data:
        raise ImageError(f"{source}: the file is empty")
    orientation = exif_orientation(data)
    if data.startswith(_PNG_SIGNATURE):
        data = _without_colour_profile(data, source)
    elif data.startswith(_TIFF_SIGNATURES) and orientation != 1:
        data = _without_tiff_orientation(data)
    log_level = cv2.getLogLevel()
    cv2.setLogLevel(0)  # the ImageError says it
    try:
        # Unchanged also means unrotated: OpenCV 4.11 turns JPEG, PNG and TIFF but not WebP.
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:  # such as more pixels than OpenCV allows
        raise ImageError(f"{source}: cannot be decoded: {error.err or error}") from error
    finally:
        cv2.setLogLevel(log_level)
    if image is None:
        raise ImageError(
            f"{source}: truncated, damaged or not an image; expected JPEG, PNG, WebP, BMP or TIFF"
        )
    if image.ndim == 3 and image.shape[2] == 3:
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    elif image.ndim == 3 and image.shape[2] == 4:
        cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA, dst=image)
    try:
        image = as_rgb(image)
    except ImageError as error:
        raise ImageError(f"{source}: {error}") from error
    return _upright(image, orientation, expected_size)


def as_rgb(image: Array) -> Array:
    """Bring an array to (H, W, 3) uint8 RGB; one that is already so is returned, not copied.

    Takes (H, W) and (H, W, 1) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB, (H, W, 4) RGB and
    alpha, of bool, uint8 or uint16. Alpha is laid on white. Other arrays, and images without
    pixels, are an ImageError.
    """
    if image.dtype == np.bool_:
        image = image.astype(np.uint8) * np.uint8(255)
    elif image.dtype.newbyteorder("=") == np.uint16:  # either byte order
        image = (image >> 8).astype(np.uint8)
    elif image.dtype != np.uint8:
        raise ImageError(f"image has dtype {image.dtype}; expected uint8, uint16 or bool")
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 2, 3, 4) or image.size == 0:
        raise ImageError(
            f"image has shape {image.shape}; expected (height, width) or (height, width, 1 to 4)"
        )
    num_channels = image.shape[2]
    if num_channels == 3:
        return image
    colour = image[:, :, : num_channels - 1] if num_channels % 2 == 0 else image
    if num_channels % 2 == 0:
        alpha = image[:, :, -1:].astype(np.uint16)
        # Rounded to nearest; at most 255 · 255 + 127, which 16 bits hold.
        colour = ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    if colour.shape[2] == 1:
        colour = np.repeat(colour, 3, axis=2)
    return np.ascontiguousarray(colour)


def is_pillow(image: object) -> bool:
    """Tell a PIL image, without importing PIL for those who have none."""
    return any(kind.__module__.startswith("PIL.") for kind in type(image).__mro__)


def from_pillow(image: Any) -> Array:
    """Bring a PIL image to (H, W, 3) uint8 RGB as reading its file would.

    Its EXIF orientation is applied. ImageError where it is truncated, or of a mode that no file
    read by path has, such as LAB or 32-bit floats.
    """
    try:
        image.load()  # PIL reads the file only now, and turns a TIFF here
    except OSError as error:
        raise ImageError(f"{image!r}: cannot be read: {error}") from error
    orientation = int(image.getexif().get(_ORIENTATION_TAG, 1))
    mode, transparent = image.mode, "transparency" in image.info
    if mode in ("RGBa", "PA") or (mode in ("P", "RGB") and transparent):
        image = image.convert("RGBA")
    elif mode in ("P", "CMYK", "YCbCr", "HSV", "RGBX"):
        image = image.convert("RGB")
    elif mode == "La":
        image = image.convert("LA")
    elif mode == "LAB":
        raise ImageError("PIL image has mode LAB; convert it to RGB first (PIL.ImageCms)")
    array = np.asarray(image)
    # 16 bits have either byte order; before Pillow 11.3 a 16-bit PNG had 32.
    if mode.startswith("I;16") or (mode == "I" and image.format == "PNG"):
        array = array.astype(np.uint16)
    return _upright(as_rgb(array), orientation if 1 <= orientation <= 8 else 1, None)


def resize(image: Array, size: ImageSize) -> Array:
    """Resize (H, W, 3) to `size` bilinearly; like the reference, without keeping the aspect."""
    if image.shape[:2] == tuple(size):
        return image
    height, width = size
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def normalise(image: Array, normalization: Normalization) -> Array:
    """Turn (H, W, 3) uint8 into (3, H, W) float32 as (x - 255·mean) / (255·std), contiguous."""
    height, width, num_channels = image.shape
    result = np.empty((num_channels, height, width), np.float32)
    # Channel by channel on contiguous planes: faster than on a transposed view.
    for channel, plane in enumerate(cv2.split(image)):
        std = normalization.std[channel]
        np.multiply(plane, np.float32(1 / (255 * std)), out=result[channel])
        result[channel] -= np.float32(normalization.mean[channel] / std)
    return result


def exif_orientation(data: bytes) -> int:
    """Read the EXIF orientation, 1 to 8, of a JPEG, PNG, WebP or TIFF file; 1 where it has none."""
    try:
        exif = _exif_block(data)
        return _orientation_of(exif) if exif else 1
    except struct.error:  # cut short: a file without usable EXIF
        return 1


def _upright(image: Array, orientation: int, expected_size: ImageSize | None) -> Array:
    """Undo an EXIF orientation, unless that alone would contradict `expected_size`."""
    if orientation == 1:
        return image
    stored = image.shape[:2]
    upright = stored[::-1] if orientation >= 5 else stored
    if expected_size is not None and upright != tuple(expected_size) == stored:
        return image
    if orientation >= 5:  # 5 to 8 are 1, 4, 3, 2 with rows and columns exchanged
        image = image.transpose(1, 0, 2)
        orientation = {5: 1, 6: 2, 7: 3, 8: 4}[orientation]
    rows = slice(None, None, -1) if orientation in (3, 4) else slice(None)
    columns = slice(None, None, -1) if orientation in (2, 3) else slice(None)
    return np.ascontiguousarray(image[rows, columns])


def _exif_block(data: bytes) -> bytes:
    """Find the TIFF structure that holds a file's EXIF data; empty where there is none."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg_exif(data)
    if data.startswith(_PNG_SIGNATURE):
        for name, start, end in _png_chunks(data):
            if name == b"eXIf":
                return data[start + 8 : end - 4]
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        position = 12
        while position + 8 <= len(data):
            (size,) = struct.unpack_from("<I", data, position + 4)
            if data[position : position + 4] == b"EXIF":
                return data[position + 8 : position + 8 + size].removeprefix(b"Exif\0\0")
            position += 8 + size + size % 2
    elif data.startswith(_TIFF_SIGNATURES):
        return data
    return b""


def _jpeg_exif(data: bytes) -> bytes:
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
            continue
        if marker == 0xDA:  # the scan: no headers follow
            return b""
        (size,) = struct.unpack_from(">H", data, position + 2)
        segment = data[position + 4 : position + 2 + size]
        if marker == 0xE1 and segment.startswith(b"Exif\0\0"):
            return segment[6:]
        position += 2 + size
    return b""


def _orientation_of(exif: bytes) -> int:
    """Read the orientation from a TIFF structure's first directory."""
    order, position = _orientation_position(exif)
    if position is None:
        return 1
    (value,) = struct.unpack_from(order + "H", exif, position)
    return int(value) if 1 <= value <= 8 else 1


def _orientation_position(exif: bytes) -> tuple[str, int | None]:
    """Find a TIFF structure's byte order, and where its orientation stands (None: nowhere)."""
    order = "<" if exif[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "I", exif, 4)
    (num_entries,) = struct.unpack_from(order + "H", exif, directory)
    for entry in range(num_entries):
        position = directory + 2 + 12 * entry
        (tag,) = struct.unpack_from(order + "H", exif, position)
        if tag == _ORIENTATION_TAG:
            return order, position + 8
    return order, None


def _without_tiff_orientation(data: bytes) -> bytes:
    """Set a TIFF file's orientation to 1: OpenCV 4.11 half applies the others."""
    order, position = _orientation_position(data)
    if position is None:
        return data
    return data[:position] + struct.pack(order + "H", 1) + data[position + 2 :]


def _png_chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """List a PNG file's chunks as (name, start, end); the last may end beyond a truncated file."""
    chunks = []
    position = len(_PNG_SIGNATURE)
    while position + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, position)
        end = position + 12 + size
        chunks.append((data[position + 4 : position + 8], position, end))
        position = end
    return chunks


def _without_colour_profile(data: bytes, source: str) -> bytes:
    """Check that a PNG file is complete, and cut out its colour profile.

    libpng prints a line on stderr for a truncated file and for each profile that it finds odd,
    which common tools write; OpenCV does not use the profile.
    """
    chunks = _png_chunks(data)
    if not chunks or chunks[-1][2] > len(data) or all(name != b"IEND" for name, _, _ in chunks):
        raise ImageError(f"{source}: truncated: the PNG file has {len(data)} bytes and no end")
    for name, start, end in chunks:
        if name == b"iCCP":
            return data[:start] + data[end:]
    return data
