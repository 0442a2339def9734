"""Damaged data sets of every format: what is read is a data set, and what is not, one line."""

import json
import random
from collections.abc import Mapping
from pathlib import Path

from mindssd.build.data import build_datasets
from mindssd.config.load import load_config
from mindssd.data.formats.recognise import FINDERS
from mindssd.errors import MindSSDError
from tests.data.formats.folders import write
from tests.data.formats.test_exports import COCO, CVAT, POLYGON, RECT, labelme, via
from tests.data.formats.test_voc import CAT, xml
from tests.data.formats.test_yolo import LAYOUTS

_SIGNS = [*b"{}[]<>\"':,;.-0123456789eE/\\ \n\t&%#=", 0, 0xFF]


def examples() -> dict[str, Mapping[str, str | bytes | None]]:
    """A data set of each format."""
    regions = {}
    for name in "abcdef":
        regions |= via((RECT, {"type": "cat"}), (POLYGON, {"type": "cat"}), name=f"{name}.png")
    images = {f"{n}.png": None for n in "abcdef"}
    return {
        "coco": COCO["Roboflow"],
        "yolo": LAYOUTS["Ultralytics"],
        "darknet": LAYOUTS["CVAT's YOLO 1.1, darknet's"],
        "voc": {**images, **{f"{n}.xml": xml(CAT, filename=f"{n}.png") for n in "abcdef"}},
        "labelme": {
            **images,
            **{f"{n}.json": labelme("x", ("cat", "polygon", [[1, 2], [30, 40]])) for n in "abcdef"},
        },
        "cvat": {**images, "annotations.xml": CVAT, "none.png": None, "sub/b.png": None},
        "via": {**images, "via.json": json.dumps(regions)},
        "csv": {**images, "boxes.csv": "".join(f"{n}.png,1,2,30,40,cat\n" for n in "abcdef")},
    }


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A file with a few bytes changed, taken out, put in, or its end cut off."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        if not found:
            break
        at = rng.randrange(len(found))
        match rng.randrange(5):
            case 0:
                found[at] = rng.choice(_SIGNS)
            case 1:
                found.insert(at, rng.choice(_SIGNS))
            case 2:
                del found[at : at + rng.randint(1, 30)]
            case 3:
                end = at + rng.randint(1, 30)
                found[at:end] = found[at:end] * rng.randint(2, 4)
            case 4:
                if rng.random() < 0.2:
                    del found[at:]
    return bytes(found)


def try_one(folder: Path, files: Mapping[str, str | bytes | None], rng: random.Random) -> str:
    """Write a data set with damage and read it; what was said where it could not be."""
    texts = [name for name, content in files.items() if content is not None]
    changed = dict(files)
    for name in rng.sample(texts, min(len(texts), 2)):
        content = files[name]
        assert content is not None
        data = content if isinstance(content, bytes) else content.encode()
        changed[name] = damaged(data, rng)
    write(folder, changed)
    format = rng.choice(["auto"] * 20 + list(FINDERS))
    config = load_config("ssd_mobilenetv2", [f"data_dir={folder}", f"format={format}"])
    try:
        for dataset in build_datasets(config)[:2]:
            assert all(len(record.boxes) == len(record.labels) for record in dataset)
            assert dataset.report.lines()
    except MindSSDError as error:
        assert str(error) and "\n" not in str(error)
        return str(error)
    return ""
