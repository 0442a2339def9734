"""What a request may ask for, in its query, its form or its JSON, and what it is answered."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

PHOTO: Any = {
    "name": "photo.jpg",
    "width": 640,
    "height": 480,
    "detections": [
        {"class": "RBC", "class_id": 0, "score": 0.9312, "box": [104.2, 38.7, 203.1, 140.9]}
    ],
}
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAH0lEQVQI12NgIBUwQqgTARpwIYsNN4AkEy4dpEuQDg"
    "CYxQMIbssCKAAAAABJRU5ErkJggg=="
)
"""A picture of 8 x 8 pixels, as base64."""


class Options(BaseModel):
    """Settings of one request. Those left out are as `mindssd predict` has them."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    model: Annotated[
        str | None, Field(max_length=200, description="By its name; the first by default.")
    ] = None
    score: Annotated[
        float | None, Field(ge=0, le=1, description="Detections above this score; 0.3 by default.")
    ] = None
    classes: Annotated[
        list[str] | None,
        Field(
            max_length=1000, description="Of these classes alone; names with commas or repeated."
        ),
    ] = None
    max_detections: Annotated[
        int | None, Field(ge=1, le=10_000, description="So many of an image; 100 by default.")
    ] = None
    tile: Annotated[
        int | None,
        Field(ge=32, le=1_000_000, description="Look at squares of so many pixels too."),
    ] = None
    overlap: Annotated[
        float | None, Field(ge=0, le=0.9, description="The share of a tile that the next one has.")
    ] = None
    format: Annotated[
        Literal["json", "coco", "image"],
        Field(description="`coco` is `detections.json` of predict; `image` a JPEG, drawn on."),
    ] = "json"
    timeout_s: Annotated[
        float | None, Field(gt=0, le=86_400, description="503 where it takes longer than this.")
    ] = None

    @field_validator("classes", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        """Split at commas, as of a command line."""
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            return value
        return [part.strip() for word in words for part in word.split(",") if part.strip()]

    @field_validator("score", "max_detections", "tile", "overlap", "timeout_s", mode="before")
    @classmethod
    def _no_truth_value(cls, value: Any) -> Any:
        """JSON's true is no number, though Python's is 1."""
        if isinstance(value, bool):
            raise ValueError("Input should be a number")
        return value


def from_words(given: Mapping[str, list[str]]) -> dict[str, Any]:
    """The settings of a query or a form: of a name that comes twice the last, of classes all."""
    return {name: words if name == "classes" else words[-1] for name, words in given.items()}


class JsonBody(Options):
    """Images as base64, or as data URLs, with settings beside them."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"image": PIXEL, "score": 0.5}]})

    image: Annotated[str | None, Field(description="One.")] = None
    images: Annotated[list[str] | None, Field(description="Or several.")] = None


class Detection(BaseModel):
    """A thing that was found: `box` is (x1, y1, x2, y2) in pixels of the upright image."""

    class_name: Annotated[str, Field(alias="class")]
    class_id: int
    score: float
    box: Annotated[list[float], Field(min_length=4, max_length=4)]


class ImageFound(BaseModel):
    """One image: its size and detections, or why it could not be read."""

    name: str
    width: int | None = None
    height: int | None = None
    detections: list[Detection] = []
    error: str | None = None


class Found(BaseModel):
    """The answer to `format=json`."""

    model_config = ConfigDict(
        protected_namespaces=(),
        json_schema_extra={"examples": [{"model": "cells", "images": [PHOTO]}]},
    )
    model: str
    images: list[ImageFound]


class FoundCoco(BaseModel):
    """The answer to `format=coco`, which `pycocotools.COCO` opens."""

    categories: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    images: list[dict[str, Any]]


class ErrorBody(BaseModel):
    """What any other status than 200 comes with."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"error": "photo.jpg: is empty"}]})
    error: str


class ModelInfo(BaseModel):
    """A model that is served."""

    model_config = ConfigDict(protected_namespaces=())
    name: str
    classes: list[str]
    category_ids: list[int]
    image_size: Annotated[list[int], Field(description="Of the network: height, width.")]
    score: Annotated[
        float, Field(description="The threshold where none is asked for, the lowest of several.")
    ]
    thresholds: Annotated[
        list[float] | None, Field(description="Of each class, where the model has its own.")
    ]
    lowest_score: Annotated[float, Field(description="The lowest that can be asked for.")]
    metrics: Annotated[dict[str, float | None], Field(description="null where not defined.")]
    runtime: str
    batch_sizes: Annotated[list[int], Field(description="Images that the network takes together.")]
    side_by_side: Annotated[
        int, Field(description="Images of a batch that are computed at once, each by itself.")
    ]
    generation: Annotated[int, Field(description="Rises when the file was replaced.")]
    reload_error: Annotated[str | None, Field(description="Why a new file was not taken.")]


class ModelList(BaseModel):
    models: list[ModelInfo]


class State(BaseModel):
    status: Literal["ok", "ending"]
