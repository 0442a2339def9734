"""Images read, oriented, resized and normalised: one path for training, evaluation and prediction.

Every image becomes (H, W, 3) uint8 RGB: grey is repeated, 16 bits keep their upper 8, CMYK and
palettes are converted, transparency is laid on white, EXIF orientation is applied. Colour profiles
are ignored. A truncated or damaged file is an error, never a half-grey picture; what of a sound one
is left out, such as a TIFF's second page, is logged.
"""

import functools
import logging
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mindssd.decoders.containers import decode
from mindssd.decoders.decoded import Decoded
from mindssd.decoders.pillow import contents
from mindssd.errors import ImageError
from mindssd.files import shown
from mindssd.types import Array, ImageSize

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".tif"}
    | {".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf"}
    | {".avif", ".heic", ".heif", ".hif"}
)
"""What counts as an image in a folder; a file given by name may be called anything.

The last three are read where `mindssd[heif]` is installed, and are an ImageError that says so else.
A GIF counts as a video, and is read as its first picture where it is named as an image.
"""

_DEPTHS = (8, 10, 12, 14)
"""Bits of cameras and scanners that are stored in 16."""

_FEW_BITS = "{} bits stored in 16, which nothing says: the upper 8 of {} are used"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of red, green, blue in 0..1; the defaults are ImageNet's."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @property
    def fill(self) -> tuple[float, float, float]:
        """The mean colour, in 0..255, which becomes 0: what stands where there is no image."""
        red, green, blue = (255 * mean for mean in self.mean)
        return red, green, blue


def read_image(path: str | Path, expected_size: ImageSize | None = None) -> Array:
    """Read an image file as (H, W, 3) uint8 RGB; `expected_size` as in `decode_image`.

    Raises ImageError, naming the file, where it is missing, truncated or not an image.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(f"{shown(path)}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # no file system takes a null byte in a name
        raise ImageError(f"{str(path)!r}: cannot be read: {error}") from error
    return decode_image(data, str(path), expected_size)


def decode_image(data: bytes, source: str, expected_size: ImageSize | None = None) -> Array:
    """Decode a file's bytes as (H, W, 3) uint8 RGB, upright by its EXIF orientation.

    `expected_size` is the (height, width) its annotations were made on: where only the picture as
    stored, not the upright one, has that size, the annotators saw it unrotated and so it stays.
    `source` names the file in the ImageError, and in what is logged of a picture that leaves out
    something of its file; see `counted_remarks`.
    """
    if not data:
        raise ImageError(f"{source}: the file is empty")
    try:
        return _finished(decode(data), source, expected_size)
    except ImageError as error:
        raise ImageError(f"{source}: {error}") from error


def as_rgb(image: Array) -> Array:
    """Bring an array to (H, W, 3) uint8 RGB; one that is already so is returned, not copied.

    Takes (H, W) and (H, W, 1) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB, (H, W, 4) RGB and
    alpha, of bool, uint8 or uint16. Alpha is laid on white. Other arrays, and images without
    pixels, are an ImageError. uint16 whose values need 14 bits or fewer is taken for such, and this
    is logged once.
    """
    pixels, remark = _as_rgb(image, None)
    if remark:
        log_once("array", remark)
    return pixels


def is_pillow(image: object) -> bool:
    """Whether it is a PIL image, without importing PIL."""
    return any(kind.__module__.startswith("PIL.") for kind in type(image).__mro__)


def from_pillow(image: Any) -> Array:
    """Bring a PIL image to (H, W, 3) uint8 RGB as reading its file would.

    Its EXIF orientation is applied. ImageError where it is truncated, or of a mode that no file
    read by path has, such as LAB or 32-bit floats.
    """
    try:
        return _finished(contents(image), repr(image), None)
    except ImageError as error:
        raise ImageError(f"{image!r}: {error}") from error


class Remarks(logging.Filter):
    """Counts the images of which something is logged, with the first by name as an example."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._examples: dict[str, str] = {}
        self._images: defaultdict[str, set[int]] = defaultdict(set)

    def filter(self, record: logging.LogRecord) -> bool:
        """Take a record, which then goes no further."""
        source, text = record.args if isinstance(record.args, tuple) else ("", record.msg)
        with self._lock:
            # The same example whichever thread was the first.
            example = self._examples.setdefault(str(text), str(source))
            self._examples[str(text)] = min(example, str(source))
            # An image may be read again and again; its name would take more memory.
            self._images[str(text)].add(hash(source))
        return False

    def lines(self) -> list[str]:
        """A line for each thing said: of how many images, such as which, and what."""
        with self._lock:
            return [
                f"{self._examples[text]}: {text}"
                if len(images) == 1
                else f"{len(images)} images, such as {self._examples[text]}: {text}"
                for text, images in self._images.items()
            ]


