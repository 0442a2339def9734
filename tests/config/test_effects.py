"""What changes nothing is refused where it was just asked for, and remarked upon in a run."""

from pathlib import Path

import msgspec
import pytest

from mindssd.config.effects import (
    ADDITIONS,
    CHOICES,
    MOSAIC,
    STAND_INS,
    SWITCHES,
    WINDOWS,
    remarks,
)
from mindssd.config.keys import KEYS
from mindssd.config.load import load_config, recipe_names
from mindssd.errors import ConfigError

RECIPE = "ssd_mobilenetv2"


def test_what_needs_and_what_is_needed_are_keys():
    pairs = {
        **SWITCHES,
        **STAND_INS,
        **ADDITIONS,
        **{key: choice for key, (choice, _) in CHOICES.items()},
    }
    assert set(pairs) | set(pairs.values()) | WINDOWS | {MOSAIC} <= set(KEYS)


@pytest.mark.parametrize(
    ("overrides", "needed"),
    [
        (["augment.zoom_out_max=3"], "augment.zoom_out_probability"),
        (["augment.scale_jitter=[0.5, 2]"], "augment.scale_jitter_probability"),
        (
            ["augment.crop_probability=0", "augment.crop_scale=[0.5, 1]"],
            "augment.crop_probability",
        ),
        (["augment={colour_probability: 0, brightness: 0.2}"], "augment.colour_probability"),
        (["augment={colour_probability: 0, hue: 0.1}"], "augment.colour_probability"),
        (["augment.blur_sigma=[1, 2]"], "augment.blur_probability"),
        (["augment.copy_paste_cover=0.5"], "augment.copy_paste_probability"),
        (
            ["schedule.warmup_start=0.002", "schedule.warmup_epochs=0"],
            "schedule.warmup_epochs",
        ),
    ],
)
def test_a_setting_that_another_turns_off_is_refused(overrides, needed):
    with pytest.raises(ConfigError, match=f"changes nothing while {needed} is 0"):
        load_config(RECIPE, overrides)
    load_config(RECIPE, [*overrides, f"{needed}=0.5"])


