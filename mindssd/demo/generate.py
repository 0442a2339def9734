"""The demo data set: pictures of a coral reef, drawn here, in COCO 2017's layout.

Five classes of animals in many sizes and poses, before and behind plants and one another, for
trying everything out without a download. Nothing is read: each picture follows from the seed and
its number alone.
"""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mindssd.demo.scene import SPLITS, draw_scene
from mindssd.demo.species import ANIMALS
from mindssd.errors import DatasetError
from mindssd.types import ImageSize

CLASS_NAMES: tuple[str, ...] = tuple(ANIMALS)
"""In the order of their category ids, which count from 1."""

_VERSION = 2  # of the drawings: a data set of another version is drawn again
_MARKER = "demo.json"
_PARTIAL = ".partial"
_JPEG_QUALITY = 90
_LEAST_SIDE = 64

Progress = Callable[[int, int], None]
"""Called with the number of pictures drawn so far and of all pictures."""


@dataclass(frozen=True)
class _Parameters:
    """What decides the data set's content; kept beside it."""

    version: int
    seed: int
    num_train: int
    num_val: int
    height: int
    width: int

    def num_images(self, split: str) -> int:
        return self.num_train if split == "train" else self.num_val


def generate_demo(
    data_dir: Path,
    num_train: int = 600,
    num_val: int = 100,
    seed: int = 0,
    image_size: ImageSize = (240, 320),
    num_workers: int = 0,
    progress: Progress | None = None,
) -> bool:
    """Draw the demo data set into a folder, unless it is there already; tell whether it was drawn.

    `image_size` is (height, width). The files are the same for any `num_workers`: 0 draws in this
    process, more in that many others (which import the main module, so that a script needs its
    `if __name__ == "__main__"`). A generation that was broken off, or one with other parameters,
    is drawn anew; until the last picture is there the folder has no annotations. DatasetError
    where the folder holds something else, or a parameter is out of range.
    """
    height, width = image_size
    if min(num_train, num_val) < 1:
        raise DatasetError(
            f"demo of {num_train} training and {num_val} validation images; expected 1 or more"
        )
    if min(height, width) < _LEAST_SIDE:
        raise DatasetError(
            f"demo images of {height}x{width}; expected {_LEAST_SIDE} or more a side"
        )
    if seed < 0:
        raise DatasetError(f"demo seed {seed}; expected 0 or more")
    parameters = _Parameters(_VERSION, seed, num_train, num_val, height, width)
    found = _read_marker(data_dir)
    if found == {**asdict(parameters), "complete": True} and _all_there(data_dir, parameters):
        return False
    try:
        if found is not None:
            _remove(data_dir, found)
        _generate(data_dir, parameters, num_workers, progress)
    except OSError as error:
        raise DatasetError(
            f"{error.filename or data_dir}: the demo cannot be written: {error.strerror}"
        ) from error
    return True


def _generate(
    data_dir: Path, parameters: _Parameters, num_workers: int, progress: Progress | None
) -> None:
    (data_dir / "annotations").mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        (data_dir / f"{split}2017").mkdir(exist_ok=True)
    _write(data_dir / _MARKER, json.dumps({**asdict(parameters), "complete": False}).encode())
    images: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    annotations: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    pictures = [(split, index) for split in SPLITS for index in range(parameters.num_images(split))]
    drawn = _draw_all(partial(_draw_picture, parameters), pictures, num_workers)
    for done, ((split, index), (jpeg, truths)) in enumerate(zip(pictures, drawn, strict=True), 1):
        (data_dir / f"{split}2017" / _file_name(index)).write_bytes(jpeg)
        images[split].append(
            {
                "id": index + 1,
                "file_name": _file_name(index),
                "height": parameters.height,
                "width": parameters.width,
            }
        )
        for truth in truths:
            identity = {"id": len(annotations[split]) + 1, "image_id": index + 1, "iscrowd": 0}
            annotations[split].append({**identity, **truth})
        if progress:
            progress(done, len(pictures))
    categories = [
        {"id": number, "name": name, "supercategory": "animal"}
        for number, name in enumerate(CLASS_NAMES, 1)
    ]
    for split in SPLITS:
        content = {
            "info": {"description": "mindssd demo: a drawn coral reef", "version": str(_VERSION)},
            "images": images[split],
            "annotations": annotations[split],
            "categories": categories,
        }
        _write(_annotation_file(data_dir, split), json.dumps(content).encode())
    _write(data_dir / _MARKER, json.dumps({**asdict(parameters), "complete": True}).encode())


