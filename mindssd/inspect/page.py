"""An inspection as one page: nothing is fetched, pictures and charts are inside."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from mindssd.data.dataset import DetectionDataset
from mindssd.errors import printable
from mindssd.files import write_file
from mindssd.inspect.advice import advice, alike_words, effect_words, reach_words, typed_words
from mindssd.inspect.alike import ImageName
from mindssd.inspect.anchors import Anchors, Group
from mindssd.inspect.charts import iou_chart, size_chart
from mindssd.inspect.job import Inspection
from mindssd.inspect.pictures import Album
from mindssd.inspect.style import STYLE
from mindssd.inspect.suspicious import KINDS

SAMPLES = 6
"""Images of the training part that are shown as they are."""

PAIRS = 16
"""Pairs of images that are shown side by side."""

OF_A_KIND = 8
"""Suspicious boxes of a kind that are shown."""

Datasets = Mapping[str, DetectionDataset]


def write_page(inspection: Inspection, datasets: Datasets, path: Path) -> None:
    """Write the page; MindSSDError on failure."""
    write_file(path, page(inspection, datasets).encode("utf-8", "replace"))


def page(found: Inspection, datasets: Datasets) -> str:
    """The page as text."""
    album = Album()
    name = Path(found.data_dir).name or found.data_dir
    body = [
        f"<header><h1>{_text(name)}</h1>",
        f"<p>{_text(found.data_dir)}: {_text(found.layout.words())}</p></header>",
        f'<section class="advice"><h2>What to do</h2>{_list(advice(found))}</section>',
        *_section("Parts", _parts(found)),
        *_section("Classes", _classes(found)),
        *_section("Samples", _samples(datasets["train"], album)),
        *_section("Default boxes", _default_boxes(found, datasets["train"], album)),
        *_section("Images that are nearly the same", _alike(found, datasets, album)),
        *_section("Boxes that look like mistakes", _suspects(found, datasets, album)),
        *_section("What reading found", _findings(found)),
    ]
    if album.num_left_out:
        body.append(
            f"<p>{album.num_left_out} more pictures would have made the page too large.</p>"
        )
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{_text(name)}: mindssd inspect</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _section(title: str, parts: Iterable[str]) -> list[str]:
    """A section, none where it has nothing to show."""
    inside = "".join(parts)
    return [f"<section><h2>{title}</h2>{inside}</section>"] if inside else []


def _text(text: str) -> str:
    return escape(printable(text))


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(line)}</li>" for line in lines) + "</ul>"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already; the first column is words, the rest numbers."""
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide">{table}</div>'


def _figure(address: str, words: str, kind: str = "") -> str:
    if not address:
        return ""
    return (
        f'<figure class="{kind}"><img src="{address}" alt="{_text(words)}" loading="lazy">'
        f"<figcaption>{_text(words)}</figcaption></figure>"
    )


def _figures(figures: Iterable[str], kind: str = "") -> str:
    inside = "".join(figures)
    return f'<div class="figures {kind}">{inside}</div>' if inside else ""


def _parts(found: Inspection) -> list[str]:
    columns = []
    for part in found.parts.values():
        sizes = dict.fromkeys((part.smallest_image, part.median_image, part.largest_image))
        counts = (part.num_images, part.num_boxes, part.boxes_per_image, part.num_crowds)
        figures = [f"{count:,}" for count in (*counts, part.num_empty_images)]
        columns.append([*figures, _text(" … ".join(sizes))])
    names = ("images", "boxes", "boxes an image", "crowds", "images without boxes", "image sizes")
    rows = [[name, *cells] for name, *cells in zip(names, *columns, strict=True)]
    return [_table(["", *map(_text, found.parts)], rows)]


def _classes(found: Inspection) -> list[str]:
    counts = {name: part.boxes_of_classes for name, part in found.parts.items()}
    groups = {group.name: group for group in found.anchors.by_class} if found.anchors else {}
    most = max((1, *counts["train"].values()))
    rows = []
    for name in sorted(found.class_names, key=lambda name: -counts["train"].get(name, 0)):
        share = 100 * counts["train"].get(name, 0) / most
        bar = f'<span class="bar"><span style="width:{share:.1f}%"></span></span>'
        group = groups.get(name)
        reached = f"{group.share:.0%}" if group and group.num_truths else "–"
        figures = [f"{part.get(name, 0):,}" for part in counts.values()]
        rows.append([_text(name) + bar, *figures, reached])
    return [_table(["boxes of", *map(_text, counts), "reached"], rows)]


