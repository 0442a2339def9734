"""The likely mistakes as one page: each kind's likeliest, with the label and what was found."""

from collections.abc import Sequence

import numpy as np

from mindssd.data.dataset import DetectionDataset
from mindssd.drawing.visualize import Mark
from mindssd.pages import html
from mindssd.pages.pictures import CLOSE, Album
from mindssd.review.listed import LIST, Entry
from mindssd.review.mistakes import KINDS, Mistake
from mindssd.review.trainings import OutOfFold

LABEL, FOUND = (240, 140, 40), (50, 150, 255)
"""Orange and blue are told apart by all eyes; the label is dashed besides."""

OF_A_KIND = 60
"""Shown of each kind."""


def page(name: str, listed: Sequence[Entry], dataset: DetectionDataset, found: OutOfFold) -> str:
    """The page as text."""
    album = Album()
    likeliest = sum(entry.mistake.probability >= 0.5 for entry in listed)
    rows = []
    for kind, words in KINDS.items():
        of_kind = [entry.mistake.probability for entry in listed if entry.mistake.kind == kind]
        counts = [len(of_kind), sum(value >= 0.5 for value in of_kind)]
        expected = f"{sum(of_kind):.0f}"
        rows.append([html.text(words), *(f"{count:,}" for count in counts), expected])
    body = [
        f"<header><h1>{html.text(name)}: labels that look wrong</h1>",
        f"<p>{html.text(found.words())}; {len(dataset):,} images</p></header>",
        '<section class="advice"><h2>What to do</h2>',
        html.bullets(
            [
                f"{len(listed):,} labels and places are worth a look, {likeliest:,} of them "
                "likelier wrong than right.",
                f"Write accept or reject into the column decision of {LIST}, and "
                "mindssd review --apply writes a corrected copy.",
                "The dashed orange box is the label, the blue one what models found that were not "
                "trained on the image.",
            ]
        ),
        html.table(["kind", "listed", "likelier than not", "expected in all"], rows),
        "</section>",
    ]
    for kind, words in KINDS.items():
        chosen = [entry for entry in listed if entry.mistake.kind == kind]
        figures = [_figure(entry, dataset, album) for entry in chosen[:OF_A_KIND]]
        more = len(chosen) - OF_A_KIND
        rest = f"<p>{more:,} more of this kind are in {LIST}.</p>" if more > 0 else ""
        title = f"{html.text(words[0].upper() + words[1:])}"
        body += html.section(title, [html.figures(figures, "small"), rest] if figures else [])
    if album.num_left_out:
        body.append(
            f"<p>{album.num_left_out} more pictures would have made the page too large.</p>"
        )
    return html.page(f"{name}: mindssd review", body)


def _figure(entry: Entry, dataset: DetectionDataset, album: Album) -> str:
    mistake = entry.mistake
    marks = []
    if mistake.found_box is not None and mistake.found_class is not None:
        named = dataset.class_names[mistake.found_class]
        marks.append(Mark(np.array(mistake.found_box), f"found {named}", FOUND))
    if mistake.box is not None and mistake.class_id is not None:
        named = dataset.class_names[mistake.class_id]
        marks.append(Mark(np.array(mistake.box), f"label {named}", LABEL, is_dashed=True))
    corners = np.array([mark.box for mark in marks])
    around = np.concatenate([corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)])
    address = album.marked(dataset, mistake.image, marks, around, CLOSE)
    return html.figure(address, _words(entry, dataset))


def _words(entry: Entry, dataset: DetectionDataset) -> str:
    m: Mistake = entry.mistake
    said = ""
    if m.class_id is not None:
        said = dataset.class_names[m.class_id]
    if m.found_class is not None and m.kind in ("missing", "class"):
        found = dataset.class_names[m.found_class]
        said = f"{said}, found {found}" if said else found
    score = f"found with score {m.score:.2f}" if m.found_box else f"support {m.score:.2f}"
    return f"{m.probability:.0%} · {said} · {score} · {dataset.file_names[m.image]} · {entry.id}"
