"""Groups with kinds: each has the keys of its kind alone, and a key of another is named."""

import msgspec
import pytest
import yaml

from mindssd.config.keys import KEYS, KINDS
from mindssd.config.load import (
    from_tree,
    load_config,
    override,
    read_training_settings,
    to_tree,
    to_yaml,
    training_settings,
)
from mindssd.config.schema import (
    Config,
    ExtrasNeckConfig,
    FPNNeckConfig,
    GridBoxesConfig,
    PerLevelHeadConfig,
    SharedHeadConfig,
)
from mindssd.errors import ConfigError

BEFORE = {
    "neck": {
        "kind": "fpn",
        "extra_channels": [512, 256, 256, 128],
        "extra_expand_ratios": [0.2, 0.25, 0.5, 0.25],
        "expand_first": 6,
        "expand_first_style": "relu6",
        "fpn_channels": 48,
        "fpn_extra_levels": 1,
    },
    "head": {"kind": "shared", "tower_depth": 1, "class_prior": 0.01},
    "default_boxes": {
        "kind": "grid",
        "min_scale": 0.2,
        "max_scale": 0.95,
        "first_level_scale": 0.1,
        "aspect_ratios": [2.0, 3.0],
        "grid_scale": 2.5,
        "scales_per_octave": 2,
        "grid_aspect_ratios": [1.0, 1.5, 0.6667],
    },
}
"""Groups as 0.1.0 wrote them: every key of every kind."""


def test_each_kind_has_its_keys():
    assert KINDS == {
        "neck": ("extras", "fpn"),
        "head": ("per_level", "shared"),
        "default_boxes": ("paper", "grid"),
    }
    assert KEYS["neck.fpn_channels"].kinds == ("fpn",)
    assert KEYS["head.class_prior"].kinds == ("per_level", "shared")
    assert KEYS["schedule.learning_rate"].kinds == ()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["neck.fpn_channels=64"], "neck.fpn_channels belongs to neck.kind=fpn, and neck.kind is "),
        (["head.tower_depth=1"], "head.tower_depth belongs to head.kind=shared, and head.kind is "),
        (["default_boxes.grid_scale=4"], "default_boxes.grid_scale belongs to default_boxes.kind="),
        (
            ["neck.kind=fpn", "neck.extra_channels=[64]"],
            "neck.extra_channels belongs to neck.kind=extras, and neck.kind is fpn",
        ),
        (["neck.extra_channels=[64]", "neck.kind=fpn"], "belongs to neck.kind=extras"),
        (["neck={kind: fpn, expand_first: 6}"], "neck.expand_first belongs to neck.kind=extras"),
        (["neck={fpn_channels: 64}"], "neck.fpn_channels belongs to neck.kind=fpn"),
        (["neck.kind=3"], "neck.kind=3: expected one of extras, fpn"),
        (["neck.kind=[fpn]"], "neck.kind=['fpn']: expected one of extras, fpn"),
        (["head.kind=null"], "head.kind=None: expected one of per_level, shared"),
        (["neck=null"], "neck is a group"),
        (["neck.fpn_chanels=64"], "unknown key neck.fpn_chanels; did you mean neck.fpn_channels?"),
    ],
)
def test_a_key_of_another_kind_is_refused_and_says_which(overrides, message):
    """Also where its value is that kind's default: somebody meant it."""
    with pytest.raises(ConfigError) as caught:
        load_config("ssd_mobilenetv2", overrides)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_another_kind_starts_afresh_but_for_what_both_have():
    config = load_config("ssd_mobilenetv3", ["neck.kind=fpn", "head.kind=shared"])
    assert config.neck == FPNNeckConfig()
    assert config.head == SharedHeadConfig(class_prior=0.01)  # the recipe's
    small = load_config("small_data", ["neck.kind=extras", "head.kind=per_level"])
    assert small.neck == ExtrasNeckConfig()
    assert small.head == PerLevelHeadConfig(class_prior=0.01)


def test_the_kind_that_it_is_said_again_changes_nothing():
    assert load_config("small_data", ["neck.kind=fpn"]) == load_config("small_data")


def test_a_file_that_changes_the_kind_starts_afresh_too(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("inherits: ssd_mobilenetv3\nneck: {kind: fpn, fpn_channels: 64}\n")
    assert load_config(str(path)).neck == FPNNeckConfig(fpn_channels=64)
    path.write_text("inherits: small_data\ndefault_boxes: {kind: paper}\nneck: {kind: extras}\n")
    assert load_config(str(path), ["neck.expand_first=4"]).neck == ExtrasNeckConfig(expand_first=4)
    path.write_text("inherits: small_data\nneck: {kind: extras, fpn_channels: 64}\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: neck\.fpn_channels belongs to neck\.kind"):
        load_config(str(path))


def test_a_group_without_its_kind_is_of_the_default_one(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("neck: {expand_first: 4}\n")
    assert load_config(str(path)).neck == ExtrasNeckConfig(expand_first=4)


def test_a_configuration_says_the_kind_and_no_key_of_another():
    tree = to_tree(load_config("small_data"))
    of_a_pyramid = msgspec.structs.asdict(FPNNeckConfig(fpn_channels=64))
    assert tree["neck"] == {"kind": "fpn", **of_a_pyramid}
    assert yaml.safe_load(to_yaml(load_config("small_data")))["neck"] == tree["neck"]
    assert "neck.extra_channels" not in training_settings(load_config("small_data"))


@pytest.mark.parametrize(
    "others",
    [
        {},
        # Without effect then, as it is now.
        {"neck": {"extra_channels": [64], "expand_first_style": "mobilenet_v3"}},
    ],
)
def test_what_0_1_0_wrote_of_all_kinds_loses_those_of_the_others(tmp_path, others):
    tree = {group: values | others.get(group, {}) for group, values in BEFORE.items()}
    config = from_tree(tree, "the model", version=1)
    assert config.neck == FPNNeckConfig(fpn_channels=48, fpn_extra_levels=1)
    assert config.head == SharedHeadConfig(class_prior=0.01, tower_depth=1)
    assert config.default_boxes == GridBoxesConfig(
        grid_scale=2.5, grid_aspect_ratios=(1.0, 1.5, 0.6667)
    )
    path = tmp_path / "config.yaml"  # of a run
    path.write_text(yaml.safe_dump(tree))
    assert load_config(str(path)) == config
    assert load_config(str(path), ["neck.fpn_channels=32"]).neck.fpn_channels == 32
    with pytest.raises(ConfigError, match=r"neck\.expand_first belongs to neck\.kind=extras"):
        override(config, ["neck.expand_first=6"])


def test_a_checkpoints_settings_of_0_1_0_are_those_of_today():
    config = from_tree(BEFORE, "the model", version=1)
    before = training_settings(Config()) | {
        f"{group}.{key}": value for group, values in BEFORE.items() for key, value in values.items()
    }
    as_json = msgspec.json.decode(msgspec.json.encode(before))
    assert read_training_settings(as_json, "last/", version=1) == training_settings(config)
