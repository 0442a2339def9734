"""What `mindssd predict` writes is what its schema, in the package, says; by jsonschema."""

import copy
import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from mindssd.inference.detector import Detector
from mindssd.inference.tiling import TiledPredictor
from mindssd.predict import job
from mindssd.predict.video_writer import VideoWriter
from mindssd.predict.writing import Outputs
from tests.predict import formula

jsonschema = pytest.importorskip("jsonschema")

SCHEMA: dict[str, Any] = json.loads(
    (resources.files("mindssd.predict") / "results.schema.json").read_text(encoding="utf-8")
)


def closed(schema: Any) -> Any:
    """The schema without room for keys that it does not name."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: closed(value) for key, value in schema.items()}
    return {**parts, "additionalProperties": False} if "properties" in parts else parts


def load(path: Path, **settings: Any) -> Detector:
    tile = settings.pop("tile", None)
    detector = formula.load(path, **settings)
    if tile is None:
        return detector
    return Detector(TiledPredictor(detector.predictor, tile), detector.metadata)


def photo(path: Path, left: int, right: int) -> Path:
    picture = np.full((48, 64, 3), left, np.uint8)
    picture[:, 32:] = right
    Image.fromarray(picture).save(path)
    return path


def clip(path: Path) -> Path:
    with VideoWriter(path, (24, 32), 10) as video:
        for index in range(4):
            video.write(np.full((24, 32, 3), 40 + 60 * index, np.uint8), index / 10)
    return path


def written(folder: Path, *sources: Path, **settings: Any) -> Any:
    words = [str(source) for source in sources]
    console = Console(quiet=True)
    job.predict_files(Path("model"), words, Outputs(folder, ["json"]), settings, console)
    return json.loads((folder / "detections.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", ["images", "tiles", "video", "nothing found"])
def test_results_are_what_the_schema_says(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "load", load)
    images = [photo(tmp_path / "a.png", 220, 20), photo(tmp_path / "ü b.png", 120, 220)]
    if kind == "video":
        pytest.importorskip("av")
        images.append(clip(tmp_path / "clip.mp4"))
    if kind == "nothing found":
        images = [photo(tmp_path / "c.png", 20, 20)]
    found = written(tmp_path / "out", *images, **({"tile": 32} if kind == "tiles" else {}))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(found, SCHEMA, jsonschema.Draft202012Validator)
    jsonschema.validate(found, closed(SCHEMA), jsonschema.Draft202012Validator)
    assert len(found["images"]) == {"video": 6, "nothing found": 1}.get(kind, 2)
    assert bool(found["annotations"]) == (kind != "nothing found")
    assert any("frame" in image for image in found["images"]) == (kind == "video")


GOOD = {
    "categories": [{"id": 3, "name": "cat"}],
    "annotations": [
        {
            **{"id": 1, "image_id": 1, "category_id": 3, "category_name": "cat"},
            **{"bbox": [1, 2, 3.5, 4], "score": 0.5, "area": 14.0, "iscrowd": 0},
        }
    ],
    "images": [{"id": 1, "file_name": "a.mp4", "width": 9, "height": 9, "frame": 0, "seconds": 0}],
}


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("annotations", {"bbox": [1, 2, 3]}),
        ("annotations", {"bbox": [1, 2, 3, -4]}),
        ("annotations", {"score": 1.5}),
        ("annotations", {"category_id": "3"}),
        ("annotations", {"image_id": None}),
        ("images", {"width": 0}),
        ("images", {"file_name": ""}),
        ("categories", {"name": 3}),
    ],
)
def test_the_schema_refuses_what_is_no_result(part: str, change: dict[str, Any]) -> None:
    jsonschema.validate(GOOD, SCHEMA)
    bad = copy.deepcopy(GOOD)
    bad[part][0] |= change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, SCHEMA)


@pytest.mark.parametrize("key", ["seconds", "frame"])
def test_a_frame_has_its_number_and_its_time(key: str) -> None:
    bad = copy.deepcopy(GOOD)
    del bad["images"][0][key]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, SCHEMA)
