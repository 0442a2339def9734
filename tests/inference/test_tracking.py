"""Tracks through frames of any rate, judged by motmetrics where objects cross."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from mindssd.geometry.boxes import pairwise_iou
from mindssd.inference.tracking import LOST_S, Tracked, Tracker, cheapest_pairs
from mindssd.types import Array

RATE = 10.0
SIZE = (300, 400)
THRESHOLDS = np.array([0.4, 0.6])


def box(x: float, y: float = 50.0) -> list[float]:
    return [x - 10, y - 10, x + 10, y + 10]


def frame_of(
    tracker: Tracker,
    boxes: Sequence[Sequence[float]],
    frame: int,
    seconds: float | None = None,
    scores: Sequence[float] | None = None,
    class_ids: Sequence[int] | None = None,
    after_break: bool = False,
) -> Tracked:
    return tracker.update(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores if scores is not None else [0.9] * len(boxes), np.float32),
        np.array(class_ids if class_ids is not None else [0] * len(boxes), np.int32),
        frame,
        frame / RATE if seconds is None else seconds,
        after_break,
    )


def test_an_object_has_a_number_from_its_second_frame_on_and_its_first_sighting_too() -> None:
    tracker = Tracker(THRESHOLDS, RATE, SIZE)
    first = frame_of(tracker, [box(20)], 0)
    assert first.track_ids.tolist() == [0] and first.is_shown.all() and first.sightings == []
    second = frame_of(tracker, [box(24), box(150)], 1)
    assert second.track_ids.tolist() == [1, 0]
    assert [(one.track, one.frame, one.box[0]) for one in second.sightings] == [
        (1, 0, 10),
        (1, 1, 14),
    ]
    third = frame_of(tracker, [box(150), box(28)], 2)
    assert third.track_ids.tolist() == [2, 1] and tracker.alive == {1, 2}


def test_a_frame_without_detections_is_one() -> None:
    tracker = Tracker(THRESHOLDS, RATE, SIZE)
    for frame in range(3):
        none = frame_of(tracker, [], frame)
        assert len(none.track_ids) == len(none.is_shown) == 0 and none.sightings == []


def test_what_is_weak_goes_on_with_a_track_but_begins_none() -> None:
    tracker = Tracker(THRESHOLDS, RATE, SIZE)
    weak = [frame_of(tracker, [box(20)], frame, scores=[0.2]) for frame in range(3)]
    assert not any(one.is_shown.any() for one in weak)
    for frame, score in enumerate([0.9, 0.9, 0.2, 0.9], start=3):
        found = frame_of(tracker, [box(20)], frame, scores=[score])
    assert found.track_ids.tolist() == [1] and found.is_shown.all()
    # Class 1 takes more than 0.6 to begin.
    for frame, score in enumerate([0.5, 0.5], start=9):
        other = frame_of(tracker, [box(150)], frame, scores=[score], class_ids=[1])
    assert not other.is_shown.any()


def test_a_track_has_the_class_that_it_was_most_often() -> None:
    tracker = Tracker(THRESHOLDS, RATE, SIZE)
    for frame, class_id in enumerate([0, 0, 0, 1, 1]):
        found = frame_of(tracker, [box(20)], frame, scores=[0.9], class_ids=[class_id])
        assert found.sightings == [] or found.sightings[-1].class_id == 0
    assert found.track_ids.tolist() == [1]


@pytest.mark.parametrize("rate", [5.0, 10.0, 60.0])
def test_how_long_an_object_may_be_lost_is_time_and_not_frames(rate: float) -> None:
    """A parked object is not detected for a while, at whatever rate the frames come."""
    for away, is_same in ((LOST_S - 0.4, True), (LOST_S + 0.5, False)):
        tracker = Tracker(THRESHOLDS, RATE, SIZE)
        times = np.arange(0, 2, 1 / rate)
        gone = np.arange(2, 2 + away, 1 / rate)
        back = 2 + away + np.arange(0, 1, 1 / rate)
        for frame, seconds in enumerate([*times, *gone, *back]):
            boxes = [] if 2 <= seconds < 2 + away else [box(40)]
            found = frame_of(tracker, boxes, frame, seconds)
        assert found.track_ids.tolist() == [1 if is_same else 2]


def test_frames_that_are_lost_at_once_count_as_the_time_they_took() -> None:
    """An object that moves 4 pixels a frame is expected where it would be after the gap."""
    tracker = Tracker(THRESHOLDS, RATE, SIZE)
    for frame in range(20):
        frame_of(tracker, [box(20 + 4 * frame)], frame)
    after = frame_of(tracker, [box(20 + 4 * 29)], 20, seconds=2.9)  # 40 pixels on: no overlap
    assert after.track_ids.tolist() == [1]


def test_frames_that_come_seldom_are_followed_too() -> None:
    tracker = Tracker(THRESHOLDS, 25.0, SIZE)
    for frame in range(12):
        found = frame_of(tracker, [box(40), box(120)], frame, seconds=5.0 * frame)
    assert found.track_ids[0] != found.track_ids[1]
    before = found.track_ids.tolist()
    assert frame_of(tracker, [box(40), box(120)], 12, seconds=60.0).track_ids.tolist() == before


def test_a_break_ends_no_track_of_what_is_still_there() -> None:
    tracker = Tracker(THRESHOLDS, RATE, SIZE)
    for frame in range(5):
        frame_of(tracker, [box(40), box(100)], frame)
    back = frame_of(tracker, [box(40)], 5, seconds=600.0, after_break=True)
    assert back.track_ids.tolist() == [1]
    # And who does not come back is gone after the usual time.
    for frame in range(6, 40):
        frame_of(tracker, [box(40)], frame, seconds=600.0 + (frame - 5) / RATE)
    assert tracker.alive == {1}


def test_the_tracker_forgets_what_has_gone() -> None:
    tracker = Tracker(THRESHOLDS, RATE, SIZE)
    for frame in range(600):
        frame_of(tracker, [box(20 + 15 * (frame // 30 % 10), 50 + 40 * (frame // 30 % 2))], frame)
    assert len(tracker._tracks) <= 3


def test_a_detection_of_one_frame_is_no_object_at_any_rate() -> None:
    for rate, num_frames in ((10.0, 2), (50.0, 5)):
        tracker = Tracker(THRESHOLDS, rate, SIZE)
        for frame in range(num_frames):
            found = frame_of(tracker, [box(40)], frame, seconds=frame / rate)
            assert (found.track_ids.tolist() == [1]) == (frame == num_frames - 1)
    assert [one.frame for one in found.sightings] == [0, 1, 2, 3, 4]


def test_what_lies_on_an_object_for_two_frames_is_no_other() -> None:
    tracker = Tracker(THRESHOLDS, RATE, SIZE)
    whole, part = [100.0, 100, 160, 160], [130.0, 100, 160, 130]
    for frame in range(3):
        frame_of(tracker, [whole], frame)
    for frame in (3, 4):
        assert frame_of(tracker, [whole, part], frame).track_ids.tolist() == [1, 0]
    assert frame_of(tracker, [whole, part], 5).track_ids.tolist() == [1, 2]  # it stays


def test_a_well_known_object_keeps_its_box_where_another_is_lost() -> None:
    """Of two near each other one is hidden, and a third comes: no number moves on."""
    tracker = Tracker(THRESHOLDS, RATE, SIZE)
    for frame in range(10):
        frame_of(tracker, [box(100), box(112)], frame)
    found = frame_of(tracker, [box(100), box(88)], 10)
    assert found.track_ids.tolist() == [1, 0]


def test_who_has_left_is_not_who_comes_in_where_it_went() -> None:
    tracker = Tracker(THRESHOLDS, RATE, SIZE)

    def cut(x: float) -> list[float]:
        return [max(x - 30, 0), 100, min(x + 30, SIZE[1]), 160]

    xs = [100 - 12 * frame for frame in range(10)]  # until a fifth of it is seen
    for frame, x in enumerate(xs):
        found = frame_of(tracker, [cut(x)], frame)
        assert frame == 0 or found.track_ids.tolist() == [1]
    for frame in range(4):
        found = frame_of(tracker, [cut(-5 + 12 * frame)], 10 + frame)
    assert found.track_ids.tolist() == [2]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_who_is_back_keeps_its_number_whatever_is_new_beside_it(order: tuple[int, int]) -> None:
    """The new one gets its number in the same frame, whichever of them is detected first."""
    tracker = Tracker(THRESHOLDS, RATE, SIZE)
    for frame in range(8):
        frame_of(tracker, [box(100)], frame)
    assert frame_of(tracker, [box(113)], 8).track_ids.tolist() == [0]
    found = frame_of(tracker, [[box(100), box(113)][one] for one in order], 9)
    assert found.track_ids.tolist() == [[1, 2][one] for one in order]


def test_cheapest_pairs_go_first() -> None:
    costs = np.array([[1.0, 2.0], [0.5, 9.0], [3.0, 4.0]])
    assert cheapest_pairs(costs, 5.0) == [(1, 0), (0, 1)]
    assert cheapest_pairs(costs, 2.0) == [(1, 0)]
    assert cheapest_pairs(np.zeros((0, 2)), 5.0) == cheapest_pairs(np.zeros((2, 0)), 5.0) == []


def even(rng: np.random.Generator) -> Array:
    return np.arange(0, 8, 0.08)


def uneven(rng: np.random.Generator) -> Array:
    times = np.cumsum(rng.choice([0.02, 0.08, 0.16, 0.24], 120, p=[0.2, 0.5, 0.2, 0.1]))
    return np.asarray(times[times < 8])


def with_losses(rng: np.random.Generator) -> Array:
    times = even(rng)
    return times[rng.random(len(times)) > 0.25]


@pytest.mark.parametrize("times_of", [even, uneven, with_losses])
def test_ten_objects_that_cross_keep_their_numbers_by_motmetrics(
    times_of: Callable[[np.random.Generator], Array],
) -> None:
    """Detections are the truth with noise, of which some are missing, and what is hidden."""
    motmetrics = pytest.importorskip("motmetrics")
    rng = np.random.default_rng(3)
    starts, ys = rng.uniform(0, 2, 10), np.arange(10) * 18 + 40
    speeds = rng.uniform(40, 80, 10) * np.where(np.arange(10) % 2, -1, 1)
    tracker = Tracker(THRESHOLDS, 12.5, SIZE)
    judged = motmetrics.MOTAccumulator(auto_id=True)
    for frame, seconds in enumerate(times_of(rng)):
        xs = np.where(speeds > 0, 10, 390) + speeds * (seconds - starts)
        there = np.flatnonzero((seconds >= starts) & (xs > 0) & (xs < 400))
        truth = np.stack([xs - 16, ys - 14, xs + 16, ys + 14], axis=1)[there].astype(np.float32)
        overlaps = np.triu(pairwise_iou(truth, truth), 1)  # with those drawn later
        hidden = overlaps.max(axis=1, initial=0) > 0.45
        seen = ~hidden & (rng.random(len(there)) > 0.05)
        boxes = truth[seen] + rng.normal(0, 1, (int(seen.sum()), 4))
        scores = rng.uniform(0.65, 0.95, len(boxes))
        found = frame_of(tracker, boxes.tolist(), frame, seconds, scores.tolist())
        rows = found.track_ids > 0
        far = 1 - pairwise_iou(truth, boxes[rows].astype(np.float32))
        far[far > 0.5] = np.nan
        judged.update(there.tolist(), found.track_ids[rows].tolist(), far)
    figures = motmetrics.metrics.create().compute(judged, metrics=["idf1", "mota"]).iloc[0]
    assert figures.idf1 >= 0.9 and figures.mota >= 0.8
