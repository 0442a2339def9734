"""A drawn clip of objects that move and cross, their truth, and a detector that sees colours."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from mindssd.geometry.postprocess import PostProcessDecoded
from mindssd.geometry.selection import Selection
from mindssd.images import Normalization
from mindssd.inference.detector import Detector
from mindssd.inference.predictor import Predictor
from mindssd.types import Array
from mindssd.weights.safetensors_file import ModelMetadata

SIZE = (180, 320)
"""(height, width) of the pictures, and of what the detector's network is given."""

CLASS_NAMES = ("car", "person")
_MOST = 10
_GROUND = 40


@dataclass(frozen=True)
class Mover:
    """An object: from `start` seconds on its centre (x, y) moves by `velocity` pixels a second."""

    number: int
    start: float
    size: tuple[float, float]
    centre: tuple[float, float]
    velocity: tuple[float, float]

    @property
    def class_id(self) -> int:
        return self.number % 2

    def at(self, seconds: float) -> tuple[float, float] | None:
        """Its centre, or None where less than a third of it is on the picture."""
        if seconds < self.start:
            return None
        x, y = (
            c + v * (seconds - self.start) for c, v in zip(self.centre, self.velocity, strict=True)
        )
        width = self.size[0]
        seen = min(x + width / 2, SIZE[1]) - max(x - width / 2, 0)
        return (x, y) if seen > 0.34 * width else None

    def box(self, seconds: float) -> Array | None:
        """(x1, y1, x2, y2) as far as the picture goes."""
        centre = self.at(seconds)
        if centre is None:
            return None
        half = np.array(self.size) / 2
        corners = np.concatenate([np.array(centre) - half, np.array(centre) + half])
        return np.clip(corners, 0, (SIZE[1], SIZE[0], SIZE[1], SIZE[0]))


def crossing_scene(seed: int = 0, count: int = 10) -> list[Mover]:
    """Half of the objects go from left to right, half the other way, through each other."""
    rng = np.random.default_rng(seed)
    movers = []
    for number in range(count):
        width, height = rng.uniform(20, 34, 2)
        from_left = number % 4 < 2
        x = -0.1 * width if from_left else SIZE[1] + 0.1 * width
        y = (number + 0.5) / count * (SIZE[0] - 50) + 25
        speed = rng.uniform(45, 70) * (1 if from_left else -1)
        velocity = (speed, rng.uniform(-8, 8))
        movers.append(Mover(number, rng.uniform(0, 2), (width, height), (x, y), velocity))
    return movers


def crossings_of(movers: Sequence[Mover], x: float, until: float) -> Counter[tuple[str, str]]:
    """How often centres pass an upright line at x, by class and "left" or "right", as they go."""
    found: Counter[tuple[str, str]] = Counter()
    times = np.arange(0, until, 0.01)
    for mover in movers:
        places = [centre[0] for time in times if (centre := mover.at(time)) is not None]
        for before, after in pairwise(places):
            if (before < x) != (after < x):
                found[CLASS_NAMES[mover.class_id], "right" if after >= x else "left"] += 1
    return found


def colour_of(number: int) -> tuple[int, int, int]:
    """Hues that are far apart, of which the detector knows the class."""
    pixel = np.array([[[number * 180 // _MOST, 255, 255]]], np.uint8)
    red, green, blue = cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue


def picture(movers: Sequence[Mover], seconds: float, size: tuple[int, int] = SIZE) -> Array:
    """The objects drawn, the later ones over the earlier ones: (H, W, 3) uint8 RGB."""
    scale = size[0] / SIZE[0], size[1] / SIZE[1]
    image = np.full((*size, 3), _GROUND, np.uint8)
    for mover in movers:
        box = mover.box(seconds)
        if box is not None:
            x1, x2 = (round(value * scale[1]) for value in box[[0, 2]])
            y1, y2 = (round(value * scale[0]) for value in box[[1, 3]])
            image[y1:y2, x1:x2] = colour_of(mover.number)
    return image


def write(
    path: Path | Any,
    movers: Sequence[Mover],
    times: Sequence[float],
    rate: int = 12,
    format_name: str | None = None,
) -> Any:
    """A video of frames at these times, nearly without loss."""
    with av.open(path if format_name else str(path), "w", format=format_name) as file:
        stream = file.add_stream("libx264", rate=rate, options={"crf": "6", "preset": "ultrafast"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for seconds in times:
            frame = av.VideoFrame.from_ndarray(picture(movers, seconds), format="rgb24")
            frame.pts, frame.time_base = round(seconds * 1000), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def colours_seen(images: Array) -> tuple[Array, Array]:
    """The network: the visible part of each colour as a box; the less of it, the less sure."""
    boxes = np.zeros((len(images), _MOST, 4), np.float32)
    scores = np.zeros((len(images), _MOST, len(CLASS_NAMES)), np.float32)
    for image, own_boxes, own_scores in zip(images, boxes, scores, strict=True):
        pixels = np.rint(image.transpose(1, 2, 0) * 255).clip(0, 255).astype(np.uint8)
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
        vivid = (hsv[:, :, 1] > 150) & (hsv[:, :, 2] > 120)
        nearest = np.rint(hsv[:, :, 0].astype(float) * _MOST / 180).astype(int) % _MOST
        for number in range(_MOST):
            mask = (vivid & (nearest == number)).astype(np.uint8)
            parts = cv2.connectedComponentsWithStats(mask)[2][1:]
            x, y, width, height, area = max(parts, key=lambda part: part[4], default=(0,) * 5)
            if area >= 40:
                corners = np.array([x, y, x + width, y + height], np.float32)
                own_boxes[number] = corners / np.array([SIZE[1], SIZE[0]] * 2)
                own_scores[number, number % 2] = min(0.95, 0.1 + area / 500)
    return boxes, scores


def load(path: Path, score_threshold: float | None = None, **settings: Any) -> Detector:
    """In the place of `mindssd.load`."""
    unit = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    metadata = ModelMetadata({}, CLASS_NAMES, (3, 7), SIZE, unit.mean, unit.std, ((1, 2),))
    selection = Selection(score_threshold=0.4 if score_threshold is None else score_threshold)
    postprocess = PostProcessDecoded(_MOST, selection=selection)
    return Detector(Predictor(colours_seen, SIZE, unit, postprocess, CLASS_NAMES), metadata)
