"""What `mindssd.load` gives: a trained detector to call on images."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from mindssd.inference.pictures import Channels, as_picture, require_channels, require_image
from mindssd.inference.predictor import Predictor
from mindssd.inference.tiling import TiledPredictor
from mindssd.types import Array, Detections
from mindssd.weights.safetensors_file import ModelMetadata


class Detector:
    """Detects objects: `detections = detector("photo.jpg")`.

    An image is a path, an http:// or https:// address, the bytes of an image file, a PIL image, an
    array of (H, W, 3), grey too, or a tensor of PyTorch, (3, H, W) as is usual there or (H, W, 3);
    both of uint8, or of floats in 0..1, and in the order of colours `channels`, "rgb" or "bgr",
    which the values do not tell. A list of these gives a list, an empty one an empty one.
    TypeError for anything else, ImageError for what cannot be read or is no picture.
    """

    def __init__(self, predictor: Predictor | TiledPredictor, metadata: ModelMetadata) -> None:
        self.predictor = predictor
        self.metadata = metadata
        self.class_names = metadata.class_names

    @overload
    def __call__(
        self, image: str | Path | bytes | Array | Any, *, channels: Channels = "rgb"
    ) -> Detections: ...

    @overload
    def __call__(self, image: Sequence[Any], *, channels: Channels = "rgb") -> list[Detections]: ...

    def __call__(self, image: Any, *, channels: Channels = "rgb") -> Detections | list[Detections]:
        require_channels(channels)
        if isinstance(image, list | tuple):
            names = [f"image {number} of the list" for number in range(len(image))]
            for item, name in zip(image, names, strict=True):
                require_image(item, name)
            return self._detect(image, names, channels)
        require_image(image, "the image")
        return self._detect([image], ["the image"], channels)[0]

    def _detect(
        self, images: Sequence[Any], names: Sequence[str], channels: Channels
    ) -> list[Detections]:
        pictures = (
            as_picture(image, name, channels) for image, name in zip(images, names, strict=True)
        )
        ids = self.metadata.category_ids
        return [replace(found, category_ids=ids) for found in self.predictor.detect(pictures)]
