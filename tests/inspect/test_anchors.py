"""Whether a recipe's default boxes fit a data set, and which settings would fit better."""

from dataclasses import replace

import numpy as np
import pytest

from mindssd.build.fit import fit
from mindssd.build.grids import grids_at
from mindssd.build.network import image_size
from mindssd.build.reach import reach
from mindssd.config.load import load_config, override
from mindssd.data.unit_truths import unit_truths
from mindssd.inspect import mending
from mindssd.inspect.anchors import measure
from mindssd.inspect.mending import advised, options
from tests.build.test_fit import dataset
from tests.build.test_reach import GRIDS


def spread(sides: list[tuple[float, float]], size: tuple[int, int] = (480, 640)):
    """Truths of these widths and heights, at places of their own, 20 to an image."""
    rng = np.random.default_rng(0)
    boxes = [(1, *sides[i % len(sides)]) for i in range(200)]
    data = dataset(10, [], size)
    corners = rng.uniform(0, 1, (200, 2)) * (np.array(size[::-1]) - [s[1:] for s in boxes])
    return replace(
        data,
        starts=np.arange(0, 201, 20),
        boxes_xywh=np.concatenate([corners, [s[1:] for s in boxes]], axis=1),
        areas=np.ones(200),
        labels=np.ones(200, np.int32),
        is_crowd=np.zeros(200, np.bool_),
        report=replace(data.report, num_boxes=200),
    )


@pytest.fixture(autouse=True)
def other_recipes_grids(monkeypatch):
    """Known, so that no engine is needed."""
    monkeypatch.setattr(mending, "read_grids", lambda _: GRIDS["small_data"])
    monkeypatch.setattr("mindssd.inspect.anchors.read_grids", lambda c: GRIDS[_recipe_of(c)])


def _recipe_of(config) -> str:
    return "small_data" if config.matching.assignment == "atss" else "ssd_mobilenetv2"


@pytest.mark.parametrize("recipe", ["small_data", "ssd_mobilenetv2"])
def test_a_set_of_8_pixel_objects_is_told_that_none_is_reached_and_what_would(recipe):
    data = spread([(8, 8)])
    found = measure(load_config(recipe), recipe, data)
    assert (found.num_truths, found.num_reached, found.share) == (200, 0, 0.0)
    assert found.by_side[0].name == "below 8" and found.by_side[0].share == 0
    assert len(found.worst) == 10 and found.worst[0].side_at_network < 5
    assert found.advised is not None and found.advised.share > 0.9
    assert "image_size=" in " ".join(found.advised.settings)


@pytest.mark.parametrize("recipe", ["small_data", "ssd_mobilenetv2"])
def test_what_is_advised_does_what_it_says_when_typed(recipe):
    data, config = spread([(14, 20), (20, 14)]), load_config(recipe)
    for option in options(config, data, GRIDS[recipe], unit_truths(data)):
        if option.kind in ("tiles", "recipe"):
            continue
        typed = override(config, option.settings)
        grids = grids_at(image_size(typed), GRIDS[recipe], image_size(config))
        typed, _ = fit(typed, data, grids)
        assert round(reach(typed, grids, unit_truths(data)).share, 4) == option.share
        assert option.gain >= mending.ENOUGH


def test_long_objects_are_mended_by_ratios():
    data = spread([(480, 64), (64, 480)], (600, 600))
    found = options(
        load_config("ssd_mobilenetv2"), data, GRIDS["ssd_mobilenetv2"], unit_truths(data)
    )
    (boxes,) = [option for option in found if option.kind == "default boxes"]
    assert any("aspect_ratios=" in setting for setting in boxes.settings)


def test_tiles_show_small_objects_of_large_images():
    data = spread([(30, 30)], (3000, 4000))
    found = options(load_config("small_data"), data, GRIDS["small_data"], unit_truths(data))
    (tiles,) = [option for option in found if option.kind == "tiles"]
    word, tile = tiles.settings
    assert word == "--tile" and int(tile) % 32 == 0
    assert tiles.share > 0.9 and tiles.note.startswith("train with augment.crop_scale=[")


def test_what_fits_is_left_alone():
    data = spread([(100, 100)])
    assert options(load_config("small_data"), data, GRIDS["small_data"], unit_truths(data)) == []
    assert advised([]) is None


def test_a_detector_that_is_started_from_keeps_the_number_of_its_default_boxes():
    config = load_config("ssd_mobilenetv2", ["initial_weights=coco.safetensors"])
    assert list(mending._box_ratios(config)) == []


def test_a_set_without_truths_is_measured_too():
    found = measure(load_config("ssd_mobilenetv2"), "ssd_mobilenetv2", dataset(3, []))
    assert (found.num_truths, found.share, found.worst, found.options) == (0, 1.0, (), ())
