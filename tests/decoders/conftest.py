"""A picture to encode, and how."""

import io

import numpy as np
from PIL import Image

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


def by_pillow(data: bytes) -> Array:
    """What Pillow makes of a file, the judge of what is right."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
