"""Crossings of lines and zones: each once, in the right direction, at the right time."""

from collections.abc import Sequence

import numpy as np
import pytest

from mindssd.inference.tracking import Sighting
from mindssd.predict.counting import Anchor, Counting, Crossing, Totals
from mindssd.predict.places import Place

SIZE = (100, 200)
LINE = Place("gate", "line", ((20, 50), (180, 50)))
ZONE = Place("yard", "zone", ((50, 20), (150, 20), (150, 80), (50, 80)))

Point = tuple[float, float]


def seen(points: Sequence[Point], track: int = 1, class_id: int = 0) -> list[Sighting]:
    """Boxes of 20 × 20 around these points, one a frame, ten frames a second."""
    return [
        Sighting(track, class_id, np.array([x - 10, y - 10, x + 10, y + 10]), frame, frame / 10)
        for frame, (x, y) in enumerate(points)
    ]


def crossed(place: Place, points: Sequence[Point], anchor: Anchor = "centre") -> list[Crossing]:
    return Counting(place, SIZE, anchor).see(seen(points))


def upright(*ys: float) -> list[Point]:
    return [(100, y) for y in ys]


def test_upwards_over_a_line_from_left_to_right_is_in_and_downwards_out() -> None:
    (up,) = crossed(LINE, upright(70, 60, 48, 40))
    assert (up.place, up.direction, up.track, up.frame, up.seconds) == ("gate", "in", 1, 2, 0.2)
    (down,) = crossed(LINE, upright(30, 40, 60))
    assert (down.direction, down.frame) == ("out", 2)
    turned = Place("gate", "line", LINE.points[::-1])
    assert [one.direction for one in crossed(turned, upright(70, 40))] == ["out"]


def test_an_object_that_trembles_on_the_line_counts_once() -> None:
    tremble = [51.5, 48.6, 50.9, 49.1, 51.8, 48.4, 50.2] * 5
    (one,) = crossed(LINE, upright(70, 60, *tremble, 45, 40))
    assert one.direction == "in" and one.frame == 2 + len(tremble)  # its last change of side
    assert crossed(LINE, upright(70, 60, *tremble, 60, 70)) == []


def test_an_object_that_comes_back_counts_each_way() -> None:
    ways = crossed(LINE, upright(70, 40, 30, 60, 70, 30))
    assert [one.direction for one in ways] == ["in", "out", "in"]


@pytest.mark.parametrize("start", [50, 49.5, 51.5])
def test_what_starts_on_the_line_comes_from_no_side(start: float) -> None:
    assert crossed(LINE, upright(start, 40, 30)) == []
    assert crossed(LINE, upright(start, 60, 70)) == []
    back = crossed(LINE, upright(start, 60, 70, 40))
    assert [one.direction for one in back] == ["in"]


def test_past_the_ends_of_a_line_nothing_crosses_it() -> None:
    assert crossed(LINE, [(10, 70), (10, 60), (10, 40), (10, 30)]) == []
    # Around the end and back over the line itself.
    around = [(10, 70), (10, 30), (100, 30), (100, 70)]
    assert [one.direction for one in crossed(LINE, around)] == ["out"]


def test_a_point_exactly_on_the_line_is_on_no_side() -> None:
    assert [one.direction for one in crossed(LINE, upright(70, 50, 30))] == ["in"]
    assert crossed(LINE, upright(70, 50, 70)) == []


def test_frames_that_were_lost_leave_the_crossing() -> None:
    (one,) = crossed(LINE, upright(95, 5))
    assert (one.direction, one.frame) == ("in", 1)


def test_the_lower_side_may_be_what_counts() -> None:
    points = upright(70, 55, 45)  # the lower side at 80, 65 and 55
    assert len(crossed(LINE, points)) == 1 and crossed(LINE, points, "bottom") == []


def test_a_zone_is_entered_left_and_appeared_in() -> None:
    counting = Counting(ZONE, SIZE, "centre")
    ways = counting.see(seen([(20, 50), (40, 50), (60, 50), (100, 50), (145, 50), (170, 50)]))
    assert [(one.direction, one.frame) for one in ways] == [("in", 2), ("out", 5)]
    assert counting.num_inside == 0
    assert counting.see(seen([(100, 50)] * 3, track=2, class_id=1)) == []
    (appeared,) = counting.see(seen([(100, 50)] * 6, track=2, class_id=1)[3:])
    assert (appeared.direction, appeared.frame, appeared.class_id) == ("appeared", 0, 1)
    assert counting.num_inside == 1 and counting.total("appeared") == 1
    counting.forget_all_but({1})
    assert counting.num_inside == 0 and counting.total("appeared") == 1


def test_what_was_hardly_seen_within_a_zone_has_not_appeared() -> None:
    counting = Counting(ZONE, SIZE, "centre")
    assert counting.see(seen([(100, 50)] * 5)) == [] and counting.num_inside == 0
    counting.forget_all_but(set())
    assert not counting.counts
    # One that leaves at once was there.
    ways = crossed(ZONE, [(140, 50), (170, 50)])
    assert [(one.direction, one.frame) for one in ways] == [("appeared", 0), ("out", 1)]


def test_a_zone_smaller_than_the_objects_counts_them_too() -> None:
    small = Place("spot", "zone", ((98, 48), (102, 48), (102, 52), (98, 52)))
    way: list[Point] = [(x, 50) for x in range(80, 121)]
    assert [one.direction for one in crossed(small, way)] == ["in", "out"]


def test_objects_and_classes_are_counted_apart() -> None:
    counting = Counting(LINE, SIZE, "centre")
    for track, (class_id, ys) in enumerate([(0, (70, 30)), (1, (70, 30)), (1, (30, 70))]):
        counting.see(seen(upright(*ys), track, class_id))
    assert counting.counts == {(0, "in"): 1, (1, "in"): 1, (1, "out"): 1}


def test_totals_have_a_row_for_what_counted_nothing() -> None:
    totals = Totals()
    totals.expect("a.mp4", [LINE, ZONE])
    (one,) = crossed(ZONE, [(100, 50)] * 6)
    totals.add("a.mp4", one, "cat")
    rows = [(key[1:], dict(counts)) for key, counts in totals.rows()]
    assert rows == [(("gate", "line", ""), {}), (("yard", "zone", "cat"), {"appeared": 1})]
