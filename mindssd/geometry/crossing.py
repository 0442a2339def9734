"""On which side of a line or border points lie, and whether ways cross it; y points down."""

from collections.abc import Sequence

import cv2
import numpy as np

from mindssd.types import Array

Point = tuple[float, float]


def beyond_line(start: Point, end: Point, point: Point) -> float:
    """How far a point lies to the left of the endless line through two others, seen along it.

    In pixels; negative to the right. On a picture the left of a line from left to right is above.
    """
    (x1, y1), (x2, y2), (x, y) = start, end, point
    return ((y2 - y1) * (x - x1) - (x2 - x1) * (y - y1)) / float(np.hypot(x2 - x1, y2 - y1))


def inside_polygon(polygon: Array, point: Point) -> float:
    """How far a point lies inside of the border of a polygon (n, 2); negative outside."""
    corners = np.asarray(polygon, np.float32).reshape(-1, 1, 2)
    return float(cv2.pointPolygonTest(corners, (float(point[0]), float(point[1])), True))


def crosses(start: Point, end: Point, before: Point, after: Point) -> bool:
    """Whether the straight way from `before` to `after` meets a line between its ends.

    A way along the line itself does not cross it.
    """
    from_line = beyond_line(start, end, before), beyond_line(start, end, after)
    change = from_line[0] - from_line[1]
    if change == 0 or from_line[0] * from_line[1] > 0:
        return False
    share = from_line[0] / change
    x, y = (b + share * (a - b) for b, a in zip(before, after, strict=True))
    length = (end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2
    along = ((x - start[0]) * (end[0] - start[0]) + (y - start[1]) * (end[1] - start[1])) / length
    return -1e-6 <= along <= 1 + 1e-6


def polygon_area(polygon: Array) -> float:
    """In square pixels, whichever way round the corners (n, 2) go."""
    x, y = np.asarray(polygon, np.float64).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def self_crossing(points: Sequence[Point]) -> tuple[int, int] | None:
    """The first two sides of a polygon that meet where they should not, counted from 1.

    Side k goes from corner k to the next. Neighbours meet in their corner alone; where one leads
    back over the other they meet in more. None for a simple polygon.
    """
    count = len(points)
    sides = [(points[k], points[(k + 1) % count]) for k in range(count)]
    for first in range(count):
        for second in range(first + 1, count):
            if second == first + 1 or (first == 0 and second == count - 1):
                a, b = (first, second) if second == first + 1 else (second, first)
                if _leads_back(sides[a][0], sides[a][1], sides[b][1]):
                    return first + 1, second + 1
            elif _meet(*sides[first], *sides[second]):
                return first + 1, second + 1
    return None


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _leads_back(a: Point, b: Point, c: Point) -> bool:
    """Whether the side from b to c goes back over the side from a to b."""
    ahead = (b[0] - a[0]) * (c[0] - b[0]) + (b[1] - a[1]) * (c[1] - b[1])
    return _turn(a, b, c) == 0 and ahead < 0


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the line from a to b has a point in common with the one from c to d."""
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    return any(
        turn == 0 and _between(*ends, point)
        for turn, ends, point in zip(
            turns, ((a, b), (a, b), (c, d), (c, d)), (c, d, a, b), strict=True
        )
    )


def _between(a: Point, b: Point, point: Point) -> bool:
    """Whether a point of the line through a and b lies between them."""
    return all(min(p, q) <= x <= max(p, q) for p, q, x in zip(a, b, point, strict=True))
