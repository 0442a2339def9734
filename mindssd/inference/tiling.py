"""Small objects in large images: look at overlapping tiles and at the whole, and merge once."""

import math
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mindssd.errors import ConfigError, ImageError
from mindssd.geometry.boxes import area, pairwise_intersection
from mindssd.geometry.selection import LOOKED_AT, Selection, more
from mindssd.images import as_rgb
from mindssd.inference.ahead import ahead
from mindssd.inference.predictor import Predictor, Source, read_source
from mindssd.types import Array, Detections, ImageSize

OVERLAP = 0.2
"""An object up to this share of a tile is whole in one of them, wherever it lies."""

SMALLEST_TILE = 32

Tile = tuple[int, int, int, int]
"""(x1, y1, x2, y2) in pixels of the image."""

_PAIRS = 2**20
"""So many pieces and whole objects are compared at once, in some megabytes."""

_COVERED = 0.5
"""A cut piece is dropped where a whole object of its class covers more than this of it."""


@dataclass(frozen=True, eq=False)
class TiledPredictor:
    """Detects as its `predictor` does, in the whole image and in squares of `tile` pixels.

    Tiles overlap by the share `overlap` or more. The limits of the predictor's selection count for
    the image, once its tiles are merged. An image that fits into a tile is looked at once, as
    without.
    """

    predictor: Predictor
    tile: int
    overlap: float = OVERLAP

    def __post_init__(self) -> None:
        if self.tile < SMALLEST_TILE:
            raise ConfigError(f"tile is {self.tile}; expected at least {SMALLEST_TILE} pixels")
        if not 0 <= self.overlap <= 0.9:
            raise ConfigError(f"overlap is {self.overlap}; expected 0 to 0.9")

    @cached_property
    def _of_views(self) -> Predictor:
        """What looks at each view: without limits, as merging still drops some of what it finds."""
        postprocess = self.predictor.postprocess
        unlimited = replace(postprocess.selection, max_detections=None, max_per_class=None)
        return replace(self.predictor, postprocess=replace(postprocess, selection=unlimited))

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.predictor.class_names

    def detect(self, images: Iterable[Array]) -> list[Detections]:
        """As `Predictor.detect`."""
        results = []
        for image in images:
            picture = as_rgb(image)
            views = tiles(_size(picture), self.tile, self.overlap)
            results.append(self._merge(views, self._of_views.detect(_cut(picture, views)), picture))
        return results

    def stream_with_images(
        self, sources: Iterable[Source]
    ) -> Generator[tuple[Array, Detections] | ImageError, None, None]:
        """As `Predictor.stream_with_images`; batches go on from one image's tiles to the next's.

        `sources` are taken in another thread, which has ended when the stream is closed.
        """
        taken: deque[tuple[Array, list[Tile]] | ImageError] = deque()

        def views() -> Generator[Array, None, None]:
            for source in sources:
                try:
                    picture = read_source(source)
                except ImageError as error:
                    taken.append(error)
                    continue
                cut = tiles(_size(picture), self.tile, self.overlap)
                taken.append((picture, cut))
                yield from _cut(picture, cut)

        found: list[Detections] = []
        # In this order they are closed from the network's end.
        with closing(ahead(views())) as cuts, closing(self._of_views.stream(cuts)) as results:
            for result in results:
                if isinstance(result, ImageError):
                    raise result  # a tile is an array, which cannot be unreadable
                found.append(result)
                while isinstance(first := taken[0], ImageError):
                    yield first
                    taken.popleft()
                picture, cut = first
                if len(found) == len(cut):
                    taken.popleft()
                    yield picture, self._merge(cut, found, picture)
                    found = []
        for left in taken:
            assert isinstance(left, ImageError)
            yield left

    def parts(self, picture: Array) -> list[Array]:
        """As `Predictor.parts`: one for each view of the picture."""
        views = tiles(_size(picture), self.tile, self.overlap)
        return [self._of_views.prepare(cut) for cut in _cut(picture, views)]

    def whole(self, outputs: Sequence[Sequence[Array]], size: ImageSize) -> Detections:
        """As `Predictor.whole`."""
        views = tiles(size, self.tile, self.overlap)
        found = [
            self._of_views.finish(of_view, (y2 - y1, x2 - x1))
            for of_view, (x1, y1, x2, y2) in zip(outputs, views, strict=True)
        ]
        return merge(views, found, size, self.predictor.postprocess.selection)

    def num_parts(self, size: ImageSize) -> int:
        """As `Predictor.num_parts`."""
        return num_tiles(size, self.tile, self.overlap)

    def _merge(
        self, views: Sequence[Tile], found: Sequence[Detections], picture: Array
    ) -> Detections:
        return merge(views, found, _size(picture), self.predictor.postprocess.selection)


