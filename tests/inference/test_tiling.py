"""Small objects in large images, cut into tiles: each found once, where it is."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from mindssd.errors import ConfigError, ImageError
from mindssd.geometry.default_boxes import GridDefaultBoxes
from mindssd.geometry.postprocess import PostProcess
from mindssd.geometry.selection import Selection
from mindssd.images import Normalization
from mindssd.inference.predictor import Predictor
from mindssd.inference.tiling import TiledPredictor, merge, tiles
from mindssd.types import Array, Detections

SIDE, CELL = 128, 8
GRID = SIDE // CELL
BOXES = GridDefaultBoxes(scale=2.0, scales_per_octave=1, aspect_ratios=(1.0,)).generate(
    (SIDE, SIDE), ((GRID, GRID),)
)
UNIT = Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def red_squares(images: Array) -> tuple[Array, Array]:
    """A network that sees a red blob in the cell of its centre, if it fills half a default box.

    It measures the blob's true extent, as a good network would, by the red pixels around.
    """
    offsets = np.zeros((len(images), GRID * GRID, 4), np.float32)
    logits = np.full((len(images), GRID * GRID, 2), -9.0, np.float32)
    for index, image in enumerate(images):
        red = (image[0] > 0.6) & (image[1] < 0.4)
        for left, top, right, bottom in blobs(red):
            width, height = right - left, bottom - top
            if min(width, height) < 6:
                continue  # too small to be told from noise
            x, y = (left + right) / 2, (top + bottom) / 2
            cell = int(y // CELL) * GRID + int(x // CELL)
            centre_x, centre_y, box_width, box_height = BOXES.boxes_cxcywh[cell] * SIDE
            offsets[index, cell] = (
                (y - centre_y) / box_height / 0.1,
                (x - centre_x) / box_width / 0.1,
                np.log(height / box_height) / 0.2,
                np.log(width / box_width) / 0.2,
            )
            logits[index, cell, 1] = 4 + min(width, height) / 100
    return offsets, logits


def blobs(mask: Array) -> list[tuple[int, int, int, int]]:
    """The extents of connected areas."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return [(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:count].tolist()]


SELECTION = Selection(score_threshold=0.5)


def predictor(selection: Selection = SELECTION) -> Predictor:
    postprocess = PostProcess(BOXES, selection=selection)
    return Predictor(red_squares, (SIDE, SIDE), UNIT, postprocess, ("red",))


def picture_of(boxes: Array, height: int, width: int) -> Array:
    picture = np.full((height, width, 3), 90, np.uint8)
    for x1, y1, x2, y2 in boxes.astype(int):
        picture[y1:y2, x1:x2] = (230, 40, 40)
    return picture


def matches(found: Detections, truths: Array, within: float) -> list[int]:
    """How many detections lie at each truth."""
    distance = np.abs(found.boxes[:, None] - truths).max(axis=2)  # (n, m)
    return (distance < within).sum(axis=0).tolist()


def test_objects_that_the_whole_image_misses_are_found_once_in_tiles() -> None:
    """4000×3000 with 300 objects of 24 pixels: at 128×128 each is less than one pixel."""
    rng = np.random.default_rng(0)
    columns, rows = np.meshgrid(np.arange(20), np.arange(15))
    corners = np.stack([columns.ravel() * 198, rows.ravel() * 197], axis=1) + rng.integers(
        20, 60, (300, 2)
    )
    truths = np.concatenate([corners, corners + 24], axis=1).astype(np.float32)
    picture = picture_of(truths, 3000, 4000)
    (untiled,) = predictor().detect([picture])
    assert len(untiled) == 0
    unlimited = replace(SELECTION, max_detections=None)
    (found,) = TiledPredictor(predictor(unlimited), 512, overlap=0.2).detect([picture])
    assert len(found) == 300 and matches(found, truths, within=6) == [1] * 300


def test_an_object_larger_than_a_tile_is_found_whole_and_its_pieces_are_dropped() -> None:
    truths = np.array([[100, 100, 900, 800], [1100, 700, 1124, 724]], np.float32)
    (found,) = TiledPredictor(predictor(), 256).detect([picture_of(truths, 900, 1200)])
    assert len(found) == 2 and matches(found, truths, within=10) == [1, 1]


