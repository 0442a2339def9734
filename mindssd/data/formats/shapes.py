"""The boxes of shapes that annotators draw."""

import math
from collections.abc import Sequence

Box = tuple[float, float, float, float]
"""(x1, y1, x2, y2)"""


def box_of_points(xs: Sequence[float], ys: Sequence[float]) -> Box | None:
    """The box of a polygon's points; None for fewer than two."""
    if len(xs) < 2 or len(xs) != len(ys):
        return None
    return min(xs), min(ys), max(xs), max(ys)


def box_of_ellipse(cx: float, cy: float, rx: float, ry: float, degrees: float = 0.0) -> Box:
    """The box of an ellipse that is turned about its centre."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    half_width, half_height = math.hypot(rx * cos, ry * sin), math.hypot(rx * sin, ry * cos)
    return cx - half_width, cy - half_height, cx + half_width, cy + half_height


def turned(box: Box, degrees: float) -> Box:
    """The box around one that is turned about its centre."""
    if not degrees:
        return box
    x1, y1, x2, y2 = box
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    width, height = x2 - x1, y2 - y1
    half_width, half_height = (width * cos + height * sin) / 2, (width * sin + height * cos) / 2
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    return cx - half_width, cy - half_height, cx + half_width, cy + half_height