def tiles(image_size: ImageSize, tile: int, overlap: float) -> list[Tile]:
    """The whole image, and unless it fits into one, the tiles that cover it, row by row.

    Tiles are as large as the image where that is smaller, evenly spread, and overlap by at least
    `overlap` of a tile.
    """
    height, width = image_size
    whole = (0, 0, width, height)
    if max(height, width) <= tile:
        return [whole]
    return [
        whole,
        *(
            (x, y, min(x + tile, width), min(y + tile, height))
            for y in _starts(height, tile, overlap)
            for x in _starts(width, tile, overlap)
        ),
    ]


def num_tiles(image_size: ImageSize, tile: int, overlap: float) -> int:
    """How many `tiles` there are, without making them."""
    if max(image_size) <= tile:
        return 1
    height, width = image_size
    return 1 + _num_starts(height, tile, overlap) * _num_starts(width, tile, overlap)


def _num_starts(length: int, tile: int, overlap: float) -> int:
    return 1 if length <= tile else math.ceil((length - tile) / (tile * (1 - overlap))) + 1


def _starts(length: int, tile: int, overlap: float) -> list[int]:
    count = _num_starts(length, tile, overlap)
    if count == 1:
        return [0]
    return [round(float(start)) for start in np.linspace(0, length - tile, count)]


def merge(
    views: Sequence[Tile],
    found: Sequence[Detections],
    image_size: ImageSize,
    selection: Selection,
) -> Detections:
    """Bring what was found in each view of an image together, each object once, best first.

    Boxes of `found` are in pixels of their view. What is cut off by a tile's edge gives way to what
    is not: to a box of its class that covers half of it. Then `selection`, as within an image.
    """
    boxes = np.concatenate([f.boxes + _corner(v) for v, f in zip(views, found, strict=True)])
    scores = np.concatenate([f.scores for f in found])
    class_ids = np.concatenate([f.class_ids for f in found])
    is_cut = np.concatenate(
        [_at_an_inner_edge(f.boxes, v, image_size) for v, f in zip(views, found, strict=True)]
    )
    names = found[0].class_names
    whole = np.flatnonzero(~is_cut)
    best = np.argsort(-scores, kind="stable")
    # As in `Selection.select`: what is kept depends on what is better, so begin with the best.
    limit = selection.max_detections
    count = len(best) if limit is None else LOOKED_AT * limit
    while True:
        looked_at = np.sort(best[:count])  # in their first order, which decides between equals
        pieces = looked_at[is_cut[looked_at]]
        covered = pieces[_is_covered(pieces, whole, boxes, class_ids)]
        left = np.setdiff1d(looked_at, covered, assume_unique=True)
        ranks = np.full((len(left), len(names)), -np.inf, np.float32)
        ranks[np.arange(len(left)), class_ids[left]] = scores[left]
        kept, _ = selection.select(boxes[left], ranks, -np.inf)
        if count >= len(best) or len(kept) == limit:
            rows = left[kept]
            return Detections(boxes[rows], scores[rows], class_ids[rows], names)
        count = more(count, len(kept), limit)


def _is_covered(pieces: Array, whole: Array, boxes: Array, class_ids: Array) -> Array:
    """Which pieces (K,) have a half or more of them in one whole box of their class: (K,) bool."""
    covered = np.zeros(len(pieces), bool)
    for class_id in np.unique(class_ids[pieces]):
        others = boxes[whole[class_ids[whole] == class_id]]
        of_class = np.flatnonzero(class_ids[pieces] == class_id)
        for start in range(0, len(of_class), _at_once := max(1, _PAIRS // max(1, len(others)))):
            places = of_class[start : start + _at_once]
            own = boxes[pieces[places]]
            least = _COVERED * np.maximum(area(own)[:, None], 1e-6)
            covered[places] = (pairwise_intersection(own, others) > least).any(axis=1)
    return covered


def _corner(view: Tile) -> Array:
    return np.array([view[0], view[1], view[0], view[1]], np.float32)


def _at_an_inner_edge(boxes: Array, view: Tile, image_size: ImageSize) -> Array:
    """Which boxes (n, 4), in pixels of the view, end at an edge of it that is not the image's."""
    x1, y1, x2, y2 = view
    width, height = x2 - x1, y2 - y1
    margin = max(2.0, 0.01 * max(width, height))  # a network is no better than that
    edges = np.array([margin, margin, width - margin, height - margin], np.float32)
    inner = np.array([x1 > 0, y1 > 0, x2 < image_size[1], y2 < image_size[0]])
    at_edge = np.concatenate([boxes[:, :2] <= edges[:2], boxes[:, 2:] >= edges[2:]], axis=1)
    return np.asarray((at_edge & inner).any(axis=1))


def _cut(picture: Array, views: Sequence[Tile]) -> list[Array]:
    return [picture[y1:y2, x1:x2] for x1, y1, x2, y2 in views]


def _size(picture: Array) -> ImageSize:
    return picture.shape[0], picture.shape[1]
