"""A configuration becomes parts, and what does not fit together is said before anything starts."""

import numpy as np
import pytest

from mindssd.build.data import build_dataset, matcher
from mindssd.build.engine import build_cluster, build_engine, choose_engine
from mindssd.build.network import build_default_boxes, class_prior_biases, image_size, network_spec
from mindssd.build.predictor import build_predictor, model_metadata
from mindssd.build.training import batch_norms, build_plan, frozen_prefixes, step_spec
from mindssd.config.load import load_config, to_tree
from mindssd.engines.base import ExtrasNeck, FPNNeck, PerLevelHead, SharedHead
from mindssd.errors import ConfigError, DatasetError, EngineError
from mindssd.evaluation.protocol import PROTOCOLS
from mindssd.geometry.atss import match_adaptively
from mindssd.geometry.matching import match

RECIPE = "ssd_mobilenetv2"


def test_mobilenetv2s_network_has_six_levels_with_three_boxes_on_the_first():
    spec = network_spec(load_config(RECIPE), num_classes=80)
    assert (spec.backbone, spec.out_indices) == ("mobilenet_v2_100", (13, 18))
    assert spec.image_size == (300, 300)
    assert spec.neck == ExtrasNeck((512, 256, 256, 128), (0.2, 0.25, 0.5, 0.25), 6, "relu6")
    assert spec.head == PerLevelHead()
    assert spec.boxes_per_location == (3, 6, 6, 6, 6, 6)
    assert spec.num_classes == 80


def test_resnet50s_network_has_five_levels_of_six_boxes():
    spec = network_spec(load_config("ssd_resnet50_fpn"), num_classes=3)
    assert (spec.neck, spec.head) == (FPNNeck(256, 2), SharedHead(4))
    assert spec.boxes_per_location == (6, 6, 6, 6, 6)


def test_one_number_is_a_square_image_and_two_are_height_and_width():
    assert image_size(load_config(RECIPE)) == (300, 300)
    assert image_size(load_config(RECIPE, ["image_size=[200, 320]"])) == (200, 320)


def test_the_recipes_default_boxes_are_as_many_as_the_references():
    lengths = {RECIPE: (19, 10, 5, 3, 2, 1), "ssd_resnet50_fpn": (80, 40, 20, 10, 5)}
    counts = {
        recipe: len(build_default_boxes(load_config(recipe), tuple(zip(of, of, strict=True))))
        for recipe, of in lengths.items()
    }
    assert counts == {RECIPE: 1917, "ssd_resnet50_fpn": 51150}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["neck.extra_channels=[512, 256]"], "neck.extra_channels has 2 values and neck.extra_exp"),
        (["head.kind=shared"], "head.kind=shared needs levels that are alike"),
        (["head.kind=shared", "neck.kind=fpn"], "head.kind=shared needs levels that are alike"),
        (["default_boxes.min_scale=0.9", "default_boxes.max_scale=0.5"], "default_boxes: "),
    ],
)
def test_parts_that_do_not_fit_together_are_an_error(overrides, message):
    with pytest.raises(ConfigError) as caught:
        network_spec(load_config(RECIPE, overrides), num_classes=3)
    assert message in str(caught.value)


def test_a_prior_is_the_bias_of_each_class_and_background_the_rest():
    # Two boxes a cell, two classes: columns background, one, two, twice.
    parameters = {
        "head.classes.0.predict.bias": np.zeros(6, np.float32),
        "head.classes.0.predict.weight": np.zeros((6, 4, 1, 1), np.float32),
        "head.boxes.0.predict.bias": np.zeros(8, np.float32),
    }
    biases = class_prior_biases(parameters, num_classes=2, prior=0.1)
    log_odds = np.log(0.1 / 0.9)
    assert list(biases) == ["head.classes.0.predict.bias"]
    np.testing.assert_allclose(
        biases["head.classes.0.predict.bias"], [-log_odds, log_odds, log_odds] * 2, rtol=1e-6
    )


NAMES = [
    "backbone.conv1.weight",
    "backbone.bn1.gamma",
    "backbone.bn1.beta",
    "backbone.layer1.0.conv1.weight",
    "backbone.layer1.1.conv1.weight",
    "neck.lateral.0.weight",
]


def test_frozen_layers_are_the_backbones_first_in_order():
    assert frozen_prefixes(NAMES, 0) == ()
    assert frozen_prefixes(NAMES, 2) == ("backbone.conv1.", "backbone.bn1.")
    assert frozen_prefixes(NAMES, 3)[2] == "backbone.layer1."  # all of its blocks


def test_more_frozen_layers_than_there_are_is_an_error_with_the_number():
    with pytest.raises(ConfigError, match=r"frozen_layers=4: the backbone has 3 layers"):
        frozen_prefixes(NAMES, 4)