def _draw_picture(
    parameters: _Parameters, picture: tuple[str, int]
) -> tuple[bytes, list[dict[str, Any]]]:
    """Draw a picture: its JPEG file, and its annotations but for their ids."""
    image, seen = draw_scene(*picture, parameters.seed, (parameters.height, parameters.width))
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    truths = []
    for truth in seen:
        truths.append(
            {
                "category_id": CLASS_NAMES.index(truth.class_name) + 1,
                "bbox": cv2.boundingRect(truth.visible.astype(np.uint8)),
                "area": int(np.count_nonzero(truth.visible)),
                "visible_share": round(truth.visible_share, 4),
            }
        )
    return jpeg.tobytes(), truths


def _draw_all(
    draw: Callable[[tuple[str, int]], tuple[bytes, list[dict[str, Any]]]],
    pictures: list[tuple[str, int]],
    num_workers: int,
) -> Iterator[tuple[bytes, list[dict[str, Any]]]]:
    """Draw the pictures in their order, here or in worker processes."""
    if num_workers == 0:
        yield from map(draw, pictures)
        return
    # Spawned: a fork would copy whatever threads and device handles the caller has.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        num_workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        try:
            yield from pool.map(draw, pictures, chunksize=8)
        finally:
            pool.shutdown(cancel_futures=True)  # where the caller stops early


def _file_name(index: int) -> str:
    return f"{index + 1:012d}.jpg"


def _annotation_file(data_dir: Path, split: str) -> Path:
    return data_dir / "annotations" / f"instances_{split}2017.json"


def _write(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    partial_path = path.with_name(path.name + _PARTIAL)
    partial_path.write_bytes(content)
    partial_path.replace(path)


def _read_marker(data_dir: Path) -> dict[str, Any] | None:
    """Read what an earlier generation left; None for a folder that is absent or empty."""
    marker = data_dir / _MARKER
    try:
        content = json.loads(marker.read_bytes())
        if isinstance(content, dict) and all(
            isinstance(content.get(f"num_{split}"), int) for split in SPLITS
        ):
            return content
    except FileNotFoundError:
        if not data_dir.exists() or (data_dir.is_dir() and _is_unused(data_dir)):
            return None
    except (OSError, ValueError):
        pass
    raise DatasetError(
        f"{data_dir}: holds something other than the demo; expected a new or an empty folder"
    )


def _is_unused(data_dir: Path) -> bool:
    """Tell whether a folder holds no files but what a generation broken off at once may leave."""
    return not any(set(files) - {_MARKER + _PARTIAL} for _, _, files in os.walk(data_dir))


def _all_there(data_dir: Path, parameters: _Parameters) -> bool:
    """Tell whether every file of a finished data set is still there."""
    for split in SPLITS:
        folder = data_dir / f"{split}2017"
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        wanted = {_file_name(index) for index in range(parameters.num_images(split))}
        if not wanted <= names or not _annotation_file(data_dir, split).is_file():
            return False
    return True


def _remove(data_dir: Path, found: dict[str, Any]) -> None:
    """Remove an earlier generation's files, and none but those."""
    for split in SPLITS:
        _annotation_file(data_dir, split).unlink(missing_ok=True)
    for split in SPLITS:
        for index in range(int(found[f"num_{split}"])):
            (data_dir / f"{split}2017" / _file_name(index)).unlink(missing_ok=True)
