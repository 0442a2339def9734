"""What a recipe leaves `auto` follows from the training images by rules, and can be set."""

import dataclasses

import numpy as np
import pytest
from safetensors.numpy import save_file

from mindssd.build.fit import fit, level_steps, truth_sides
from mindssd.build.model import load_model
from mindssd.build.network import recipe_of
from mindssd.config.load import load_config
from mindssd.data.check import CheckReport
from mindssd.data.dataset import DetectionDataset
from mindssd.errors import ConfigError
from mindssd.geometry.scale_fit import fitting_scale
from mindssd.weights.safetensors_file import read_model, write_model

GRIDS = ((38, 38), (19, 19), (10, 10), (5, 5), (3, 3))
"""Of `small_data`, whose image has 300 pixels: steps of 8 to 128."""


def dataset(num_images: int, boxes: list[tuple[int, float, float]], size=(300, 300)):
    """Images of one size, all boxes on the first: each a label, width and height."""
    n = len(boxes)
    return DetectionDataset(
        class_names=("a", "b"),
        category_ids=(1, 2),
        annotation_file="annotations.json",
        image_dir="images",
        report=CheckReport("annotations.json", num_images, n, 0, 0),
        image_ids=np.arange(num_images),
        file_names=[f"{i}.jpg" for i in range(num_images)],
        sizes=np.tile(np.array(size, np.int32), (num_images, 1)),
        file_sizes=np.zeros((num_images, 2), np.int32),
        starts=np.array([0] + [n] * num_images),
        boxes_xywh=np.array([[0, 0, w, h] for _, w, h in boxes], np.float64).reshape(n, 4),
        areas=np.array([w * h for _, w, h in boxes], np.float64),
        labels=np.array([label for label, _, _ in boxes], np.int32),
        is_crowd=np.zeros(n, np.bool_),
    )


