"""Charts of a report as SVG, in the page's colours; each has its words for who cannot see it."""

import math
from collections.abc import Sequence

from mindssd.inspect.anchors import SIZE_EDGES, Anchors

_WIDTH, _HEIGHT = 460, 300
_LEFT, _BOTTOM, _TOP, _RIGHT = 46, 36, 10, 10


def iou_chart(anchors: Anchors) -> str:
    """How many truths have which best IoU, with the threshold as a line."""
    counts = anchors.iou_histogram
    most = max(1, *counts)
    step = (_WIDTH - _LEFT - _RIGHT) / len(counts)
    span = _HEIGHT - _TOP - _BOTTOM
    bars = []
    for place, count in enumerate(counts):
        height = span * count / most
        reached = (place + 1) / len(counts) > anchors.threshold + 1e-9
        bars.append(
            f'<rect class="{"good" if reached else "bad"}" x="{_LEFT + place * step + 1:.1f}" '
            f'y="{_HEIGHT - _BOTTOM - height:.1f}" width="{step - 2:.1f}" height="{height:.1f}"/>'
        )
    at = _LEFT + anchors.threshold * (_WIDTH - _LEFT - _RIGHT)
    line = f'<line class="mark" x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{_HEIGHT - _BOTTOM}"/>'
    ticks = [(value / 5, f"{value / 5:.1f}") for value in range(6)]
    along = [(_LEFT + value * (_WIDTH - _LEFT - _RIGHT), text) for value, text in ticks]
    upwards = [(_HEIGHT - _BOTTOM, "0"), (float(_TOP), str(most))]
    words = f"Best IoU of each truth: {anchors.share:.0%} are over {anchors.threshold:g}"
    return _svg(words, [*bars, line], along, upwards, "best IoU with a default box", "truths")


def size_chart(anchors: Anchors) -> str:
    """Where the truths' widths and heights lie, and the default boxes' among them."""
    most = max(1, max(max(row) for row in anchors.size_histogram))
    cells = []
    for row, counts in enumerate(anchors.size_histogram):
        for column, count in enumerate(counts):
            if count:
                x1, x2 = _across(SIZE_EDGES[column]), _across(SIZE_EDGES[column + 1])
                y1, y2 = _down(SIZE_EDGES[row + 1]), _down(SIZE_EDGES[row])
                shade = 0.15 + 0.85 * math.log1p(count) / math.log1p(most)
                cells.append(
                    f'<rect class="good" fill-opacity="{shade:.2f}" x="{x1:.1f}" y="{y1:.1f}" '
                    f'width="{x2 - x1:.1f}" height="{y2 - y1:.1f}"/>'
                )
    limit = SIZE_EDGES[-1]
    dots = [
        f'<circle class="dot" cx="{_across(min(w, limit)):.1f}" cy="{_down(min(h, limit)):.1f}" '
        'r="4"/>'
        for w, h in dict.fromkeys(anchors.default_box_sizes)
    ]
    powers = [2**power for power in range(1, 10, 2)]
    along = [(_across(value), str(value)) for value in powers]
    upwards = [(_down(value), str(value)) for value in powers]
    words = "Width and height of the truths in pixels of the network, and of the default boxes"
    return _svg(words, [*cells, *dots], along, upwards, "width", "height")


def _place(side: float) -> float:
    first, last = math.log2(SIZE_EDGES[0]), math.log2(SIZE_EDGES[-1])
    return (math.log2(max(side, SIZE_EDGES[0])) - first) / (last - first)


def _across(side: float) -> float:
    return _LEFT + _place(side) * (_WIDTH - _LEFT - _RIGHT)


def _down(side: float) -> float:
    return _HEIGHT - _BOTTOM - _place(side) * (_HEIGHT - _TOP - _BOTTOM)


def _svg(
    words: str,
    shapes: Sequence[str],
    along: Sequence[tuple[float, str]],
    upwards: Sequence[tuple[float, str]],
    x_name: str,
    y_name: str,
) -> str:
    base = _HEIGHT - _BOTTOM
    texts = [
        f'<text x="{x:.1f}" y="{base + 15}" text-anchor="middle">{text}</text>' for x, text in along
    ]
    texts += [
        f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        for y, text in upwards
    ]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    texts.append(f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">{x_name}</text>')
    texts.append(
        f'<text x="12" y="{base / 2}" text-anchor="middle" '
        f'transform="rotate(-90 12 {base / 2})">{y_name}</text>'
    )
    frame = f'<path class="axis" d="M{_LEFT} {_TOP}V{base}H{_WIDTH - _RIGHT}"/>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{words}">'
        f"<title>{words}</title>{''.join(shapes)}{frame}{''.join(texts)}</svg>"
    )
