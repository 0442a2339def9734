"""Files that earlier versions wrote open, and detect what they did; limits are counted as now."""

import json
from pathlib import Path

import numpy as np
import pytest

import mindssd
from mindssd.evaluation.coco_results import detections_to_coco

PHOTO = "000000000001.jpg"


@pytest.fixture(scope="module")
def folder(models_of_before: Path) -> Path:
    """What 0.1.0 wrote: `demo.safetensors`, its exports, and its detections above 0.1."""
    return models_of_before


def require_as_before(path: Path, **settings: object) -> None:
    """The 41 that 0.1.0 shows come first; the four that it lost to its limit follow."""
    expected = json.loads((path.parent / "expected.json").read_text())["annotations"]
    detector = mindssd.load(path, score_threshold=0.1, **settings)
    ids = detector.metadata.category_ids
    found = detections_to_coco(1, detector(path.parent / PHOTO), ids)
    assert (len(found), len(expected)) == (45, 41)
    assert [f["category_id"] for f in found[:41]] == [e["category_id"] for e in expected]
    for key, tolerance in (("score", 1e-4), ("bbox", 0.05)):
        theirs = [e[key] for e in expected]
        np.testing.assert_allclose([f[key] for f in found[:41]], theirs, atol=tolerance)


def test_an_exported_model_of_before_detects_as_it_did(folder: Path) -> None:
    require_as_before(folder / "demo.onnx")


@pytest.mark.slow
def test_a_trained_model_of_before_detects_as_it_did(folder: Path) -> None:
    require_as_before(folder / "demo.safetensors", engine="torch", device="CPU")


def test_nms_that_was_put_inside_before_still_cuts_off_where_it_did(folder: Path) -> None:
    """Its 100 rows were chosen class by class; 26 of them are the better of one thing."""
    plain, inside = (
        mindssd.load(folder / name, score_threshold=0.1)(folder / PHOTO)
        for name in ("demo.onnx", "demo_nms.onnx")
    )
    assert len(inside) == 26
    np.testing.assert_allclose(inside.scores[:10], plain.scores[:10], atol=1e-4)
