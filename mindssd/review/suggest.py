"""Unlabelled images that are worth a label, copied with what a model makes of them.

OUT/ is a data set in the form that is asked for, and besides
  index.html       the images with their pre-labels
  suggested.csv    their order, how unsure the model is, and the files that they are copies of
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mindssd.build.model import load
from mindssd.data.convert.job import WRITERS, require_apart, write_parts
from mindssd.data.convert.parts import Changes, Names, Part, Picture, Writer
from mindssd.data.similar import near_duplicates
from mindssd.data.thumbnails import read_thumbnails
from mindssd.drawing.visualize import draw
from mindssd.errors import ConfigError, DatasetError, ImageError
from mindssd.files import write_file
from mindssd.images import IMAGE_SUFFIXES, read_image
from mindssd.inference.detector import Detector
from mindssd.pages import html
from mindssd.pages.pictures import CLOSE, Album
from mindssd.review.choice import choose, features, uncertainty
from mindssd.review.editors import Box, label_studio_task
from mindssd.types import Array, Detections, ImageSize

LOWEST = 0.05
"""Detections above this tell how unsure a model is; below, it is sure that there is nothing."""

Progress = Callable[[int, int], None]


class LabelStudioWriter:
    """Tasks with predictions, and the images in a folder below the document root."""

    one_folder = True
    by_stem = False

    def __init__(self, folder: str, scores: dict[str, Array]) -> None:
        self.folder = folder
        self.scores = scores

    def image_path(self, part: str, name: str) -> str:
        return f"images/{name}"

    def fit(self, part: Part, changes: Changes) -> Part:
        return part

    def files(self, parts: list[Part]) -> Iterator[tuple[str, bytes]]:
        tasks = []
        for part in parts:
            for picture in part.pictures:
                corners = picture.boxes_xywh.copy()
                corners[:, 2:] += corners[:, :2]
                scores = self.scores[picture.name]
                boxes = [
                    Box(tuple(box), int(label) - 1, score=float(score))
                    for box, label, score in zip(
                        corners.tolist(), picture.labels, scores, strict=True
                    )
                ]
                name = f"{self.folder}/{self.image_path(part.name, picture.name)}".lstrip("/")
                size = picture.size[1], picture.size[0]
                tasks.append(
                    label_studio_task(name, size, boxes, part.class_names, "mindssd suggest")
                )
        yield "tasks.json", (json.dumps(tasks, indent=1, ensure_ascii=False) + "\n").encode()
        yield "labels.xml", _label_config(parts[0].class_names)


def _label_config(class_names: tuple[str, ...]) -> bytes:
    """What Label Studio's project is set up with: https://labelstud.io/tags/rectanglelabels."""
    labels = "".join(f'    <Label value="{html.text(name)}"/>\n' for name in class_names)
    return (
        '<View>\n  <Image name="image" value="$image"/>\n'
        f'  <RectangleLabels name="label" toName="image">\n{labels}  </RectangleLabels>\n</View>\n'
    ).encode()


FORMS = (*WRITERS, "labelstudio")


@dataclass(frozen=True)
class Settings:
    """How many images, in which form, and from which score on a detection is a pre-label."""

    count: int
    form: str = "coco"
    score: float = 0.3
    device: str | None = None
    engine: str | None = None


def suggest(
    model: str,
    folder: Path,
    out: Path,
    settings: Settings,
    say: Callable[[str], None],
    progress: Progress | None = None,
) -> list[str]:
    """Choose among a folder's images, and write them with pre-labels: their names, in order.

    ConfigError for an unknown form or an `out` that is there, DatasetError for a folder without
    images that can be read.
    """
    if settings.form not in FORMS:
        raise ConfigError(f"--form {settings.form}: expected one of {', '.join(FORMS)}")
    require_apart(folder, out)
    paths = images_of(folder)
    detector = load(
        model, score_threshold=LOWEST, device=settings.device, engine=settings.engine, batch_size=8
    )
    thumbnails = read_thumbnails([str(path) for path in paths], progress=progress)
    readable = [place for place in range(len(paths)) if place not in thumbnails.unreadable]
    if not readable:
        reason = next(iter(thumbnails.unreadable.values()))
        raise DatasetError(f"{folder}: none of its {len(paths)} images can be read ({reason})")
    if thumbnails.unreadable:
        reason = next(iter(thumbnails.unreadable.values()))
        say(f"  {len(thumbnails.unreadable)} images cannot be read: passed over ({reason})")
    found, sizes = _detect(detector, [paths[place] for place in readable], progress)
    groups = near_duplicates([str(paths[place]) for place in readable]).groups()
    copies = len(groups) - len(np.unique(groups))
    if copies:
        say(f"  {copies} images are nearly the same as another: one of each is taken")
    unsure = np.array([uncertainty(one) for one in found])
    described = features(thumbnails.grey[readable], found, sizes)
    chosen = choose(unsure, described, groups, settings.count)
    if len(chosen) < settings.count:
        say(f"  {len(chosen)} images of {settings.count} that were asked for: there are no more")
    suggested = [
        Suggested(paths[readable[place]], found[place], sizes[place], float(unsure[place]))
        for place in chosen
    ]
    _write(folder, out, settings, detector, suggested)
    say(f"{out}: {len(chosen)} of {len(paths)} images, in the form of {settings.form}")
    say(f"look at {out / 'index.html'}")
    return [one.path.name for one in suggested]


