"""Detections as other programs have them."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from mindssd.errors import MindSSDError
from mindssd.types import Detections

FOUND = Detections(
    boxes=np.array([[10, 20, 30.5, 60], [0, 0, 5, 5]], np.float32),
    scores=np.array([0.75, 0.5], np.float32),
    class_ids=np.array([1, 0], np.int32),
    class_names=("cat", "dog"),
    category_ids=(17, 90),
)
NONE = Detections.empty(("cat", "dog"))


def test_coco_has_the_models_category_ids_and_counts_where_there_are_none() -> None:
    assert FOUND.to_coco(42) == [
        {
            "image_id": 42,
            "category_id": 90,
            "category_name": "dog",
            "bbox": [10.0, 20.0, 20.5, 40.0],
            "score": 0.75,
        },
        {
            "image_id": 42,
            "category_id": 17,
            "category_name": "cat",
            "bbox": [0.0, 0.0, 5.0, 5.0],
            "score": 0.5,
        },
    ]
    unknown = Detections(FOUND.boxes, FOUND.scores, FOUND.class_ids, FOUND.class_names)
    assert [found["category_id"] for found in unknown.to_coco("a.jpg")] == [2, 1]
    assert NONE.to_coco(1) == []


def test_an_images_id_is_any_whole_number_and_its_name_is_text() -> None:
    ids = (7, np.int64(7), np.array([7])[0], np.uint8(7))
    assert {json.dumps(FOUND.to_coco(one)) for one in ids} == {json.dumps(FOUND.to_coco(7))}
    for neither in (None, 1.5, Path("a.jpg")):
        with pytest.raises(TypeError):
            FOUND.to_coco(neither)  # type: ignore[arg-type]


def test_those_of_some_classes_keep_their_category_ids() -> None:
    (dog,) = FOUND.of_classes(np.array([1])).to_coco(1)
    assert dog["category_id"] == 90


def test_supervision_has_the_same_boxes_scores_and_names() -> None:
    supervision = pytest.importorskip("supervision")
    theirs = FOUND.to_supervision()
    assert isinstance(theirs, supervision.Detections) and len(theirs) == 2
    np.testing.assert_array_equal(theirs.xyxy, FOUND.boxes)
    np.testing.assert_array_equal(theirs.confidence, FOUND.scores)
    assert theirs.class_id.tolist() == [1, 0]
    assert theirs["class_name"].tolist() == ["dog", "cat"]
    picture = np.zeros((80, 80, 3), np.uint8)
    drawn = supervision.BoxAnnotator().annotate(picture.copy(), theirs)
    labelled = supervision.LabelAnnotator().annotate(drawn, theirs)
    assert labelled.any()


def test_supervision_has_nothing_where_nothing_was_found() -> None:
    supervision = pytest.importorskip("supervision")
    theirs = NONE.to_supervision()
    assert len(theirs) == 0 and theirs.xyxy.shape == (0, 4)
    assert len(supervision.Detections.merge([theirs, FOUND.to_supervision()])) == 2
    assert len(FOUND.to_supervision()[np.array([True, False])]) == 1


def test_a_table_has_a_row_a_detection() -> None:
    pytest.importorskip("pandas")
    table = FOUND.to_pandas()
    assert list(table.columns) == ["class_name", "class_id", "score", "x1", "y1", "x2", "y2"]
    assert table.to_dict("records")[0] == {
        **{"class_name": "dog", "class_id": 1, "score": 0.75},
        **{"x1": 10.0, "y1": 20.0, "x2": 30.5, "y2": 60.0},
    }
    nothing = NONE.to_pandas()
    assert len(nothing) == 0 and list(nothing.dtypes) == list(table.dtypes)


@pytest.mark.parametrize("package", ["supervision", "pandas"])
def test_a_missing_package_is_one_line_that_names_the_extra(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MindSSDError) as told:
        getattr(FOUND, f"to_{package}")()
    assert str(told.value) == f"this needs {package}; pip install 'mindssd[{package}]'"


def test_tracks_go_where_the_detections_go():
    found = Detections(
        np.array([[0, 0, 4, 4], [2, 2, 8, 8]], np.float32),
        np.array([0.9, 0.5], np.float32),
        np.array([0, 1], np.int32),
        ("cat", "dog"),
        track_ids=np.array([7, 0], np.int32),
    )
    assert [one.get("track_id") for one in found.to_coco(1)] == [7, None]
    assert found.of_classes(np.array([0])).track_ids.tolist() == [7]
    pytest.importorskip("supervision")
    assert found.to_supervision().tracker_id.tolist() == [7, -1]
    pytest.importorskip("pandas")
    assert found.to_pandas()["track_id"].tolist() == [7, 0]
