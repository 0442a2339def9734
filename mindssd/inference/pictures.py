"""What people hold as an image, as (H, W, 3) uint8 RGB: a path, an address, bytes, PIL, an array.

What an array does not say of itself, its layout, range and order of colours, is taken by a rule;
where two rules fit it is said once which one was taken, and where none does it is an error.
"""

from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mindssd.errors import ConfigError, ImageError
from mindssd.files import is_http, looks_like_address, shown
from mindssd.http import fetch_bytes
from mindssd.images import as_rgb, decode_image, from_pillow, is_pillow, log_once, read_image
from mindssd.types import Array

Channels = Literal["rgb", "bgr"]
"""The order of an array's colours."""

EXPECTED = (
    "a path, an http:// or https:// address, an array (height, width, 3), a tensor, a PIL image, "
    "the bytes of an image file, or a list of these"
)

_NUM_CHANNELS = (1, 2, 3, 4)
_LONGEST_PATH = 4096
_ROUNDING = 1e-3
"""A float may be beyond 0..1 by so much, as arithmetic leaves it."""


def require_channels(channels: str) -> None:
    """Raise ConfigError for what is no order of colours."""
    if channels not in ("rgb", "bgr"):
        raise ConfigError(f"channels is {channels!r}; expected 'rgb' or, as of OpenCV, 'bgr'")


def require_image(image: Any, name: str) -> None:
    """Raise TypeError, before any work, for what cannot be an image."""
    if isinstance(image, str | PathLike | bytes | bytearray | memoryview):
        return
    if not (is_pillow(image) or is_torch(image) or hasattr(image, "__array__")):
        raise TypeError(f"{name} is {_kind(image)}; expected {EXPECTED}")


def is_torch(image: object) -> bool:
    """Whether it is a tensor of PyTorch, without importing that."""
    return any(kind.__module__.split(".")[0] == "torch" for kind in type(image).__mro__)


def as_picture(image: Any, name: str, channels: Channels = "rgb") -> Array:
    """The image as (H, W, 3) uint8 RGB; `name` is what an ImageError calls one without a path.

    `channels` is the order of an array's or a tensor's colours; files and PIL images say theirs.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_image(bytes(image), name)
    if isinstance(image, str | PathLike):
        return _read(image, name)
    if is_pillow(image):
        return from_pillow(image)
    try:
        if is_torch(image):
            pixels = _last_channels(_of_torch(image), first_is_usual=True)
        else:
            pixels = _last_channels(np.asarray(image), first_is_usual=False)
        pixels = _as_integers(pixels)
        if channels == "bgr" and pixels.ndim == 3 and pixels.shape[2] in (3, 4):
            pixels = pixels[:, :, [2, 1, 0, *range(3, pixels.shape[2])]]
        return as_rgb(pixels)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error


def _read(image: str | PathLike[str], name: str) -> Array:
    text = str(image)
    if not text:
        raise ImageError(f"{name} is an empty path; give an image file's")
    # A path with a colon is a file's where there is one, as in `mindssd predict`.
    if isinstance(image, str) and "://" in text and not _exists(text):
        if not is_http(text):
            raise ImageError(
                f"{shown(text)}: only http:// and https:// addresses are fetched; give a path, "
                "or a stream to mindssd predict"
            )
        return decode_image(fetch_bytes(text), shown(text))
    if isinstance(image, PathLike) and looks_like_address(text) and not _exists(text):
        raise ImageError(f"{shown(text)}: a path has one slash of an address's two; give a str")
    if len(text) > _LONGEST_PATH:
        raise ImageError(
            f"{name} is text of {len(text)} letters, which no path has; give an image's content as "
            "bytes"
        )
    return read_image(Path(image))


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # a name that is too long, or has a null byte
        return False


def _of_torch(tensor: Any) -> Array:
    """A tensor of any device as an array; what NumPy has no type for, such as bfloat16, as float32.

    ImageError where its values cannot be had, as of a sparse one.
    """
    try:
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point():
            tensor = tensor.float()
        return np.asarray(tensor.numpy())
    except (TypeError, RuntimeError, AttributeError) as error:
        raise ImageError(f"the tensor gives no array ({str(error).splitlines()[0]})") from error


def _last_channels(pixels: Array, first_is_usual: bool) -> Array:
    """The array as (H, W) or (H, W, channels), whichever way it came.

    Where its first and last sides are both as short as channels, the usual one of its kind counts.
    """
    if pixels.ndim == 4:
        raise ImageError(
            f"image has shape {pixels.shape}, as of a batch; give its images as a list: list(batch)"
        )
    if pixels.ndim != 3:
        return pixels
    could_be_first = pixels.shape[0] in _NUM_CHANNELS
    could_be_last = pixels.shape[2] in _NUM_CHANNELS
    is_first = could_be_first and (first_is_usual or not could_be_last)
    if could_be_first and could_be_last:
        taken = "(channels, height, width)" if is_first else "(height, width, channels)"
        log_once("the image", f"of shape {pixels.shape} it is not clear; taken as {taken}")
    return pixels.transpose(1, 2, 0) if is_first else pixels


def _as_integers(pixels: Array) -> Array:
    """Floats in 0..1 as uint8, other types that are taken as they are.

    ImageError for other types, floats of another range, and where there are no pixels.
    """
    if pixels.size == 0:
        raise ImageError(f"image has shape {pixels.shape}, and so no pixels")
    if not np.issubdtype(pixels.dtype, np.floating):
        if pixels.dtype != np.bool_ and pixels.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
            way_out = ": give it as uint8" if np.issubdtype(pixels.dtype, np.integer) else ""
            raise ImageError(
                f"image has dtype {pixels.dtype}; expected uint8, uint16 or bool, or floats from "
                f"0 to 1{way_out}"
            )
        return pixels
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # so is NaN
        if not (np.isfinite(low) and np.isfinite(high)):
            way_out = "some are not finite"
        elif low >= 0 and high <= 255:
            way_out = "give it as uint8"
        else:
            way_out = "give it before it is normalised"
        raise ImageError(
            f"image has {pixels.dtype} values from {low:g} to {high:g}; expected 0 to 1: {way_out}"
        )
    integers: Array = np.rint(pixels.clip(0, 1).astype(np.float64) * 255).astype(np.uint8)
    return integers


def _kind(thing: Any) -> str:
    name = type(thing).__name__
    return "None" if thing is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