@pytest.mark.parametrize(
    ("overrides", "idle"),
    [
        (
            ["class_map={auto: car}"],
            "class_map changes nothing while initial_weights is null",
        ),
        (
            ["class_map.auto=car"],
            "class_map.auto changes nothing while initial_weights is null",
        ),
        (
            ["matching.nearest_cells=5"],
            "matching.nearest_cells changes nothing while matching.assignment is iou",
        ),
        (
            ["matching.assignment=atss", "matching.iou_threshold=0.4"],
            "matching.iou_threshold changes nothing while matching.assignment is atss",
        ),
        (
            ["loss.focal_alpha=0.5", "loss.class_kind=quality_focal"],
            "loss.focal_alpha changes nothing while loss.class_kind is quality_focal",
        ),
        (
            ["optimizer={second_momentum: 0.99}"],
            "optimizer.second_momentum changes nothing while optimizer.method is sgd",
        ),
        (
            ["epochs=3", "schedule.total_steps=100"],
            "epochs changes nothing while schedule.total_steps is 100",
        ),
        (
            ["schedule.warmup_epochs=3", "schedule.warmup_steps=0"],
            "schedule.warmup_epochs changes nothing while schedule.warmup_steps is 0",
        ),
        (
            ["schedule.warmup_start=0.002", "schedule.warmup_steps=0"],
            "schedule.warmup_start changes nothing while schedule.warmup_steps is 0",
        ),
    ],
)
def test_a_setting_of_another_choice_than_is_made_is_refused(
    overrides: list[str], idle: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{RECIPE}: {idle}$"):
        load_config(RECIPE, overrides)


@pytest.mark.parametrize("key", sorted(WINDOWS))
def test_where_every_image_is_a_mosaic_what_it_takes_the_place_of_is_refused(key: str) -> None:
    value = "[0.5, 1]" if key in ("augment.crop_scale", "augment.scale_jitter") else "1"
    on = ["augment.zoom_out_probability=0.5", "augment.scale_jitter_probability=0.5"]
    with pytest.raises(
        ConfigError, match=r"changes nothing while augment\.mosaic_probability is 1"
    ):
        load_config(RECIPE, ["augment.mosaic_probability=1", f"{key}={value}"])
    load_config(RECIPE, ["augment.mosaic_probability=0.5", *on, f"{key}={value}"])


def test_turning_off_what_a_mosaic_takes_the_place_of_is_no_mistake() -> None:
    load_config(RECIPE, ["augment.mosaic_probability=1", "augment.crop_probability=0"])


@pytest.mark.parametrize(
    "overrides",
    [
        ["matching.assignment=atss", "matching.nearest_cells=5"],
        ["optimizer.method=adamw", "optimizer.second_momentum=0.99"],
        ["schedule.total_steps=100", "schedule.total_steps=null", "epochs=3"],
        ["schedule.warmup_steps=100", "schedule.warmup_start=0.002"],
    ],
)
def test_a_setting_of_the_choice_that_is_made_is_taken(overrides: list[str]) -> None:
    load_config(RECIPE, overrides)


def test_a_warm_up_in_steps_has_a_start_whatever_a_recipe_says_of_epochs(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"inherits: {RECIPE}\nschedule: {{warmup_epochs: 0}}\n")
    overrides = ["schedule.warmup_steps=100", "schedule.warmup_start=0.002"]
    assert load_config(str(recipe), overrides).schedule.warmup_start == 0.002


def test_a_length_in_steps_is_not_compared_with_epochs() -> None:
    settings = ["schedule.total_steps=9000", "schedule.warmup_steps=100", "engine=torch"]
    config = load_config(RECIPE, settings)
    assert list(remarks(msgspec.structs.replace(config, epochs=1), "torch", 100, 1)) == []


def test_a_warm_up_longer_than_the_run_is_remarked_upon_in_steps_too() -> None:
    config = load_config("small_data", ["epochs=3"])
    (line,) = remarks(config, "torch", num_images=40, num_devices=1)
    assert line.startswith("schedule.warmup_steps=50 with epochs=3, which are 15 steps: the ")
    assert list(remarks(config, "torch", num_images=400, num_devices=1)) == []


def test_what_a_recipe_says_may_be_turned_off():
    config = load_config("small_data", ["augment.crop_probability=0", "augment.brightness=0"])
    assert config.augment.crop_scale == (0.5, 1.0)
    load_config("small_data", ["augment.colour_probability=0", "augment.brightness=0"])


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_recipe_is_remarked_upon_only_where_it_lacks_a_backbone(recipe):
    config = load_config(recipe, ["backbone_ckpt_path=mobilenet_v2_100"])
    assert list(remarks(config, "torch", 1000, 1)) == []


@pytest.mark.parametrize(
    ("overrides", "engine", "remark"),
    [
        (
            ["epochs=1", "evaluation.every_epochs=1"],
            "mindspore",
            "schedule.warmup_epochs=2 with epochs=1, which are 10 steps: the learning rate never "
            "reaches schedule.learning_rate=0.05",
        ),
        (
            ["epochs=3"],
            "mindspore",
            "evaluation.every_epochs=10 with epochs=3: evaluated after the last alone",
        ),
        (
            ["backbone.frozen_layers=5"],
            "mindspore",
            "backbone.frozen_layers=5 without backbone_ckpt_path or initial_weights: these layers "
            "keep random values",
        ),
        (
            ["backbone.frozen_norm=true"],
            "torch",
            "backbone.frozen_norm=true without backbone_ckpt_path or initial_weights: BatchNorm "
            "keeps a mean of 0 and a variance of 1, which normalise nothing",
        ),
        (
            ["neck={kind: fpn, path_aggregation: true}", "backbone.out_indices=[13]"],
            "torch",
            "neck.path_aggregation=true changes nothing with one of backbone.out_indices",
        ),
        (["sync_batch_norm=true"], "torch", "sync_batch_norm=true changes nothing on one device"),
        (
            ["optimizer.loss_scale=512"],
            "torch",
            "optimizer.loss_scale=512 is MindSpore's: PyTorch's precisions need none",
        ),
    ],
)
def test_a_run_says_what_its_settings_do_not_do(overrides, engine, remark):
    assert list(remarks(load_config(RECIPE, overrides), engine, 320, 1)) == [remark]


@pytest.mark.parametrize("setting", ["patience=3", "smoothing=3"])
def test_what_several_evaluations_are_for_is_refused_with_one(setting: str) -> None:
    settings = ["evaluation.every_epochs=0", f"evaluation.{setting}"]
    idle = r"changes nothing while evaluation\.every_epochs is 0"
    with pytest.raises(ConfigError, match=idle):
        load_config(RECIPE, settings)
    load_config(RECIPE, ["evaluation.every_epochs=0", "evaluation.patience=null"])
    assert load_config(RECIPE, settings[1:]).evaluation != load_config(RECIPE).evaluation


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # 10 steps an epoch; 8 epochs, evaluated after 2, 4, 6 and 8.
        (["epochs=8", "evaluation.patience=2", "evaluation.smoothing=4"], []),
        (
            ["epochs=8", "evaluation.patience=3"],
            ["evaluation.patience=3 with 4 evaluations: the run never ends early"],
        ),
        (
            ["schedule.total_steps=71", "evaluation.patience=3"],
            ["evaluation.patience=3 with 4 evaluations: the run never ends early"],
        ),
        (
            ["epochs=8", "evaluation.smoothing=5"],
            ["evaluation.smoothing=5 with 4 evaluations: a score is the mean of all so far"],
        ),
    ],
)
def test_waiting_for_more_evaluations_than_there_are_is_remarked_upon(
    settings: list[str], expected: list[str]
) -> None:
    config = load_config(RECIPE, ["evaluation.every_epochs=2", *settings])
    said = list(remarks(config, "torch", 320, 1))
    assert len(said) == len(expected)
    assert all(line.startswith(start) for line, start in zip(said, expected, strict=True))


def test_what_does_something_is_not_remarked_upon():
    settings = ["sync_batch_norm=true", "optimizer.loss_scale=512", "backbone.frozen_layers=5"]
    config = load_config(RECIPE, [*settings, "initial_weights=a.safetensors"])
    assert list(remarks(config, "mindspore", 320, 2)) == []
