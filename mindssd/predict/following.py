"""The objects of one video followed and counted, frame by frame."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mindssd.drawing.colours import class_colour
from mindssd.drawing.overlay import Overlay, ShownPlace, Trail
from mindssd.errors import ConfigError
from mindssd.inference.predictor import Predictor
from mindssd.inference.tiling import TiledPredictor
from mindssd.inference.tracking import WEAK_SHARE, Sighting, Tracker
from mindssd.predict.counting import Anchor, Counting, Crossing
from mindssd.predict.places import Place
from mindssd.predict.sinks.base import Seen
from mindssd.predict.sources import ImageFile, Source
from mindssd.types import Array, Detections, ImageSize

_TRAIL_S = 1.5
"""A trail shows so much of where an object came from."""

_MOST_TRAIL_POINTS = 100


@dataclass(frozen=True)
class Follow:
    """What `--track` and its like ask for."""

    places: tuple[Place, ...] = ()
    anchor: Anchor = "centre"

    def __post_init__(self) -> None:
        if self.anchor not in ("centre", "bottom"):
            raise ConfigError(f"--count-anchor {self.anchor}: expected centre or bottom")


def thresholds_of(predictor: Predictor | TiledPredictor) -> Array:
    """The score of each class (C,) above which it is a detection by itself."""
    inner = predictor.predictor if isinstance(predictor, TiledPredictor) else predictor
    threshold = inner.postprocess.selection.threshold
    return np.broadcast_to(np.asarray(threshold, np.float64), len(inner.class_names)).copy()


def with_weak(predictor: Predictor | TiledPredictor) -> Predictor | TiledPredictor:
    """The same, which also gives weaker detections: to go on with tracks by.

    A file with NMS inside gives those that it leaves.
    """
    if isinstance(predictor, TiledPredictor):
        return replace(predictor, predictor=_with_weak(predictor.predictor))
    return _with_weak(predictor)


def _with_weak(predictor: Predictor) -> Predictor:
    thresholds = (WEAK_SHARE * thresholds_of(predictor)).tolist()
    # Of whatever kind it is; each has a selection.
    postprocess: Any = predictor.postprocess
    selection = postprocess.selection.with_thresholds(thresholds)
    return replace(predictor, postprocess=replace(postprocess, selection=selection))


class Following:
    """Follows the objects of one video, whose first picture has `size`, and counts them.

    Pictures of another size show the same place: what is found in them is scaled. `thresholds` are
    those of `thresholds_of`. ConfigError where a place lies outside of the picture.
    """

    def __init__(self, follow: Follow, thresholds: Array, rate: float, size: ImageSize) -> None:
        self._size = size
        self._tracker = Tracker(thresholds, rate, size)
        self._countings = [Counting(place, size, follow.anchor) for place in follow.places]
        self._trails: dict[int, deque[tuple[float, float, float]]] = {}

    def see(self, seen: Seen, after_break: bool) -> Seen:
        """Take the next frame; return it with its detections' tracks, and what was counted."""
        found, frame, seconds = seen.detections, seen.frame or 0, seen.seconds or 0.0
        height, width = seen.picture.shape[:2]
        scale = np.array([self._size[1] / width, self._size[0] / height] * 2, np.float32)
        boxes = found.boxes.astype(np.float32).reshape(-1, 4) * scale
        tracked = self._tracker.update(
            boxes, found.scores, found.class_ids, frame, seconds, after_break
        )
        alive = self._tracker.alive
        crossings: list[Crossing] = []
        for counting in self._countings:
            counting.forget_all_but(alive)
            crossings += counting.see(tracked.sightings)
        self._extend_trails(tracked.sightings, seconds)
        rows = tracked.is_shown
        detections = replace(
            found,
            boxes=found.boxes[rows],
            scores=found.scores[rows],
            class_ids=found.class_ids[rows],
            track_ids=tracked.track_ids[rows],
        )
        overlay = self._overlay(detections, tracked.track_ids[rows], 1 / scale[:2])
        return replace(seen, detections=detections, crossings=crossings, overlay=overlay)

    def _extend_trails(self, sightings: list[Sighting], seconds: float) -> None:
        for one in sightings:
            trail = self._trails.setdefault(one.track, deque(maxlen=_MOST_TRAIL_POINTS))
            x1, y1, x2, y2 = (float(value) for value in one.box)
            trail.append((one.seconds, (x1 + x2) / 2, (y1 + y2) / 2))
        for track, trail in list(self._trails.items()):
            while trail and trail[0][0] < seconds - _TRAIL_S:
                trail.popleft()
            if not trail:
                del self._trails[track]

    def _overlay(self, detections: Detections, track_ids: Array, scale: Array) -> Overlay:
        """What is drawn beside the boxes, in pixels of a picture `scale` times the first."""
        trails = [
            Trail(np.array(self._trails[track])[:, 1:] * scale, class_colour(int(class_id)))
            for track, class_id in zip(track_ids.tolist(), detections.class_ids, strict=True)
            if len(self._trails.get(track, ())) > 1
        ]
        places = [
            ShownPlace(counting.points * scale, counting.place.kind == "zone", words_of(counting))
            for counting in self._countings
        ]
        return Overlay(tuple(places), tuple(trails))


def words_of(counting: Counting) -> str:
    """What stands at a place on the picture."""
    counted = f"in {counting.total('in')}, out {counting.total('out')}"
    if counting.place.kind == "zone":
        counted = f"{counting.num_inside} inside, {counted}"
    return f"{counting.place.name}: {counted}"


def require_moving(sources: Sequence[Source]) -> None:
    """MindSSDError, before anything is done, where objects of these cannot be followed."""
    for source in sources:
        if isinstance(source, ImageFile):
            raise ConfigError(still(source.name))


def still(name: str) -> str:
    """What is said of a picture that objects are to be followed in."""
    return f"{name} is a still image; --track follows objects through videos, cameras and streams"
