"""What a decoder gives, how large a picture may be, and what may be remarked on one."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from mindssd.errors import ImageError
from mindssd.types import Array

MOST_PIXELS = 2**30
"""As many as OpenCV reads: 3.2 GB of RGB."""

SEVERAL = "several pages or frames: only the first is used"
TOO_DARK = "14 bits or fewer stored in 16: the upper 8 of 16 are used, nearly black"
UNCHECKED = "a rare kind of compression: damage inside would not be noticed"


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture as its file stores it.

    `pixels` are what `images.as_rgb` takes, upright once `orientation`, EXIF's 1 to 8, is undone.
    `depth` is how many of the bits of a uint16 the file says it uses; None where it does not say.
    `remarks` tell what of the file the picture leaves out.
    """

    pixels: Array
    orientation: int = 1
    depth: int | None = None
    remarks: tuple[str, ...] = ()


_most_pixels = ContextVar("_most_pixels", default=MOST_PIXELS)


@contextmanager
def at_most(num_pixels: int) -> Iterator[None]:
    """Refuse larger pictures than so many pixels, in this thread and while it is entered."""
    token = _most_pixels.set(min(num_pixels, MOST_PIXELS))
    try:
        yield
    finally:
        _most_pixels.reset(token)


def require_size(width: int, height: int) -> None:
    """Refuse, before anything is allocated, a picture that memory may not hold."""
    most = _most_pixels.get()
    if width * height > most:
        raise ImageError(
            f"has {width} x {height} pixels; expected at most {most / 1e6:.4g} million: "
            "cut it into pieces, or check the file"
        )
