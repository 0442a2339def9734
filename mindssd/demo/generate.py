"""Writes the demo data set: pictures of a coral reef, drawn here, in COCO 2017's layout."""

import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mindssd.demo.scene import SPLITS, draw_scene
from mindssd.demo.species import ANIMALS
from mindssd.errors import DatasetError
from mindssd.files import write_file
from mindssd.types import ImageSize

CLASS_NAMES: tuple[str, ...] = tuple(ANIMALS)
"""In the order of their category ids, which count from 1."""

_VERSION = 2  # of the drawings: a data set of another version is drawn again

Drawn = tuple[bytes, list[dict[str, Any]]]
"""A picture's JPEG file, and its annotations but for their ids."""


def generate_demo(
    data_dir: Path,
    num_train: int = 600,
    num_val: int = 100,
    seed: int = 0,
    image_size: ImageSize = (240, 320),
    num_workers: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> bool:
    """Draw the demo data set into a folder, unless it is there already; tell whether it was drawn.

    `image_size` is (height, width); `progress` is told how many pictures of how many are drawn. The
    files are the same for any `num_workers`: 0 draws in this process, more in that many others
    (which import the main module, so that a script needs its `if __name__ == "__main__"`). One
    broken off, or with other parameters, is drawn anew; until the last picture is there the folder
    has no annotations. DatasetError where it holds something else, or a parameter is out of range.
    """
    least = {"num_train": 1, "num_val": 1, "seed": 0, "height": 64, "width": 64}
    parameters = dict(zip(least, (num_train, num_val, seed, *image_size), strict=True))
    for name, value in parameters.items():
        if value < least[name]:
            raise DatasetError(f"demo with {name} {value}; expected {least[name]} or more")
    if not _make_room(data_dir, {**parameters, "version": _VERSION}):
        return False
    annotation_files, image_files = _files(data_dir, parameters)
    pictures = [(split, k) for split in SPLITS for k in range(parameters[f"num_{split}"])]
    drawn = _draw_all(partial(_draw, seed, image_size), pictures, num_workers)
    contents: dict[str, Any] = {split: {"images": [], "annotations": []} for split in SPLITS}
    size = {"height": parameters["height"], "width": parameters["width"]}
    for k, (jpeg, truths) in enumerate(drawn):
        (split, index), path = pictures[k], image_files[k]
        write_file(path, jpeg)
        images, annotations = contents[split].values()
        images.append({"id": index + 1, "file_name": path.name, **size})
        for truth in truths:
            annotations.append({"id": len(annotations) + 1, "image_id": index + 1, **truth})
        progress(k + 1, len(pictures))
    categories = [{"id": k, "name": name} for k, name in enumerate(CLASS_NAMES, 1)]
    for path, content in zip(annotation_files, contents.values(), strict=True):
        info = {"description": "mindssd demo: a drawn coral reef"}
        write_file(path, json.dumps({"info": info, **content, "categories": categories}).encode())
    return True


def _draw(seed: int, size: ImageSize, picture: tuple[str, int]) -> Drawn:
    image, truths = draw_scene(*picture, seed, size)
    _, jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    annotations = [
        {
            "category_id": CLASS_NAMES.index(truth.class_name) + 1,
            "bbox": cv2.boundingRect(truth.visible.astype(np.uint8)),
            "area": int(truth.visible.sum()),
            "iscrowd": 0,
            "visible_share": round(truth.visible_share, 4),
        }
        for truth in truths
    ]
    return jpeg.tobytes(), annotations


def _draw_all(
    draw: Callable[[tuple[str, int]], Drawn], pictures: list[tuple[str, int]], num_workers: int
) -> Iterator[Drawn]:
    """Draw the pictures in their order, here or in worker processes."""
    if num_workers == 0:
        yield from map(draw, pictures)
        return
    # Spawned: a fork would copy whatever threads and device handles the caller has.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, context, cv2.setNumThreads, (1,)) as pool:
        yield from pool.map(draw, pictures, chunksize=8)


def _files(data_dir: Path, parameters: dict[str, int]) -> tuple[list[Path], list[Path]]:
    """List the annotation files, one a split, and the pictures, all of a split after another."""
    annotations = [data_dir / "annotations" / f"instances_{split}2017.json" for split in SPLITS]
    return annotations, [
        data_dir / f"{split}2017" / f"{k + 1:012d}.jpg"
        for split in SPLITS
        for k in range(parameters[f"num_{split}"])
    ]


def _make_room(data_dir: Path, parameters: dict[str, int]) -> bool:
    """Take a folder for a data set and remove an earlier one; False if it has this one already.

    `demo.json` says what an earlier generation was; without it a folder must be absent or empty.
    Hidden files count as nothing: a generation broken off at once may leave one.
    """
    marker, found, earlier = data_dir / "demo.json", None, []
    try:
        if not all(path.name.startswith(".") for path in data_dir.glob("*")):
            found = json.loads(marker.read_bytes())
            earlier = [path for paths in _files(data_dir, found) for path in paths]
    except (OSError, ValueError, TypeError, KeyError):
        raise DatasetError(
            f"{data_dir}: holds something other than the demo; expected a new or an empty folder"
        ) from None
    if found == parameters and all(path.is_file() for path in earlier):
        return False
    try:
        for path in earlier:
            path.unlink(missing_ok=True)
        data_dir.mkdir(parents=True, exist_ok=True)
        write_file(marker, json.dumps(parameters).encode())
        for folder in ("annotations", *(f"{split}2017" for split in SPLITS)):
            (data_dir / folder).mkdir(exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{error.filename}: cannot hold the demo: {error.strerror}") from error
    return True