def test_the_limit_counts_for_the_image_and_not_for_each_tile() -> None:
    """Larger squares score more: the best seven of the image, though one tile has them all."""
    sides = np.arange(20, 32)
    corners = np.stack([20 + 40 * (np.arange(12) % 4), 20 + 40 * (np.arange(12) // 4)], axis=1)
    truths = np.concatenate([corners, corners + sides[:, None]], axis=1).astype(np.float32)
    far = np.array([[420, 420, 434, 434]], np.float32)  # the least of all
    picture = picture_of(np.concatenate([truths, far]), 500, 500)
    for limit, expected in ((7, [0] * 5 + [1] * 7 + [0]), (1, [0] * 11 + [1, 0])):
        tiled = TiledPredictor(predictor(replace(SELECTION, max_detections=limit)), 256)
        (found,) = tiled.detect([picture])
        assert matches(found, np.concatenate([truths, far]), within=6) == expected
        ((_, streamed),) = [x for x in tiled.stream_with_images([picture]) if isinstance(x, tuple)]
        np.testing.assert_array_equal(found.boxes, streamed.boxes)
        (untiled,) = TiledPredictor(tiled.predictor, 600).detect([picture])
        assert len(untiled) <= limit


@pytest.mark.parametrize("seed", range(6))
def test_merging_the_best_first_changes_nothing(seed: int) -> None:
    """Many boxes, of which a limit asks for few: the first ones of what no limit gives."""
    rng = np.random.default_rng(seed)
    views = tiles((300, 500), 128, 0.25)
    found = []
    for x1, y1, x2, y2 in views:
        corners = rng.uniform(0, (x2 - x1 - 10, y2 - y1 - 10), (60, 2))
        corners = np.concatenate([corners, corners + rng.uniform(8, 60, (60, 2))], axis=1)
        boxes = np.minimum(corners, [x2 - x1, y2 - y1] * 2).astype(np.float32)
        scores = np.sort(rng.choice(50, 60) / 50).astype(np.float32)[::-1]  # with equal ones
        class_ids = rng.integers(0, 3, 60).astype(np.int32)
        found.append(Detections(boxes, scores, class_ids, ("a", "b", "c")))
    for across in (None, 0.5):
        unlimited = Selection(max_detections=None, across_classes_iou=across)
        every = merge(views, found, (300, 500), unlimited)
        assert len(every) > 100
        for limit in (1, 7, 100, 9999):
            best = merge(views, found, (300, 500), replace(unlimited, max_detections=limit))
            np.testing.assert_array_equal(best.boxes, every.boxes[:limit])
            np.testing.assert_array_equal(best.class_ids, every.class_ids[:limit])


def test_tiles_cover_the_image_and_overlap() -> None:
    whole, *squares = tiles((300, 500), 128, 0.25)
    assert whole == (0, 0, 500, 300)
    covered = np.zeros((300, 500), int)
    for x1, y1, x2, y2 in squares:
        assert (x2 - x1, y2 - y1) == (128, 128)
        covered[y1:y2, x1:x2] += 1
    assert covered.min() == 1
    lefts = sorted({square[0] for square in squares})
    assert max(b - a for a, b in pairwise(lefts)) <= 128 * 0.75
    assert tiles((100, 128), 128, 0.2) == [(0, 0, 128, 100)]
    assert tiles((100, 300), 128, 0.0)[1:] == [
        (0, 0, 128, 100),
        (86, 0, 214, 100),
        (172, 0, 300, 100),
    ]


def test_a_stream_gives_what_detect_gives_and_broken_files_in_their_places() -> None:
    rng = np.random.default_rng(1)
    pictures = []
    for _ in range(4):
        corners = rng.integers(0, 400, (3, 2))
        pictures.append(picture_of(np.concatenate([corners, corners + 20], axis=1), 500, 500))
    tiled = TiledPredictor(predictor(), 128)
    expected = tiled.detect(pictures)
    broken = np.zeros(3)
    results = list(tiled.stream_with_images([broken, *pictures[:2], broken, *pictures[2:], broken]))
    assert [isinstance(result, ImageError) for result in results] == [1, 0, 0, 1, 0, 0, 1]
    found = [result[1] for result in results if not isinstance(result, ImageError)]
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)


def test_nothing_in_any_tile_is_no_detection() -> None:
    views = tiles((100, 200), 64, 0.2)
    nothing = merge(views, [Detections.empty(("red",))] * len(views), (100, 200), Selection())
    assert len(nothing) == 0 and nothing.boxes.shape == (0, 4)


@pytest.mark.parametrize("settings", [(8, 0.2), (512, 0.95), (512, -0.1)])
def test_a_setting_out_of_range_is_named(settings: tuple[int, float]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        TiledPredictor(predictor(), *settings)
