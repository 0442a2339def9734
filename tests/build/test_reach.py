"""What is said of default boxes before training is what the matching does."""

import msgspec
import numpy as np
import pytest

from mindssd.build.data import build_dataset, matcher
from mindssd.build.fit import fit
from mindssd.build.grids import grids_at, read_grids
from mindssd.build.network import build_default_boxes
from mindssd.build.reach import ATSS_IOU, positives, reach, reach_line
from mindssd.config.load import load_config
from mindssd.data.unit_truths import unit_truths
from mindssd.geometry.boxes import pairwise_iou
from tests.build.test_fit import dataset

GRIDS = {
    "ssd_mobilenetv2": ((19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)),
    "ssd_mobilenetv3": ((19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)),
    "ssd_resnet50_fpn": ((80, 80), (40, 40), (20, 20), (10, 10), (5, 5)),
    "small_data": ((38, 38), (19, 19), (10, 10), (5, 5), (3, 3)),
}


@pytest.mark.parametrize("recipe", GRIDS)
def test_on_real_truths_it_is_what_the_matching_does(recipe, bccd_dir):
    """`match` gives a lone truth each default box over the threshold, and else its best one."""
    config = load_config(recipe, [f"data_dir={bccd_dir}"])
    val = build_dataset(config, "val")
    config, _ = fit(config, val, GRIDS[recipe])
    default_boxes, truths = build_default_boxes(config, GRIDS[recipe]), unit_truths(val)
    found = reach(config, GRIDS[recipe], truths)
    iou = pairwise_iou(truths.boxes, default_boxes.boxes)
    assert np.allclose(found.best_iou, iou.max(axis=1), atol=1e-6)
    assert (found.reached == (iou.max(axis=1) > found.threshold)).all()
    if config.matching.assignment == "iou":
        assert found.threshold == config.matching.iou_threshold == 0.5
        for box, row, reached in zip(truths.boxes[:80], iou, found.reached, strict=False):
            alone = matcher(config)(box[None], default_boxes)
            over = np.count_nonzero(row > 0.5)
            assert np.count_nonzero(alone == 0) == max(1, over)
            assert reached == (over > 0)
    # All truths of an image together, as in training.
    counts = positives(config, GRIDS[recipe], truths)
    image = truths.images == truths.images[0]
    matched = matcher(config)(truths.boxes[image], default_boxes)
    assert counts[image].tolist() == [np.count_nonzero(matched == i) for i in range(image.sum())]
    assert (counts >= 1).all()


def test_truths_of_8_pixels_are_reached_by_none():
    truths = unit_truths(dataset(1, [(1, 8, 8)] * 5))
    assert reach(load_config("ssd_mobilenetv2"), GRIDS["ssd_mobilenetv2"], truths).share == 0


def test_no_truths_are_all_reached():
    assert reach(load_config("small_data"), GRIDS["small_data"], unit_truths(dataset(1, []))).share


def test_a_run_says_in_one_line_how_many_are_reached_and_where_few_are_who_tells_more():
    config = load_config("ssd_mobilenetv2", ["data_dir=birds"])
    grids = GRIDS["ssd_mobilenetv2"]
    line = "default boxes: 3 of 3 truths (100%) have one with IoU over 0.5"
    assert reach_line(config, grids, dataset(1, [(1, 23, 23)] * 3)) == line
    assert reach_line(config, grids, dataset(1, [(1, 23, 23), (1, 4, 4)])) == (
        "default boxes: 1 of 2 truths (50%) have one with IoU over 0.5; `mindssd inspect birds` "
        "says which have none and what would help"
    )
    assert f"IoU over {ATSS_IOU:g}" in reach_line(
        load_config("small_data", ["default_boxes.grid_scale=4"]),
        GRIDS["small_data"],
        dataset(1, [(1, 23, 23)]),
    )


@pytest.mark.usefixtures("any_engine")
@pytest.mark.parametrize("recipe", ["ssd_mobilenetv2", "small_data"])
def test_grids_at_another_size_are_those_of_the_network_there(recipe, quickest_engine):
    config = load_config(recipe, [f"engine={quickest_engine}"])
    read = read_grids(config)
    assert read == GRIDS[recipe]
    for size in ((160, 224), (416, 416), (600, 350)):
        there = msgspec.structs.replace(config, image_size=size)
        assert grids_at(size, read, (300, 300)) == read_grids(there)
