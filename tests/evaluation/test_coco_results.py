"""Detections as COCO's results format has them."""

import json

import numpy as np
import pytest

from mindssd.evaluation.coco_results import detections_to_coco
from mindssd.types import Detections

FOUND = Detections(
    boxes=np.array([[10, 20, 40.5, 60]], np.float32),
    scores=np.array([0.3], np.float32),
    class_ids=np.array([1], np.int32),
    class_names=("cat", "dog"),
)


def test_a_box_becomes_x_y_width_height_under_the_category_s_id() -> None:
    assert detections_to_coco(42, FOUND, category_ids=(3, 90)) == [
        {
            "image_id": 42,
            "category_id": 90,
            "category_name": "dog",
            "bbox": [10.0, 20.0, 30.5, 40.0],
            "score": 0.3,
        }
    ]


def test_an_image_of_no_data_set_is_named_and_categories_count_from_one() -> None:
    (result,) = detections_to_coco("photo.jpg", FOUND)
    assert (result["file_name"], result["category_id"]) == ("photo.jpg", 2)
    assert json.loads(json.dumps(result)) == result


def test_nothing_found_is_an_empty_list() -> None:
    assert detections_to_coco(1, Detections.empty(("cat",)), (1,)) == []


def test_category_ids_of_another_data_set_are_refused() -> None:
    with pytest.raises(ValueError, match="1 category ids for 2 classes"):
        detections_to_coco(1, FOUND, (3,))
