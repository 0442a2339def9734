"""What changes nothing is refused where it was just asked for, and remarked upon in a run."""

import pytest

from mindssd.config.effects import NEEDS, remarks
from mindssd.config.keys import KEYS
from mindssd.config.load import load_config, recipe_names
from mindssd.errors import ConfigError

RECIPE = "ssd_mobilenetv2"


def test_what_needs_and_what_is_needed_are_keys():
    assert set(NEEDS) | set(NEEDS.values()) <= set(KEYS)


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


def test_what_a_recipe_says_may_be_turned_off():
    config = load_config("small_data", ["augment.crop_probability=0", "augment.brightness=0"])
    assert config.augment.crop_scale == (0.5, 1.0)
    load_config("small_data", ["augment.colour_probability=0", "augment.brightness=0"])


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_recipe_is_remarked_upon_only_where_it_lacks_a_backbone(recipe):
    config = load_config(recipe, ["backbone_ckpt_path=mobilenet_v2_100"])
    assert list(remarks(config, "torch", num_devices=1)) == []


@pytest.mark.parametrize(
    ("overrides", "engine", "remark"),
    [
        (
            ["epochs=1", "evaluation.every_epochs=1"],
            "mindspore",
            "schedule.warmup_epochs=2 with epochs=1: the learning rate never reaches "
            "schedule.learning_rate=0.05",
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
        (["sync_batch_norm=true"], "torch", "sync_batch_norm=true changes nothing on one device"),
        (
            ["optimizer.loss_scale=512"],
            "torch",
            "optimizer.loss_scale=512 is MindSpore's: PyTorch's precisions need none",
        ),
    ],
)
def test_a_run_says_what_its_settings_do_not_do(overrides, engine, remark):
    assert list(remarks(load_config(RECIPE, overrides), engine, num_devices=1)) == [remark]


def test_what_does_something_is_not_remarked_upon():
    settings = ["sync_batch_norm=true", "optimizer.loss_scale=512", "backbone.frozen_layers=5"]
    config = load_config(RECIPE, [*settings, "initial_weights=a.safetensors"])
    assert list(remarks(config, "mindspore", num_devices=2)) == []