@pytest.mark.parametrize(
    ("num_images", "epochs"), [(1, 480), (40, 76), (292, 28), (1000, 15), (1600, 12), (10**6, 12)]
)
def test_four_times_the_images_are_worth_twice_the_steps(num_images, epochs):
    config, said = fit(load_config("small_data"), dataset(num_images, [(1, 50, 50)]), GRIDS)
    assert config.epochs == epochs
    assert config.evaluation.every_epochs == -(-epochs // 4)
    assert said[0] == f"epochs={epochs}, for {num_images} images"


def test_what_is_set_stays_and_is_not_spoken_of():
    asked = ["epochs=3", "evaluation.every_epochs=0", "default_boxes.grid_scale=5"]
    asked = load_config("small_data", asked)
    assert fit(asked, dataset(40, [(1, 50, 50)]), GRIDS) == (asked, [])


def test_a_length_in_steps_goes_before_the_fitted_one():
    config = load_config("small_data", ["schedule.total_steps=100"])
    fitted, said = fit(config, dataset(40, [(1, 50, 50)]), GRIDS)
    assert fitted.evaluation.every_epochs == 5  # of the 20 epochs that hold 100 steps
    assert not any("epochs" in line for line in said)
    two_devices, _ = fit(config, dataset(40, [(1, 50, 50)]), GRIDS, num_devices=2)
    assert two_devices.evaluation.every_epochs == 9  # of 34 epochs, of 3 steps each


@pytest.mark.parametrize("side", [24, 30, 48, 80, 130, 250])
def test_default_boxes_are_of_the_truths_size_on_the_finest_level_that_can_be(side):
    fitted, said = fit(load_config("small_data"), dataset(40, [(1, side, side)] * 3), GRIDS)
    scale = fitted.default_boxes.grid_scale
    assert said[1].startswith(f"default_boxes.grid_scale={scale:g}, for objects of {side} to")
    sides = scale * np.array(level_steps((300, 300), GRIDS))
    assert np.abs(np.log2(sides / side)).min() < 0.07
    # Twice the size would put them on a finer level, and is more than there is to choose from.
    assert side <= 48 or scale * 2 > 6


def test_objects_below_the_finest_level_get_its_smallest_boxes():
    fitted, _ = fit(load_config("small_data"), dataset(40, [(1, 6, 6)]), GRIDS)
    assert fitted.default_boxes.grid_scale == 2.0


@pytest.mark.parametrize("median", [128, 135, 142])
def test_no_size_is_put_on_a_coarse_level_for_a_chance_meeting(median):
    """At 416 pixels the coarsest levels' steps are no octave; boxes of 2.1 cells met 135 pixels."""
    sides = median * 2 ** np.linspace(-0.5, 0.5, 41)
    steps = level_steps((416, 416), ((52, 52), (26, 26), (13, 13), (7, 7), (4, 4)))
    assert fitting_scale(sides, np.ones(41), steps) > 4


def test_every_class_counts_alike_however_many_truths_it_has():
    # Three fifths of an octave apart, so that no scale suits both.
    few, many = [(2, 30.0, 30.0)] * 10, [(1, 44.0, 44.0)] * 300

    def scale(boxes: list[tuple[int, float, float]]) -> float:
        fitted, _ = fit(load_config("small_data"), dataset(3, boxes), GRIDS)
        return fitted.default_boxes.grid_scale

    assert scale(many + few) == scale(many[:10] + few)
    sides, weights = truth_sides(dataset(3, many + few), (300, 300))
    assert weights[:300].sum() == pytest.approx(1) and weights[300:].sum() == pytest.approx(1)
    steps = level_steps((300, 300), GRIDS)
    assert fitting_scale(sides, weights, steps) != fitting_scale(sides, np.ones(310), steps)


def test_of_several_sizes_an_octave_each_counts():
    settings = ["default_boxes.grid_scale=auto", "default_boxes.scales_per_octave=2"]
    boxes = [(1, 32.0, 32.0), (1, 45.0, 45.0), (1, 64.0, 64.0)]
    fitted, _ = fit(load_config("small_data", settings), dataset(3, boxes), GRIDS)
    # Steps of 8 and 16 pixels: boxes of 32 and 45, 64 and 91.
    assert fitted.default_boxes.grid_scale == pytest.approx(4, rel=0.03)


def test_a_detector_that_is_started_from_keeps_its_scale(untrained_model, tmp_path):
    parameters, metadata = read_model(untrained_model)
    metadata.config["default_boxes"] = {"kind": "grid", "grid_scale": 2.75}
    path = tmp_path / "other.safetensors"
    write_model(path, parameters, metadata)
    config = load_config("small_data", [f"initial_weights={path}"])
    fitted, said = fit(config, dataset(40, [(1, 50, 50)]), GRIDS)
    assert fitted.default_boxes.grid_scale == 2.75
    assert said[1] == f"default_boxes.grid_scale=2.75, that of {path}"


def test_weights_without_a_scale_are_not_opened_with_a_guess(untrained_model, tmp_path):
    parameters, _ = read_model(untrained_model)
    path = tmp_path / "plain.safetensors"
    save_file(parameters, path)
    with pytest.raises(ConfigError, match=r"grid_scale is auto.*the config\.yaml of its run"):
        load_model(path, load_config("small_data"), ("a", "b"))


def test_sides_are_those_at_the_networks_size():
    sides, _ = truth_sides(dataset(1, [(1, 60, 60)], size=(600, 300)), (300, 300))
    assert sides.tolist() == pytest.approx([np.sqrt(60 * 30)])


def test_crowds_empty_boxes_and_unknown_sizes_do_not_count():
    several = dataset(1, [(1, 50, 50), (2, 0, 9), (2, 40, 40)])
    several.is_crowd[2] = True
    assert truth_sides(several, (300, 300))[0].tolist() == pytest.approx([50])
    unknown = dataclasses.replace(several, sizes=np.zeros((1, 2), np.int32))
    config, said = fit(load_config("small_data"), unknown, GRIDS)
    assert config.default_boxes.grid_scale == 4
    assert said[1].startswith("default_boxes.grid_scale=4, as the annotations do not say how")


def test_a_fitted_network_is_still_the_recipes():
    fitted, _ = fit(load_config("small_data"), dataset(40, [(1, 50, 50)]), GRIDS)
    assert recipe_of(fitted) == "small_data"


def test_no_truths_have_no_scale():
    with pytest.raises(ValueError, match="no truths"):
        fitting_scale(np.zeros(0), np.zeros(0), [8.0])