@dataclass(frozen=True, eq=False)
class Suggested:
    """An image with what was found in it."""

    path: Path
    found: Detections
    size: ImageSize
    uncertainty: float


def images_of(folder: Path) -> list[Path]:
    """All image files below a folder, by name; DatasetError where there are none."""
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; expected one with images to label")
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    )
    if not paths:
        raise DatasetError(f"{folder}: has no images")
    return paths


def _detect(
    detector: Detector, paths: list[Path], progress: Progress | None
) -> tuple[list[Detections], list[ImageSize]]:
    found: list[Detections] = []
    sizes: list[ImageSize] = []
    for done, result in enumerate(detector.predictor.stream_with_images(paths), start=1):
        if isinstance(result, ImageError):  # it was readable a moment ago
            raise result
        image, detections = result
        found.append(detections)
        sizes.append((image.shape[0], image.shape[1]))
        if progress is not None:
            progress(done, len(paths))
    return found, sizes


def _write(
    folder: Path, out: Path, settings: Settings, detector: Detector, suggested: list[Suggested]
) -> None:
    writer: Writer
    scores: dict[str, Array] = {}
    if settings.form == "labelstudio":
        writer = LabelStudioWriter(out.name, scores)
    else:
        writer = WRITERS[settings.form]()
    names = Names(writer.one_folder, writer.by_stem)
    pictures, rows = [], []
    for number, one in enumerate(suggested, start=1):
        below = one.path.relative_to(folder).as_posix()
        name = names.choose("train", below)
        kept = one.found.scores >= settings.score
        boxes = one.found.boxes[kept].astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        scores[name] = one.found.scores[kept]
        pictures.append(
            Picture(
                image_id=number,
                source=one.path,
                name=name,
                size=one.size,
                boxes_xywh=boxes.round(3),
                labels=one.found.class_ids[kept] + 1,
                areas=boxes[:, 2:].prod(axis=1).round(3),
                is_crowd=np.zeros(len(boxes), np.bool_),
            )
        )
        rows.append((number, name, below, f"{one.uncertainty:.4f}", len(boxes)))
    categories = tuple(detector.metadata.category_ids) or tuple(
        range(1, len(detector.class_names) + 1)
    )
    part = writer.fit(Part("train", detector.class_names, categories, pictures), Changes())
    write_parts(out, [part], writer, None)
    table = io.StringIO()
    lines = csv.writer(table)
    lines.writerow(("rank", "image", "copy_of", "uncertainty", "pre_labels"))
    lines.writerows(rows)
    write_file(out / "suggested.csv", table.getvalue().encode("utf-8", "backslashreplace"))
    text = _page(folder.name, settings, suggested)
    write_file(out / "index.html", text.encode("utf-8", "replace"))


def _page(name: str, settings: Settings, suggested: list[Suggested]) -> str:
    album = Album()
    figures = []
    for number, one in enumerate(suggested, start=1):
        picture = read_image(one.path)
        scale = min(1.0, 2 * CLOSE / max(picture.shape[:2]))
        side = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
        small = np.asarray(cv2.resize(picture, side, interpolation=cv2.INTER_AREA))
        found = Detections(
            one.found.boxes * scale, one.found.scores, one.found.class_ids, one.found.class_names
        )
        address = album.picture(draw(small, found, settings.score))
        words = f"{number} · uncertainty {one.uncertainty:.2f} · {one.path.name}"
        figures.append(html.figure(address, words))
    body = [
        f"<header><h1>{html.text(name)}: what to label next</h1>",
        f"<p>{len(suggested)} images, the first the one that the model is least sure of; with "
        f"pre-labels of score {settings.score:g} and more.</p></header>",
        *html.section("Images", [html.figures(figures)]),
    ]
    if album.num_left_out:
        body.append(
            f"<p>{album.num_left_out} more pictures would have made the page too large.</p>"
        )
    return html.page(f"{name}: mindssd suggest", body)
