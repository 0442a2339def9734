"""Charts of a page as SVG, in its colours; each has its words for who cannot see it."""

from collections.abc import Sequence

WIDTH, HEIGHT = 460, 300
LEFT, BOTTOM, TOP, RIGHT = 46, 36, 10, 10


def svg(
    words: str,
    shapes: Sequence[str],
    along: Sequence[tuple[float, str]],
    upwards: Sequence[tuple[float, str]],
    x_name: str,
    y_name: str,
) -> str:
    """A chart of `shapes` in its frame, with ticks (place, text) along and upwards."""
    base = HEIGHT - BOTTOM
    texts = [
        f'<text x="{x:.1f}" y="{base + 15}" text-anchor="middle">{text}</text>' for x, text in along
    ]
    texts += [
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        for y, text in upwards
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    texts.append(f'<text x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{x_name}</text>')
    texts.append(
        f'<text x="12" y="{base / 2}" text-anchor="middle" '
        f'transform="rotate(-90 12 {base / 2})">{y_name}</text>'
    )
    frame = f'<path class="axis" d="M{LEFT} {TOP}V{base}H{WIDTH - RIGHT}"/>'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{words}">'
        f"<title>{words}</title>{''.join(shapes)}{frame}{''.join(texts)}</svg>"
    )
