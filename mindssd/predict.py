"""Detect in files and write what was found: drawn images and JSON."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import msgspec
from rich.console import Console
from rich.progress import Progress

from mindssd.detector import Detector, load
from mindssd.errors import ImageError, MindSSDError
from mindssd.evaluation.coco_results import detections_to_coco
from mindssd.files import write_file
from mindssd.types import Array
from mindssd.visualize import contact_sheet, draw

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
"""What counts as an image in a folder; a file given by name may be called anything."""

SHEET_IMAGES = 24
"""A contact sheet shows at most so many."""

_SHEET, _JSON = "contact_sheet.jpg", "detections.json"
_RESERVED = (_SHEET, _JSON)


def find_images(sources: Sequence[str]) -> list[Path]:
    """Images named, in named folders, and matched by globs: each once, in order.

    ImageError for a name that is nothing, a folder without images and a glob without matches.
    """
    found: dict[Path, None] = {}
    for source in sources:
        paths = list(_expand(source))
        if not paths:
            raise ImageError(f"{source}: no images there ({', '.join(sorted(IMAGE_SUFFIXES))})")
        found.update(dict.fromkeys(paths))
    return list(found)


def _expand(source: str) -> Iterator[Path]:
    source = os.path.expanduser(source)  # noqa: PTH111 (a glob is no path)
    path = Path(source)
    if path.is_dir():
        yield from sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    elif path.exists():
        yield path
    elif glob.has_magic(source):
        # Path.glob refuses absolute patterns.
        matches = glob.glob(source, recursive=True)  # noqa: PTH207
        yield from sorted(path for path in map(Path, matches) if path.is_file())
    else:
        raise ImageError(f"{source}: no such file or folder")


def predict_files(
    model: Path,
    sources: Sequence[str],
    out: Path,
    score_threshold: float,
    sheet: bool,
    device: str | None,
    console: Console,
    engine: str | None = None,
) -> list[ImageError]:
    """Detect in every image of `sources`; return the errors of those that could not be read.

    Writes `out/NAME` with detections drawn for each image, `out/detections.json`, and with `sheet`
    `out/contact_sheet.jpg`. MindSSDError, before anything is done, where one of these is a source.
    """
    paths = find_images(sources)
    out = out.expanduser()
    names = _output_names(paths)
    _require_other_files(paths, [out / name for name in (*names.values(), *_RESERVED)])
    detector = load(model, score_threshold=score_threshold, device=device, engine=engine)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MindSSDError(
            f"{out}: cannot be made ({error.strerror}); choose another --out"
        ) from error
    errors: list[ImageError] = []
    drawn: list[Array] = []
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("detecting", total=len(paths))
        results = detector.predictor.stream_with_images(paths)
        for path, result in zip(paths, results, strict=True):
            progress.advance(task)
            if isinstance(result, ImageError):
                errors.append(result)
                console.print(f"skipped: {result}", highlight=False, soft_wrap=True)
                continue
            image, detections = result
            picture = draw(image, detections, score_threshold)
            _write_image(out / names[path], picture)
            if len(drawn) < SHEET_IMAGES:
                drawn.append(picture)
            height, width = image.shape[:2]
            image_id = len(images) + 1
            name = os.fsencode(path).decode("utf-8", "replace")  # JSON is UTF-8
            images.append({"id": image_id, "file_name": name, "width": width, "height": height})
            found = detections_to_coco(image_id, detections, detector.metadata.category_ids)
            annotations += _as_annotations(found, len(annotations) + 1)
    _write_json(out / _JSON, detector, images, annotations)
    if sheet and drawn:
        _write_image(out / _SHEET, contact_sheet(drawn))
    console.print(
        f"{len(annotations)} detections in {len(images)} images: {out}"
        + (f"; {len(errors)} files skipped" if errors else ""),
        highlight=False,
        soft_wrap=True,
    )
    return errors


def _output_names(paths: Sequence[Path]) -> dict[Path, str]:
    """The file's own name; a number is added where two folders have the same."""
    names: dict[Path, str] = {}
    taken = set(_RESERVED)
    for path in paths:
        suffix = path.suffix if path.suffix.lower() in {".jpg", ".jpeg", ".png"} else ".jpg"
        name, number = f"{path.stem}{suffix}", 2
        while name.casefold() in taken:  # some file systems take A.jpg and a.jpg for one file
            name, number = f"{path.stem}_{number}{suffix}", number + 1
        taken.add(name.casefold())
        names[path] = name
    return names


def _require_other_files(sources: Sequence[Path], outputs: Sequence[Path]) -> None:
    """Refuse to write over a source, under whatever name it goes."""
    originals = {_identity(source) for source in sources if source.exists()}
    for output in outputs:
        if output.exists() and _identity(output) in originals:
            raise MindSSDError(
                f"{output} is one of the sources and would be overwritten; choose another folder "
                "with --out"
            )


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _as_annotations(results: list[dict[str, Any]], first_id: int) -> list[dict[str, Any]]:
    """Add to results what makes them annotations, which `pycocotools.COCO` opens."""
    return [
        {"id": first_id + index, **result, "area": round(result["bbox"][2] * result["bbox"][3], 3)}
        | {"iscrowd": 0}
        for index, result in enumerate(results)
    ]


def _write_image(path: Path, image: Array) -> None:
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        height, width = image.shape[:2]
        raise MindSSDError(f"{path}: {width} × {height} pixels cannot be encoded as {path.suffix}")
    write_file(path, data.tobytes())


def _write_json(
    path: Path, detector: Detector, images: list[dict[str, Any]], annotations: list[dict[str, Any]]
) -> None:
    metadata = detector.metadata
    categories = [
        {"id": category_id, "name": name}
        for category_id, name in zip(metadata.category_ids, metadata.class_names, strict=True)
    ]
    tree = {"images": images, "annotations": annotations, "categories": categories}
    write_file(path, msgspec.json.format(msgspec.json.encode(tree), indent=1))
