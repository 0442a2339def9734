"""Charts of a page as SVG, in its colours; each has its words for who cannot see it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mindssd.pages.html import text

Tick = tuple[float, str]
"""A place along an axis, and what stands there."""

WIDTH, HEIGHT = 460, 300
LEFT, BOTTOM, TOP, RIGHT = 46, 36, 10, 10


def svg(
    words: str,
    shapes: Sequence[str],
    along: Sequence[Tick],
    upwards: Sequence[Tick],
    x_name: str,
    y_name: str,
) -> str:
    """A chart of `shapes` in its frame, with ticks (place, text) along and upwards."""
    base = HEIGHT - BOTTOM
    texts = [
        f'<text x="{x:.1f}" y="{base + 15}" text-anchor="middle">{label}</text>'
        for x, label in along
    ]
    texts += [
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
        for y, label in upwards
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    texts.append(f'<text x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{x_name}</text>')
    texts.append(
        f'<text x="12" y="{base / 2}" text-anchor="middle" '
        f'transform="rotate(-90 12 {base / 2})">{y_name}</text>'
    )
    frame = f'<path class="axis" d="M{LEFT} {TOP}V{base}H{WIDTH - RIGHT}"/>'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(words)}">'
        f"<title>{text(words)}</title>{''.join(shapes)}{frame}{''.join(texts)}</svg>"
    )


NUM_STYLES = 6
"""So many lines of a chart are told apart, by colour and dashes."""

_TENTHS = tuple((tenth / 5, f"{tenth / 5:.1f}") for tenth in range(6))


@dataclass(frozen=True)
class Line:
    """A line of a chart through the points (x, y), each in 0..1, with its name for the key."""

    name: str
    points: Sequence[tuple[float, float]]
    style: int = 0


@dataclass(frozen=True)
class Spot:
    """A point of a chart that is marked, and what stands beside it."""

    x: float
    y: float
    words: str = ""
    style: int = 0


def line_chart(
    words: str,
    x_name: str,
    y_name: str,
    lines: Sequence[Line],
    spots: Sequence[Spot] = (),
    ends: tuple[float, float] = (1, 1),
) -> str:
    """Lines over 0..1 in both directions, which the axes call 0 to `ends`."""
    shapes = []
    for line in lines:
        if line.points:
            path = "L".join(f"{_x(x):.1f} {_y(y):.1f}" for x, y in _thinned(line.points))
            shapes.append(f'<path class="line s{line.style % NUM_STYLES}" d="M{path}"/>')
    for spot in spots:
        shapes.append(
            f'<circle class="spot s{spot.style % NUM_STYLES}" cx="{_x(spot.x):.1f}" '
            f'cy="{_y(spot.y):.1f}" r="4"/>'
        )
        if spot.words:
            is_right = spot.x > 0.6
            anchor = "end" if is_right else "start"
            shapes.append(
                f'<text class="value" x="{_x(spot.x) + (-8 if is_right else 8):.1f}" '
                f'y="{max(TOP + 10, _y(spot.y) - 7):.1f}" text-anchor="{anchor}">'
                f"{text(spot.words)}</text>"
            )
    along = [(_x(fifth / 5), _label(fifth / 5, ends[0])) for fifth in range(6)]
    upwards = [(_y(fifth / 5), _label(fifth / 5, ends[1])) for fifth in range(6)]
    rules = "".join(f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}" for y, _ in upwards)
    grid = f'<path class="grid" d="{rules}"/>'
    return svg(words, [grid, *shapes], along, upwards, x_name, y_name)


def key(lines: Sequence[Line]) -> str:
    """What each line of a chart is, for the figure's caption."""
    return "".join(
        f'<span class="key"><svg viewBox="0 0 26 8" aria-hidden="true"><path class="line '
        f's{line.style % NUM_STYLES}" d="M1 4H25"/></svg>{text(line.name)}</span> '
        for line in lines
    )


def bar_chart(
    words: str, x_name: str, y_name: str, series: Sequence[Sequence[float]], styles: Sequence[int]
) -> str:
    """Bars over 0..1 in equal steps, the series of counts stacked upon each other."""
    num = len(series[0])
    most = max(1.0, *(sum(counts) for counts in zip(*series, strict=True)))
    step = (WIDTH - LEFT - RIGHT) / num
    shapes = []
    for place in range(num):
        base = 0.0
        for counts, style in zip(series, styles, strict=True):
            if counts[place]:
                upper = base + counts[place]
                shapes.append(
                    f'<rect class="fill s{style}" x="{LEFT + place * step + 1:.1f}" '
                    f'y="{_y(upper / most):.1f}" width="{step - 2:.1f}" '
                    f'height="{_y(base / most) - _y(upper / most):.1f}"/>'
                )
                base = upper
    along = [(_x(value), label) for value, label in _TENTHS]
    top = f"{most:,.0f}" if most < 10_000 else f"{most / 1000:,.0f} k"
    upwards = [(_y(0), "0"), (_y(1), top)]
    return svg(words, shapes, along, upwards, x_name, y_name)


def round_end(value: float) -> float:
    """The next number from `value` on that fifths of are short to write: 0.4 for 0.31, 100 for 76.

    1 for what is not above 0.
    """
    if not value > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 2.5, 4, 5, 7.5, 10) if step * power >= value)


def _label(share: float, end: float) -> str:
    return f"{share:.1f}" if end == 1 else f"{share * end:g}"


def _x(value: float) -> float:
    return LEFT + value * (WIDTH - LEFT - RIGHT)


def _y(value: float) -> float:
    return HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM)


def _thinned(points: Sequence[tuple[float, float]], most: int = 250) -> list[tuple[float, float]]:
    """Some of the points, evenly spread, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    step = math.ceil((len(points) - 1) / (most - 1))
    return [*points[:-1:step], points[-1]]
