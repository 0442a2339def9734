"""What `mindssd.load` gives: a trained detector to call on images."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, overload

import numpy as np

from mindssd.errors import ImageError
from mindssd.images import as_rgb, decode_image, from_pillow, is_pillow, read_image
from mindssd.inference.predictor import Predictor
from mindssd.inference.tiling import TiledPredictor
from mindssd.types import Array, Detections
from mindssd.weights.safetensors_file import ModelMetadata


class Detector:
    """Detects objects: `detections = detector("photo.jpg")`.

    An image is a path, an array of (H, W, 3) uint8 RGB or what `images.as_rgb` takes, a PIL image,
    or the bytes of an image file; a list of these gives a list, an empty one an empty one.
    TypeError for anything else, ImageError for what cannot be read or is no picture.
    """

    def __init__(self, predictor: Predictor | TiledPredictor, metadata: ModelMetadata) -> None:
        self.predictor = predictor
        self.metadata = metadata
        self.class_names = metadata.class_names

    @overload
    def __call__(self, image: str | Path | bytes | Array | Any) -> Detections: ...

    @overload
    def __call__(self, image: Sequence[Any]) -> list[Detections]: ...

    def __call__(self, image: Any) -> Detections | list[Detections]:
        if isinstance(image, list | tuple):
            names = [f"image {number} of the list" for number in range(len(image))]
            for item, name in zip(image, names, strict=True):
                _require_image(item, name)
            return self.predictor.detect(map(_as_array, image, names))
        _require_image(image, "the image")
        return self.predictor.detect([_as_array(image, "the image")])[0]


def _require_image(image: Any, name: str) -> None:
    """Raise TypeError, before any work, for what cannot be an image."""
    if isinstance(image, str | PathLike | bytes) or is_pillow(image) or hasattr(image, "__array__"):
        return
    raise TypeError(
        f"{name} is {_kind(image)}; expected a path, an array (height, width, 3) of uint8, a PIL "
        "image, the bytes of an image file, or a list of these"
    )


def _kind(thing: Any) -> str:
    name = type(thing).__name__
    return "None" if thing is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _as_array(image: Any, name: str) -> Array:
    """The image as (H, W, 3) uint8 RGB; `name` is what an ImageError calls one without a path."""
    if isinstance(image, bytes):
        return decode_image(image, name)
    if isinstance(image, str | PathLike):
        if not str(image):
            raise ImageError(f"{name} is an empty path; give an image file's")
        return read_image(Path(image))
    if is_pillow(image):
        return from_pillow(image)
    try:
        return as_rgb(np.asarray(image))
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
