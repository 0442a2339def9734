"""Sides of lines and borders, ways across them, and polygons that cross themselves."""

import numpy as np
import pytest

from mindssd.geometry.crossing import (
    beyond_line,
    crosses,
    inside_polygon,
    polygon_area,
    self_crossing,
)

SQUARE = [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)]


@pytest.mark.parametrize(
    ("point", "distance"), [((5, -3), 3), ((50, -3), 3), ((5, 4), -4), ((5, 0), 0)]
)
def test_above_a_line_from_left_to_right_is_its_left(
    point: tuple[float, float], distance: float
) -> None:
    assert beyond_line((0, 0), (10, 0), point) == distance
    assert beyond_line((10, 0), (0, 0), point) == -distance


@pytest.mark.parametrize(
    ("before", "after", "is_crossed"),
    [
        ((5, -1), (5, 1), True),
        ((5, 1), (5, -1), True),
        ((5, -3), (5, -1), False),
        ((11, -1), (11, 1), False),  # past its end
        ((8, -4), (14, 2), False),  # aslant, past its end
        ((2, -4), (14, 2), True),  # in its very end
        ((2, 0), (8, 0), False),  # along it
        ((5, 0), (5, 3), True),  # from it
    ],
)
def test_a_way_crosses_a_line_between_its_ends_alone(
    before: tuple[float, float], after: tuple[float, float], is_crossed: bool
) -> None:
    assert crosses((0, 0), (10, 0), before, after) == is_crossed


def test_inside_a_polygon_is_positive_whichever_way_round_it_goes() -> None:
    for corners in (SQUARE, SQUARE[::-1]):
        assert inside_polygon(np.array(corners), (5, 4)) == 4
        assert inside_polygon(np.array(corners), (5, -2)) == -2
        assert polygon_area(np.array(corners)) == 100


@pytest.mark.parametrize(
    ("corners", "sides"),
    [
        (SQUARE, None),
        ([(0, 0), (10, 0), (5, 8)], None),
        ([(0, 0), (10, 0), (10, 10), (5, 2), (0, 10)], None),  # concave
        ([(0, 0), (10, 10), (10, 0), (0, 10)], (1, 3)),  # a bow tie
        ([(0, 0), (10, 0), (10, 10), (5, 0), (0, 10)], (1, 3)),  # a corner on a side
        ([(0, 0), (10, 0), (4, 0), (4, 5)], (1, 2)),  # back over itself
    ],
)
def test_the_sides_that_cross_are_named(
    corners: list[tuple[float, float]], sides: tuple[int, int] | None
) -> None:
    assert self_crossing(corners) == sides
