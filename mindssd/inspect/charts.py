"""Charts of an inspection: the truths' sizes, and how well default boxes cover them."""

import math

from mindssd.inspect.anchors import SIZE_EDGES, Anchors
from mindssd.pages.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, svg


def iou_chart(anchors: Anchors) -> str:
    """How many truths have which best IoU, with the threshold as a line."""
    counts = anchors.iou_histogram
    most = max(1, *counts)
    step = (WIDTH - LEFT - RIGHT) / len(counts)
    span = HEIGHT - TOP - BOTTOM
    bars = []
    for place, count in enumerate(counts):
        height = span * count / most
        reached = (place + 1) / len(counts) > anchors.threshold + 1e-9
        bars.append(
            f'<rect class="{"good" if reached else "bad"}" x="{LEFT + place * step + 1:.1f}" '
            f'y="{HEIGHT - BOTTOM - height:.1f}" width="{step - 2:.1f}" height="{height:.1f}"/>'
        )
    at = LEFT + anchors.threshold * (WIDTH - LEFT - RIGHT)
    line = f'<line class="mark" x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{HEIGHT - BOTTOM}"/>'
    ticks = [(value / 5, f"{value / 5:.1f}") for value in range(6)]
    along = [(LEFT + value * (WIDTH - LEFT - RIGHT), text) for value, text in ticks]
    upwards = [(HEIGHT - BOTTOM, "0"), (float(TOP), str(most))]
    words = f"Best IoU of each truth: {anchors.share:.0%} are over {anchors.threshold:g}"
    return svg(words, [*bars, line], along, upwards, "best IoU with a default box", "truths")


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
    return svg(words, [*cells, *dots], along, upwards, "width", "height")


def _place(side: float) -> float:
    first, last = math.log2(SIZE_EDGES[0]), math.log2(SIZE_EDGES[-1])
    return (math.log2(max(side, SIZE_EDGES[0])) - first) / (last - first)


def _across(side: float) -> float:
    return LEFT + _place(side) * (WIDTH - LEFT - RIGHT)


def _down(side: float) -> float:
    return HEIGHT - BOTTOM - _place(side) * (HEIGHT - TOP - BOTTOM)
