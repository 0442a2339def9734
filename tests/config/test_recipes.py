"""Each recipe that comes with mindssd loads, explains itself and states nothing derivable."""

from importlib import resources

import pytest
import yaml

from mindssd.config.keys import KEYS, flatten
from mindssd.config.load import load_config, recipe_names, to_tree
from mindssd.config.schema import Config
from mindssd.weights.published import names_of

# What DESIGN.md says of the reference, key by key.
FACTS = {
    "ssd_mobilenetv2": {
        "image_size": 300,
        "backbone.name": "mobilenet_v2_100",
        "backbone.out_indices": (13, 18),
        "neck.kind": "extras",
        "head.kind": "per_level",
        "default_boxes.kind": "paper",
        "loss.focal_alpha": 0.75,
        "optimizer.weight_decay": 1.5e-4,
        "schedule.warmup_start": 0.001,
        "schedule.final_factor": 0.001,
    },
    "ssd_mobilenetv3": {
        "image_size": 300,
        "backbone.name": "mobilenet_v3_large_100",
        "backbone.out_indices": (12, 16),
        "neck.kind": "extras",
        "neck.expand_first_style": "mobilenet_v3",
        "head.kind": "per_level",
        "default_boxes.kind": "paper",
        "loss.focal_alpha": 0.75,
        "optimizer.weight_decay": 1.5e-4,
        "schedule.warmup_start": 0.001,
        "schedule.final_factor": 0.001,
    },
    "ssd_resnet50_fpn": {
        "image_size": 640,
        "backbone.name": "resnet50",
        "backbone.out_indices": (2, 3, 4),
        "neck.kind": "fpn",
        "head.kind": "shared",
        "default_boxes.kind": "grid",
        "loss.focal_alpha": 0.25,
        "optimizer.weight_decay": 4e-4,
        "schedule.warmup_start": 0.01333,
        "schedule.final_factor": 0.0,
    },
}
SHARED_FACTS = {
    "batch_size": 32,
    "epochs": 500,
    "loss.focal_gamma": 2.0,
    "optimizer.momentum": 0.9,
    "optimizer.loss_scale": 1024.0,
    "optimizer.decayed": "all_but_norm",
    "optimizer.ema_decay": None,
    "optimizer.clip_norm": None,
    "schedule.learning_rate": 0.05,
    "schedule.warmup_epochs": 2.0,
    "matching.iou_threshold": 0.5,
    "matching.variances": (0.1, 0.2),
    "augment.flip_probability": 0.5,
    "augment.brightness": 0.4,
    "augment.contrast": 0.4,
    "augment.saturation": 0.4,
    "augment.zoom_out_probability": 0.0,
    "normalization.mean": (0.485, 0.456, 0.406),
    "normalization.std": (0.229, 0.224, 0.225),
}


def _text(recipe: str) -> str:
    file = resources.files("mindssd.config.recipes") / f"{recipe}.yaml"
    return file.read_text(encoding="utf-8")


def _values(config: Config) -> dict:
    return dict(flatten(to_tree(config)))


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_loads(recipe):
    assert isinstance(load_config(recipe), Config)


@pytest.mark.parametrize("recipe", FACTS)
def test_a_recipe_has_the_references_values(recipe):
    config = load_config(recipe)
    facts = FACTS[recipe] | SHARED_FACTS
    values = _values(config)
    assert {key: values[key] for key in facts} == facts


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_recipe_opens_with_where_it_comes_from(recipe):
    assert _text(recipe).startswith("# ")


def _stated(tree: dict) -> dict:
    """The keys that a file states, as `group.key`, with their values."""
    return {
        f"{group}.{key}" if key else group: value
        for group, values in tree.items()
        for key, value in (values if isinstance(values, dict) else {"": values}).items()
    }


@pytest.mark.parametrize("recipe", recipe_names())
def test_no_recipe_turns_on_what_was_never_measured(recipe):
    config = load_config(recipe)
    assert config.repeat_threshold == 0
    for name in ("hue", "blur_probability", "mosaic_probability", "copy_paste_probability"):
        assert getattr(config.augment, name) == 0
    assert (config.evaluation.patience, config.evaluation.smoothing) == (None, 1)


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_recipe_never_copies_what_it_inherits(recipe):
    tree = yaml.safe_load(_text(recipe))
    inherited = _inherited(tree.pop("inherits", None))
    copied = {key for key, value in _stated(tree).items() if inherited.get(key) == value}
    assert copied == set()


def _inherited(parents: str | list[str] | None) -> dict:
    """All that is stated above, the last word of each key."""
    stated: dict = {}
    for parent in [parents] if isinstance(parents, str) else parents or []:
        above = yaml.safe_load(_text(parent))
        stated |= _inherited(above.pop("inherits", None)) | _stated(above)
    return stated


@pytest.mark.parametrize("name", names_of("detector"))
def test_a_published_detector_is_fine_tuned_as_the_network_that_it_is(name):
    config, theirs = load_config(name.replace("ssd_", "finetune_")), load_config(name)
    assert config.initial_weights == name
    for key in ("image_size", "neck", "head", "default_boxes", "matching", "loss", "normalization"):
        assert getattr(config, key) == getattr(theirs, key)
    assert config.backbone.name == theirs.backbone.name
    assert config.backbone.out_indices == theirs.backbone.out_indices
    assert config.backbone.frozen_layers > 0 and config.epochs == "auto"


def test_no_recipe_could_state_a_number_that_follows_from_others():
    """Grids, default-box counts, channels and class names follow; the schema has no key for them.

    The reference's files name `num_ssd_boxes`, `feature_size`, `steps`, `num_classes`.
    """
    keys = {key.rpartition(".")[2] for key in KEYS}
    derivable = {"num_ssd_boxes", "num_default", "feature_size", "steps", "grids", "num_classes"}
    assert keys & (derivable | {"in_channels", "backbone_channels", "classes", "class_names"}) == (
        set()
    )