def _samples(train: DetectionDataset, album: Album) -> list[str]:
    """Images spread over the set, those with boxes first."""
    with_boxes = np.flatnonzero(np.diff(train.starts))
    if not len(with_boxes):
        return []
    places = np.linspace(0, len(with_boxes) - 1, min(SAMPLES, len(with_boxes))).round().astype(int)
    chosen = [int(with_boxes[place]) for place in places]
    figures = (_figure(album.whole(train, i), train.file_names[i]) for i in chosen)
    return [_figures(figures)]


def _default_boxes(found: Inspection, train: DetectionDataset, album: Album) -> list[str]:
    anchors = found.anchors
    if anchors is None:
        return [f"<p>Not looked at: {_text(found.no_anchors)}</p>"]
    parts = [f"<p>Of the recipe <b>{_text(anchors.recipe)}</b>.</p>", _list(reach_words(anchors))]
    if anchors.num_truths:
        parts.append(
            '<div class="charts">'
            f"<figure>{size_chart(anchors)}<figcaption>Truths by width and height, in pixels of "
            "the network’s image; circles are default boxes</figcaption></figure>"
            f"<figure>{iou_chart(anchors)}<figcaption>How well its best default box covers each "
            "truth; those left of the line are not reached</figcaption></figure></div>"
        )
    parts += [
        _groups("side, pixels", anchors.by_side),
        _groups("width / height", anchors.by_ratio),
        *_options(anchors),
    ]
    worst = [
        _figure(
            album.part(train, truth.image, [truth.box], [truth.class_name]),
            f"{truth.class_name}, {truth.side_at_network:g} pixels at the network’s size, best IoU "
            f"{truth.best_iou:.2f}: {truth.file_name}",
        )
        for truth in anchors.worst
    ]
    if any(worst):
        parts += ["<h3>Truths that are reached worst</h3>", _figures(worst, "small")]
    return parts


def _groups(title: str, groups: Sequence[Group]) -> str:
    rows = [
        [
            _text(group.name),
            f"{group.num_truths:,}",
            f"{group.share:.1%}",
            f"{group.median_iou:.2f}",
        ]
        for group in groups
    ]
    return _table((title, "truths", "reached", "median IoU"), rows) if rows else ""


def _options(anchors: Anchors) -> list[str]:
    if not anchors.options:
        return []
    items = []
    for option in anchors.options:
        words = f"{option.kind}: {effect_words(option)}"
        note = f"; {option.note}" if option.note else ""
        mark = ' class="advised"' if option == anchors.advised else ""
        items.append(
            f"<li{mark}><code>{_text(typed_words(option))}</code><br>{_text(words + note)}</li>"
        )
    return ["<h3>What would reach more</h3>", f"<ul>{''.join(items)}</ul>"]


def _alike(found: Inspection, datasets: Datasets, album: Album) -> list[str]:
    parts = [f"<p>{_text(line)}</p>" for line in alike_words(found.alike)[:1]]

    def side(image: ImageName) -> str:
        address = album.whole(datasets[image.part], image.image, with_boxes=False)
        return _figure(address, f"{image.part}: {image.file_name}")

    for pair in found.alike.pairs[:PAIRS]:
        mark = "pair crosses" if pair.crosses else "pair"
        parts.append(_figures((side(pair.first), side(pair.second)), mark))
    left = found.alike.num_pairs - PAIRS
    if left > 0:
        parts.append(f"<p>And {left} pairs more, which --json lists.</p>")
    return parts


def _suspects(found: Inspection, datasets: Datasets, album: Album) -> list[str]:
    parts = []
    for kind, words in KINDS.items():
        count = sum(counts.get(kind, 0) for counts in found.num_suspects.values())
        if not count:
            continue
        shown = [suspect for suspect in found.suspects if suspect.kind == kind][:OF_A_KIND]
        parts.append(f"<h3>{count:,}: {_text(words)}</h3>")
        figures = [
            _figure(
                album.part(datasets[one.part], one.image, one.boxes, one.classes),
                f"{', '.join(dict.fromkeys(one.classes))}, {one.note}: {one.part} {one.file_name}",
            )
            for one in shown
        ]
        parts.append(_figures(figures, "small"))
    return parts


def _findings(found: Inspection) -> list[str]:
    rows = [
        [
            f"{_text(finding.what)}<br><small>{_text(finding.example)}</small>",
            name,
            f"{finding.count:,}",
        ]
        for name, part in found.parts.items()
        for finding in part.findings
    ]
    parts = [_table(("", "part", "count"), rows)] if rows else []
    if found.alike.unreadable:
        lines = [
            f"{one.image.part} {one.image.file_name}: {one.reason}"
            for one in found.alike.unreadable
        ]
        parts += ["<h3>Image files that cannot be read</h3>", _list(lines[:50])]
        if len(lines) > 50:
            parts.append(f"<p>And {len(lines) - 50} more, which --json lists.</p>")
    return parts
