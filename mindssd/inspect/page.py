"""An inspection as one page: nothing is fetched, pictures and charts are inside."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mindssd.data.dataset import DetectionDataset
from mindssd.files import write_file
from mindssd.inspect.advice import advice, alike_words, effect_words, reach_words, typed_words
from mindssd.inspect.alike import ImageName
from mindssd.inspect.anchors import Anchors, Group
from mindssd.inspect.charts import iou_chart, size_chart
from mindssd.inspect.job import Inspection
from mindssd.inspect.suspicious import KINDS
from mindssd.pages import html
from mindssd.pages.pictures import Album

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
        f"<header><h1>{html.text(name)}</h1>",
        f"<p>{html.text(found.data_dir)}: {html.text(found.layout.words())}</p></header>",
        f'<section class="advice"><h2>What to do</h2>{html.bullets(advice(found))}</section>',
        *html.section("Parts", _parts(found)),
        *html.section("Classes", _classes(found)),
        *html.section("Samples", _samples(datasets["train"], album)),
        *html.section("Default boxes", _default_boxes(found, datasets["train"], album)),
        *html.section("Images that are nearly the same", _alike(found, datasets, album)),
        *html.section("Boxes that look like mistakes", _suspects(found, datasets, album)),
        *html.section("What reading found", _findings(found)),
    ]
    if album.num_left_out:
        body.append(
            f"<p>{album.num_left_out} more pictures would have made the page too large.</p>"
        )
    return html.page(f"{name}: mindssd inspect", body)


def _parts(found: Inspection) -> list[str]:
    columns = []
    for part in found.parts.values():
        sizes = dict.fromkeys((part.smallest_image, part.median_image, part.largest_image))
        counts = (part.num_images, part.num_boxes, part.boxes_per_image, part.num_crowds)
        figures = [f"{count:,}" for count in (*counts, part.num_empty_images)]
        columns.append([*figures, html.text(" … ".join(sizes))])
    names = ("images", "boxes", "boxes an image", "crowds", "images without boxes", "image sizes")
    rows = [[name, *cells] for name, *cells in zip(names, *columns, strict=True)]
    return [html.table(["", *map(html.text, found.parts)], rows)]


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
        rows.append([html.text(name) + bar, *figures, reached])
    return [html.table(["boxes of", *map(html.text, counts), "reached"], rows)]


def _samples(train: DetectionDataset, album: Album) -> list[str]:
    """Images spread over the set, those with boxes first."""
    with_boxes = np.flatnonzero(np.diff(train.starts))
    if not len(with_boxes):
        return []
    places = np.linspace(0, len(with_boxes) - 1, min(SAMPLES, len(with_boxes))).round().astype(int)
    chosen = [int(with_boxes[place]) for place in places]
    figures = (html.figure(album.whole(train, i), train.file_names[i]) for i in chosen)
    return [html.figures(figures)]


def _default_boxes(found: Inspection, train: DetectionDataset, album: Album) -> list[str]:
    anchors = found.anchors
    if anchors is None:
        return [f"<p>Not looked at: {html.text(found.no_anchors)}</p>"]
    parts = [
        f"<p>Of the recipe <b>{html.text(anchors.recipe)}</b>.</p>",
        html.bullets(reach_words(anchors)),
    ]
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
        html.figure(
            album.part(train, truth.image, [truth.box], [truth.class_name]),
            f"{truth.class_name}, {truth.side_at_network:g} pixels at the network’s size, best IoU "
            f"{truth.best_iou:.2f}: {truth.file_name}",
        )
        for truth in anchors.worst
    ]
    if any(worst):
        parts += ["<h3>Truths that are reached worst</h3>", html.figures(worst, "small")]
    return parts


def _groups(title: str, groups: Sequence[Group]) -> str:
    rows = [
        [
            html.text(group.name),
            f"{group.num_truths:,}",
            f"{group.share:.1%}",
            f"{group.median_iou:.2f}",
        ]
        for group in groups
    ]
    return html.table((title, "truths", "reached", "median IoU"), rows) if rows else ""


def _options(anchors: Anchors) -> list[str]:
    if not anchors.options:
        return []
    items = []
    for option in anchors.options:
        words = f"{option.kind}: {effect_words(option)}"
        note = f"; {option.note}" if option.note else ""
        mark = ' class="advised"' if option == anchors.advised else ""
        items.append(
            f"<li{mark}><code>{html.text(typed_words(option))}</code><br>"
            f"{html.text(words + note)}</li>"
        )
    return ["<h3>What would reach more</h3>", f"<ul>{''.join(items)}</ul>"]


def _alike(found: Inspection, datasets: Datasets, album: Album) -> list[str]:
    parts = [f"<p>{html.text(line)}</p>" for line in alike_words(found.alike)[:1]]

    def side(image: ImageName) -> str:
        address = album.whole(datasets[image.part], image.image, with_boxes=False)
        return html.figure(address, f"{image.part}: {image.file_name}")

    for pair in found.alike.pairs[:PAIRS]:
        mark = "pair crosses" if pair.crosses else "pair"
        parts.append(html.figures((side(pair.first), side(pair.second)), mark))
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
        parts.append(f"<h3>{count:,}: {html.text(words)}</h3>")
        figures = [
            html.figure(
                album.part(datasets[one.part], one.image, one.boxes, one.classes),
                f"{', '.join(dict.fromkeys(one.classes))}, {one.note}: {one.part} {one.file_name}",
            )
            for one in shown
        ]
        parts.append(html.figures(figures, "small"))
    return parts


def _findings(found: Inspection) -> list[str]:
    rows = [
        [
            f"{html.text(finding.what)}<br><small>{html.text(finding.example)}</small>",
            name,
            f"{finding.count:,}",
        ]
        for name, part in found.parts.items()
        for finding in part.findings
    ]
    parts = [html.table(("", "part", "count"), rows)] if rows else []
    if found.alike.unreadable:
        lines = [
            f"{one.image.part} {one.image.file_name}: {one.reason}"
            for one in found.alike.unreadable
        ]
        parts += ["<h3>Image files that cannot be read</h3>", html.bullets(lines[:50])]
        if len(lines) > 50:
            parts.append(f"<p>And {len(lines) - 50} more, which --json lists.</p>")
    return parts
