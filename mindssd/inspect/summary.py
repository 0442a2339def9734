"""An inspection for a person at a terminal."""

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mindssd.errors import printable
from mindssd.inspect import suspicious
from mindssd.inspect.advice import EXAMPLES, advice, alike_words, option_words, reach_words
from mindssd.inspect.job import Inspection

MOST_CLASSES = 30
"""So many classes have a row on the terminal; the other files have all."""


def print_summary(inspection: Inspection, console: Console) -> None:
    """Print it in sections, what to do at the end."""
    console.print(Group(*_sections(inspection)), soft_wrap=True)


def _sections(found: Inspection) -> list[RenderableType]:
    sections: list[RenderableType] = [
        Text(f"{printable(found.data_dir)}: {printable(found.layout.words())}"),
        Text(),
        _parts(found),
        Text(),
        _classes(found),
    ]
    for name, part in found.parts.items():
        for finding in part.findings:
            line = f"{name}: {finding.count} {finding.what} (such as {finding.example})"
            sections.append(Text(f"  {printable(line)}"))
    sections += [Text(), *_default_boxes(found), Text()]
    sections += [_heading("Images that are nearly the same"), *_bullets(alike_words(found.alike))]
    sections += [*_unreadable(found), *_suspects(found), Text()]
    sections += [_heading("What to do"), *_bullets(advice(found))]
    return sections


def _heading(text: str) -> Text:
    return Text(text, style="bold")


def _bullets(lines: Sequence[str]) -> list[RenderableType]:
    return [Text(f"  – {printable(line)}") for line in lines]


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", no_wrap=True)
    return table


def _parts(found: Inspection) -> Table:
    table = _table("part", "images", "boxes", "a picture", "crowds", "without boxes", "sizes")
    for name, part in found.parts.items():
        sizes = dict.fromkeys((part.smallest_image, part.median_image, part.largest_image))
        table.add_row(
            name,
            str(part.num_images),
            str(part.num_boxes),
            f"{part.boxes_per_image:.1f}",
            str(part.num_crowds),
            str(part.num_empty_images),
            " … ".join(sizes),
        )
    return table


def _classes(found: Inspection) -> Table:
    table = _table("class", *(f"{name} boxes" for name in found.parts), "share", "reached")
    groups = {group.name: group for group in found.anchors.by_class} if found.anchors else {}
    total = max(1, found.parts["train"].num_boxes)
    counts = found.parts["train"].boxes_of_classes
    ordered = sorted(found.class_names, key=lambda name: -counts.get(name, 0))
    for name in ordered[:MOST_CLASSES]:
        per_part = [str(part.boxes_of_classes.get(name, 0)) for part in found.parts.values()]
        group = groups.get(name)
        reached = f"{group.share:.0%}" if group and group.num_truths else "–"
        share = counts.get(name, 0) / total
        table.add_row(Text(printable(name)), *per_part, f"{share:.1%}", reached)
    if len(ordered) > MOST_CLASSES:
        table.add_row(f"… and {len(ordered) - MOST_CLASSES} more")
    return table


def _default_boxes(found: Inspection) -> list[RenderableType]:
    if found.anchors is None:
        return [_heading("Default boxes"), Text(f"  not looked at: {printable(found.no_anchors)}")]
    table = _table("  truths, at the network’s size", "truths", "reached", "median best IoU")
    for title, groups in (("side", found.anchors.by_side), ("ratio", found.anchors.by_ratio)):
        for group in groups:
            unit = "pixels" if title == "side" else "times as wide as high"
            table.add_row(
                f"  {group.name} {unit}",
                str(group.num_truths),
                f"{group.share:.1%}",
                f"{group.median_iou:.2f}",
            )
    parts = [
        _heading(f"Default boxes of {found.anchors.recipe}"),
        *_bullets(reach_words(found.anchors)),
        table,
    ]
    if found.anchors.options:
        parts += [Text("  What would reach more:")]
        parts += [Text(f"    {option_words(option)}") for option in found.anchors.options]
    return parts


def _unreadable(found: Inspection) -> list[RenderableType]:
    lines = [
        f"{one.image.part} {one.image.file_name}: {one.reason}"
        for one in found.alike.unreadable[:EXAMPLES]
    ]
    left = len(found.alike.unreadable) - len(lines)
    lines += [f"and {left} more"] if left else []
    heading = _heading("Image files that cannot be read")
    return [Text(), heading, *_bullets(lines)] if lines else []


def _suspects(found: Inspection) -> list[RenderableType]:
    lines = []
    for kind, words in suspicious.KINDS.items():
        of_parts = [
            f"{counts[kind]} in {name}"
            for name, counts in found.num_suspects.items()
            if counts.get(kind)
        ]
        if of_parts:
            first = next(s for s in found.suspects if s.kind == kind)
            lines.append(
                f"{', '.join(of_parts)}: {words} (such as {first.classes[0]} in "
                f"{first.file_name}, {first.note})"
            )
    return [Text(), _heading("Boxes to look at"), *_bullets(lines)] if lines else []
