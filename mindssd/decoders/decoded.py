"""What a decoder gives, how large a picture may be, and what may be remarked on one."""

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


def require_size(width: int, height: int) -> None:
    """Refuse, before anything is allocated, a picture that memory may not hold."""
    if width * height > MOST_PIXELS:
        raise ImageError(
            f"has {width} x {height} pixels; expected at most {MOST_PIXELS / 1e6:.0f} million: "
            "cut it into pieces, or check the file"
        )