def test_frozen_norms_are_the_backbones_batch_norms_and_nothing_else():
    names = [
        "backbone.features_0.weight",
        "backbone.features_1.moving_mean",
        "backbone.features_1.gamma",
        "backbone.features_3.layers.1.moving_mean",
        "neck.output.0.norm.moving_mean",
    ]
    frozen = ("backbone.features_1.", "backbone.features_3.layers.1.")
    config = load_config(RECIPE, ["backbone={frozen_norm: true, frozen_layers: 1}"])
    assert batch_norms(config, names) == frozen
    assert step_spec(config, names).frozen_prefixes == ("backbone.features_0.", *frozen)
    assert step_spec(load_config(RECIPE), names).frozen_prefixes == ()


def test_a_backbone_without_batch_norm_has_none_to_freeze():
    config = load_config(RECIPE, ["backbone={name: convnext_tiny, frozen_norm: true}"])
    with pytest.raises(ConfigError, match=r"frozen_norm=true: convnext_tiny has no BatchNorm"):
        step_spec(config, ["backbone.norm.gamma", "neck.lateral.0.weight"])


def test_what_neck_and_head_are_made_of_reaches_the_network():
    plain = network_spec(load_config("small_data"), 2)
    assert (plain.neck, plain.head) == (FPNNeck(64, 2), SharedHead(1))
    settings = ["neck.separable=true", "neck.path_aggregation=true", "head.separable=true"]
    spec = network_spec(load_config("small_data", settings), 2)
    assert (spec.neck, spec.head) == (FPNNeck(64, 2, True, True), SharedHead(1, True))


def test_the_optimizers_settings_reach_the_step():
    config = load_config(
        RECIPE,
        [
            "loss={focal_alpha: 0.25, focal_gamma: 1.5, box_weight: 2}",
            "optimizer.clip_norm=10",
            "optimizer.ema_decay=0.99",
            "optimizer.accumulate_steps=4",
            "optimizer.decayed=weights",
            "backbone.frozen_layers=1",
        ],
    )
    spec = step_spec(config, NAMES)
    loss = spec.loss
    assert (loss.focal_alpha, loss.focal_gamma, loss.box_weight) == (0.25, 1.5, 2)
    assert (loss.class_kind, loss.box_kind, loss.class_weight) == ("focal", "smooth_l1", 1)
    assert (spec.optimizer, spec.backbone_rate) == ("sgd", 1)
    assert (spec.momentum, spec.weight_decay, spec.loss_scale) == (0.9, 1.5e-4, 1024)
    assert (spec.clip_norm, spec.ema, spec.accumulate_steps) == (10, True, 4)
    assert spec.decayed == "weights"
    assert spec.frozen_prefixes == ("backbone.conv1.",)
    assert step_spec(load_config(RECIPE), NAMES).ema is False


def test_the_other_losses_and_adamw_reach_the_step():
    config = load_config(
        RECIPE,
        [
            "loss={class_kind: quality_focal, class_weight: 0.5, box_kind: giou, box_weight: 2}",
            "loss.box_weight_by_score=true",
            "matching.variances=[0.2, 0.4]",
            "optimizer={method: adamw, second_momentum: 0.99, backbone_rate: 0.25}",
        ],
    )
    spec = step_spec(config, NAMES)
    loss = spec.loss
    assert (loss.class_kind, loss.class_weight) == ("quality_focal", 0.5)
    assert (loss.box_kind, loss.box_weight, loss.box_weight_by_score) == ("giou", 2, True)
    assert loss.variances == (0.2, 0.4)
    assert (spec.optimizer, spec.momentum, spec.second_momentum) == ("adamw", 0.9, 0.99)
    assert (spec.rate_of("backbone.conv1.weight"), spec.rate_of("head.bias")) == (0.25, 1)


def test_the_matcher_is_the_configurations():
    default_boxes = build_default_boxes(load_config("small_data"), ((38, 38), (19, 19)))
    truth = np.array([[0.1, 0.1, 0.5, 0.3]], np.float32)
    for text, expected in (
        ("{assignment: iou, iou_threshold: 0.7}", match(truth, default_boxes, 0.7)),
        ("{assignment: atss, nearest_cells: 4}", match_adaptively(truth, default_boxes, 4)),
    ):
        config = load_config("small_data", [f"matching={text}"])
        np.testing.assert_array_equal(matcher(config)(truth, default_boxes), expected)


def test_a_run_too_short_for_one_update_is_refused():
    config = load_config(RECIPE, ["epochs=1", "optimizer.accumulate_steps=4"])
    assert build_plan(config, steps_per_epoch=4).accumulate_steps == 4
    with pytest.raises(ConfigError, match="accumulate_steps=4: the run has 3 steps, so that no"):
        build_plan(config, steps_per_epoch=3)