@contextmanager
def counted_remarks() -> Iterator[Remarks]:
    """Count what would be logged meanwhile of images read, in any thread, instead of logging it."""
    remarks = Remarks()
    _log.addFilter(remarks)
    try:
        yield remarks
    finally:
        _log.removeFilter(remarks)


@functools.cache
def log_once(source: str, remark: str) -> None:
    """Log a remark on what is called `source`, the first time alone."""
    _log.warning("%s: %s", source, remark)


def resize(image: Array, size: ImageSize) -> Array:
    """Resize (H, W, 3) to `size` bilinearly; like the reference, without keeping the aspect.

    `letterbox` keeps it.
    """
    if image.shape[:2] == tuple(size):
        return image
    height, width = size
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def canvas_size(size: ImageSize, network: ImageSize) -> ImageSize:
    """The least area of the network's shape that holds a picture of `size`, in its pixels."""
    height, width = size
    rows, columns = network
    return max(height, round(width * rows / columns)), max(width, round(height * columns / rows))


def letterboxed_size(size: ImageSize, network: ImageSize) -> ImageSize:
    """The rows and columns of the network's image that a letterboxed picture of `size` fills."""
    canvas = canvas_size(size, network)
    rows, columns = (
        max(1, round(side * whole / part))
        for side, whole, part in zip(size, network, canvas, strict=True)
    )
    return rows, columns


def letterbox(image: Array, size: ImageSize, fill: tuple[float, float, float]) -> Array:
    """Resize (H, W, 3) into the upper left of `size` with its aspect kept; the rest is `fill`."""
    inner = letterboxed_size((image.shape[0], image.shape[1]), size)
    shown = resize(image, inner)
    if inner == tuple(size):
        return shown
    result = np.empty((*size, 3), np.uint8)
    result[:] = np.array(fill).round()
    result[: inner[0], : inner[1]] = shown
    return result


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


def _finished(decoded: Decoded, source: str, expected_size: ImageSize | None) -> Array:
    pixels, remark = _as_rgb(decoded.pixels, decoded.depth)
    for text in (*decoded.remarks, *((remark,) if remark else ())):
        _log.warning("%s: %s", source, text)
    # Pillow's arrays cannot be written to.
    return np.require(_upright(pixels, decoded.orientation, expected_size), requirements=["C", "W"])


def _as_rgb(image: Array, depth: int | None) -> tuple[Array, str]:
    """As `as_rgb`, with the bits of a uint16 where they are known; and a remark, or ""."""
    remark = ""
    if image.dtype == np.bool_:
        image = image.astype(np.uint8) * np.uint8(255)
    elif image.dtype.newbyteorder("=") != np.uint16 and image.dtype != np.uint8:  # either order
        raise ImageError(f"image has dtype {image.dtype}; expected uint8, uint16 or bool")
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 2, 3, 4) or image.size == 0:
        raise ImageError(
            f"image has shape {image.shape}; expected (height, width) or (height, width, 1 to 4)"
        )
    num_channels = image.shape[2]
    colour = image[:, :, : num_channels - 1] if num_channels % 2 == 0 else image
    if image.dtype != np.uint8:
        used = _depth_of(colour, depth)
        if depth is None and used < 16:
            remark = _FEW_BITS.format(used, used)
        colour = (colour >> (used - 8)).astype(np.uint8)
    if num_channels % 2 == 0:
        alpha = image[:, :, -1:]
        alpha = (alpha if alpha.dtype == np.uint8 else alpha >> 8).astype(np.uint16)
        # Rounded to nearest; at most 255 · 255 + 127, which 16 bits hold.
        colour = ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    if colour.shape[2] == 1:
        colour = np.repeat(colour, 3, axis=2)
    return colour if colour is image else np.ascontiguousarray(colour), remark


def _depth_of(colour: Array, depth: int | None) -> int:
    """The bits that values of uint16 use: what is said, or else the fewest that hold them all."""
    needed = int(colour.max()).bit_length()
    if depth is not None:
        needed = max(needed, depth)
    elif needed == 0:  # black at any depth
        return 16
    return next((bits for bits in _DEPTHS if needed <= bits), 16)


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