def test_without_a_data_dir_the_way_out_is_said():
    with pytest.raises(ConfigError, match=r"data_dir is not set: give data_dir=PATH.*mindssd demo"):
        build_dataset(load_config(RECIPE), "train")


def test_a_data_dir_in_the_home_folder_may_be_written_so(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DatasetError) as caught:
        build_dataset(load_config(RECIPE, ["data_dir=~/coco"]), "train")
    assert str(caught.value).startswith(f"{tmp_path / 'coco'}: no such folder")


@pytest.fixture
def only(monkeypatch):
    """Let it look as if of the engines' packages these alone were installed."""
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)

    def install(*packages):
        monkeypatch.setattr(
            "mindssd.build.engine.find_spec", lambda name: name if name in packages else None
        )
        monkeypatch.setattr("mindssd.build.engine.OTHER_PYTHON", "")

    return install


def test_auto_is_the_engine_that_is_installed_and_of_both_mindspore(only, monkeypatch):
    only("torch")
    assert choose_engine("auto") == "torch"
    only("mindspore", "mindcv")
    assert choose_engine("auto") == "mindspore"
    only("mindspore", "mindcv", "torch")
    assert choose_engine("auto") == "mindspore"
    assert choose_engine("torch") == "torch"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")  # torchrun
    assert choose_engine("auto") == "torch"


@pytest.mark.parametrize(
    ("engine", "installed", "message"),
    [
        ("mindspore", ("mindcv",), r"is not installed; pip install 'mindssd\[mindspore\]' \("),
        ("mindspore", ("mindspore", "torch"), r"\[mindspore\]', or set engine=torch"),
        ("torch", ("mindspore", "mindcv"), r"PyTorch is not.*\[torch\]', or set engine=mindspore"),
        ("auto", (), r"'mindssd\[mindspore\]' or 'mindssd\[torch\]'"),
    ],
)
def test_a_missing_framework_says_how_to_get_it(engine, installed, message, only):
    only(*installed)
    with pytest.raises(EngineError, match=message):
        build_engine(load_config(RECIPE, [f"engine={engine}"]))


def test_where_mindspore_has_no_wheels_another_python_is_the_way_out(only, monkeypatch):
    only("torch")
    monkeypatch.setattr("mindssd.build.engine.OTHER_PYTHON", " with Python 3.11 or 3.12")
    with pytest.raises(EngineError, match=r"\[mindspore\]' with Python 3.11 or 3.12"):
        build_engine(load_config(RECIPE, ["engine=mindspore"]))


def test_pytorchs_settings_are_refused_by_mindspore(only):
    only("mindspore", "mindcv")
    for setting in ("precision=bfloat16", "sync_batch_norm=true"):
        with pytest.raises(EngineError, match=f"(?i){setting} needs engine=torch"):
            build_engine(load_config(RECIPE, [setting]))


def test_each_engine_has_its_own_way_for_processes_to_meet(only):
    only("mindspore", "mindcv", "torch")
    assert build_cluster(2, "mindspore").worker_environment(1)["MS_NODE_ID"] == "1"
    assert build_cluster(2, "torch").worker_environment(1)["RANK"] == "1"


class _Network:
    """A network of the recipe's shape that finds nothing."""

    grids = tuple((length, length) for length in (19, 10, 5, 3, 2, 1))

    def forward(self, images):
        batch = len(images)
        return np.zeros((batch, 1917, 4), np.float32), np.full((batch, 1917, 4), -9, np.float32)


def test_a_predictor_detects_by_its_selection():
    names = ("a", "b", "c")
    config = load_config(RECIPE)
    selection = PROTOCOLS["mindcv"].selection
    predictor = build_predictor(config, _Network(), names, selection, batch_size=2)
    assert predictor.postprocess.selection is selection
    assert predictor.image_size == (300, 300)
    (found,) = predictor.detect([np.zeros((20, 30, 3), np.uint8)])
    assert len(found) == 0 and found.class_names == names


def test_a_models_description_keeps_this_machines_paths_to_itself(tmp_path):
    config = load_config(RECIPE, [f"data_dir={tmp_path}/coco", f"runs_dir={tmp_path}"])
    metadata = model_metadata(
        config_tree=to_tree(config),
        config=config,
        network=_Network(),
        class_names=("a",),
        category_ids=(7,),
        metrics={"AP": 0.5, "AP_small": None},
    )
    assert str(tmp_path) not in str(metadata)
    assert metadata.category_ids == (7,)
    assert metadata.metrics == {"AP": 0.5}
    assert metadata.grids == _Network.grids
