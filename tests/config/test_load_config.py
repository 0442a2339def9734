"""A configuration comes from a recipe or file and overrides, and every mistake is named."""

from pathlib import Path

import msgspec
import pytest
import yaml

from mindssd.config.load import (
    from_tree,
    load_config,
    override,
    recipe_names,
    to_tree,
    to_yaml,
)
from mindssd.config.schema import Config
from mindssd.errors import ConfigError

RECIPE = "ssd_mobilenetv2"


@pytest.fixture
def write(tmp_path):
    """Write a YAML file into the test's folder and give its path as a user would type it."""

    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_an_override_is_laid_over_the_recipe():
    config = load_config(RECIPE, ["batch_size=8", "schedule.learning_rate=0.02"])
    assert (config.batch_size, config.schedule.learning_rate) == (8, 0.02)
    # and nothing else moved
    assert (config.epochs, config.schedule.warmup_start) == (500, 0.001)


def test_the_last_of_two_overrides_counts():
    assert load_config(RECIPE, ["batch_size=8", "batch_size=4"]).batch_size == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001),  # YAML 1.1 alone would read text
        ("1E-3", 0.001),
        ("5e-05", 0.00005),
        ("2", 2.0),
        (" .5", 0.5),
    ],
)
def test_a_number_may_be_written_in_any_usual_way(write, text, expected):
    assert load_config(RECIPE, [f"schedule.learning_rate={text}"]).schedule.learning_rate == (
        expected
    )
    path = write("a.yaml", f"schedule: {{learning_rate: {text}}}")
    assert load_config(path).schedule.learning_rate == expected


def test_lists_switches_and_null_are_written_as_in_yaml():
    config = load_config(
        RECIPE,
        [
            "backbone.out_indices=[2, 3, 4]",
            "image_size=[300,400]",
            "optimizer.decayed=weights",
            "optimizer.clip_norm=10",
            "optimizer.clip_norm=null",
        ],
    )
    assert config.backbone.out_indices == (2, 3, 4)
    assert config.image_size == (300, 400)
    assert config.optimizer.decayed == "weights"
    assert config.optimizer.clip_norm is None


@pytest.mark.parametrize(
    "path", ["2017", "1e5", "no", "2024-01-01", "a: b", "/data/x=y", "[a", "C:\\coco", "a #1", "07"]
)
def test_a_path_or_name_is_taken_as_typed(path):
    """YAML would make a number, a date, false or half of some of these."""
    config = load_config(RECIPE, [f"data_dir={path}", f"runs_dir={path}"])
    assert (config.data_dir, config.runs_dir) == (path, path)


def test_a_path_can_be_taken_back():
    assert load_config(RECIPE, ["data_dir=coco", "data_dir=null"]).data_dir is None
    assert load_config(RECIPE, ["data_dir=coco", "data_dir="]).data_dir is None


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("batchsize", "batch_size"),
        ("schedule.learning_rat", "schedule.learning_rate"),
        ("learning_rate", "schedule.learning_rate"),  # the right key in the wrong place
        ("augment.flip", "augment.flip_probability"),
        ("backbone_checkpoint_path", "backbone_ckpt_path"),
    ],
)
def test_an_unknown_key_names_the_nearest(write, key, nearest):
    group, _, last = key.rpartition(".")
    text = f"{group}: {{{last}: 1}}" if group else f"{last}: 1"
    with pytest.raises(ConfigError) as caught:
        load_config(RECIPE, [f"{key}=1"])
    assert str(caught.value) == f"{RECIPE}: unknown key {key}; did you mean {nearest}?"
    path = write("a.yaml", text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}: unknown key {key}; did you mean {nearest}?"


def test_a_key_like_no_other_is_just_unknown():
    with pytest.raises(ConfigError, match=r"^ssd_mobilenetv2: unknown key qqq$"):
        load_config(RECIPE, ["qqq=1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_size=x", "batch_size='x': expected integer, got text"),
        ("batch_size=2.5", "batch_size=2.5: expected integer, got number"),
        ("batch_size=0", "batch_size=0: expected integer >= 1"),
        ("batch_size=true", "batch_size=True: expected integer, got true or false"),
        ("seed=-1", "seed=-1: expected integer >= 0"),
        ("schedule.learning_rate=0", "schedule.learning_rate=0: expected number > 0.0"),
        ("schedule.learning_rate=.nan", "schedule.learning_rate=nan: expected number > 0.0"),
        ("optimizer.momentum=1", "optimizer.momentum=1: expected number < 1.0"),
        ("matching.iou_threshold=1.5", "matching.iou_threshold=1.5: expected number <= 1.0"),
        ("image_size=20", "image_size=20: expected integer >= 32"),
        ("image_size=[300]", "image_size=[300]: expected list of length >= 2"),
        ("image_size=[20, 300]", "image_size=[20, 300]: expected integer >= 32"),
        ("backbone.out_indices=[]", "backbone.out_indices=[]: expected list of length >= 1"),
        (
            "backbone.out_indices=[1, a]",
            "backbone.out_indices=[1, 'a']: expected integer, got text",
        ),
        ("matching.variances=[0.1]", "matching.variances=[0.1]: expected list of length 2"),
        ("optimizer.decayed=norm", "decayed='norm': expected one of all, all_but_norm, weights"),
        ("device=cpu", "device='cpu': expected one of auto, CPU, GPU, Ascend"),
        ("neck.kind=pan", "neck.kind='pan': expected one of extras, fpn"),
    ],
)
def test_a_wrong_type_or_range_gives_key_and_value(text, message):
    with pytest.raises(ConfigError) as caught:
        load_config(RECIPE, [text])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_size", "'batch_size' is not key=value, such as data_dir=PATH (no space"),
        ("=3", "'=3' is not key=value, such as data_dir=PATH (no space"),
        ("lr=0.1", "unknown key lr; did you mean schedule.learning_rate?"),
        ("nosuch=1", "unknown key nosuch"),
        ("schedule=3", "schedule is a group; set one of its keys, as schedule.KEY=VALUE"),
        ("schedule=null", "schedule is a group"),
        ("schedule.learning_rate.x=1", "learning_rate is a value, not a group"),
        ("backbone.out_indices=[1", "the value is not valid YAML"),
    ],
)
def test_an_override_that_is_none_says_how_one_looks(text, message):
    with pytest.raises(ConfigError) as caught:
        load_config(RECIPE, [text])
    assert message in str(caught.value)


def test_a_whole_group_may_be_given_and_is_checked_too():
    config = load_config(RECIPE, ["schedule={learning_rate: 0.1, warmup_epochs: 0}"])
    assert config.schedule.learning_rate == 0.1
    assert config.schedule.final_factor == Config().schedule.final_factor  # the schema's default
    with pytest.raises(ConfigError, match=r"unknown key schedule\.rate"):
        load_config(RECIPE, ["schedule={rate: 0.1}"])


def test_of_several_that_a_file_inherits_the_later_lies_over_the_one_before(write):
    write("sub/short.yaml", "epochs: 3\nschedule: {learning_rate: 0.02}\n")
    path = write("sub/mine.yaml", "inherits: [ssd_resnet50_fpn, short.yaml]\nbatch_size: 2\n")
    config, parent = load_config(path), load_config("ssd_resnet50_fpn")
    assert (config.epochs, config.batch_size, config.schedule.learning_rate) == (3, 2, 0.02)
    assert (config.neck, config.image_size) == (parent.neck, 640)
    assert config.schedule.warmup_start == parent.schedule.warmup_start
    path = write("sub/other.yaml", "inherits: [short.yaml, ssd_resnet50_fpn]\n")
    assert load_config(path).epochs == parent.epochs


def test_a_part_of_recipes_is_none_by_itself():
    assert "_finetune" not in recipe_names()
    with pytest.raises(ConfigError, match="_finetune is neither a file nor a recipe"):
        load_config("_finetune")


def test_a_map_of_classes_is_of_names(write):
    settings = ["initial_weights=a.safetensors", "class_map={auto: car}", "class_map.taxi=car"]
    config = load_config(RECIPE, settings)
    assert config.class_map == {"auto": "car", "taxi": "car"}
    assert load_config(write("again.yaml", to_yaml(config))) == config
    for value in ("auto", "{auto: 3}", "{no: car}", "[auto, car]", ""):
        with pytest.raises(ConfigError, match=r"class_map=.*: expected \{CLASS: CLASS THERE"):
            load_config(RECIPE, ["initial_weights=a", f"class_map={value}"])


def test_a_file_inherits_a_recipe_key_by_key(write):
    path = write("mine.yaml", "inherits: ssd_mobilenetv3\nschedule: {learning_rate: 0.02}\n")
    config = load_config(path)
    assert config.backbone.name == "mobilenet_v3_large_100"
    assert config.schedule.learning_rate == 0.02
    assert config.schedule.warmup_epochs == 2  # beside it in the same group


def test_a_list_replaces_the_inherited_one(write):
    path = write("mine.yaml", "inherits: ssd_resnet50_fpn\nbackbone: {out_indices: [3, 4]}\n")
    assert load_config(path).backbone.out_indices == (3, 4)


def test_files_beside_each_other_inherit_by_name_from_any_working_folder(write):
    write("sub/base.yaml", "inherits: ssd_mobilenetv2\nbatch_size: 6\n")
    path = write("sub/mine.yaml", "inherits: base.yaml\nepochs: 3\n")
    config = load_config(path)  # the working folder is another
    assert (config.batch_size, config.epochs, config.image_size) == (6, 3, 300)


def test_an_inheritance_that_turns_in_a_circle_is_shown(write):
    itself = write("s.yaml", "inherits: s.yaml\n")
    with pytest.raises(ConfigError, match=r"s\.yaml inherits from itself: .*s\.yaml -> .*s\.yaml"):
        load_config(itself)
    write("a.yaml", "inherits: b.yaml\n")
    other = write("b.yaml", "inherits: a.yaml\n")
    with pytest.raises(ConfigError, match=r"b\.yaml -> .*a\.yaml -> .*b\.yaml$"):
        load_config(other)


def test_a_name_that_is_nothing_lists_the_recipes_and_names_the_nearest():
    with pytest.raises(ConfigError) as caught:
        load_config("ssd_mobilnetv2")
    assert str(caught.value).startswith(
        "ssd_mobilnetv2 is neither a file nor a recipe; did you mean ssd_mobilenetv2? (recipes: "
    )


def test_a_parent_that_is_nothing_names_the_child_too(write):
    path = write("mine.yaml", "inherits: nothing\n")
    with pytest.raises(ConfigError, match=r"^nothing \(which .*mine\.yaml inherits from\) is neit"):
        load_config(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- 1\n", "expected keys and values, found list"),
        (b"a: [1\n", "is not valid YAML"),
        (
            b"neck: {kind: fpn}\nneck: {kind: extras}\n",
            "is not valid YAML: neck stands there twice",
        ),
        (b"neck: {kind: fpn, kind: extras}\n", "is not valid YAML: kind stands there twice"),
        (b"neck.kind: fpn\n", "unknown key neck.kind; in a file write neck: {kind: …}"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path, content, message):
    path = tmp_path / "odd.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(str(path))
    assert str(caught.value).startswith(str(path)) and message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_file_is_the_defaults(write):
    assert load_config(write("empty.yaml", "")) == Config()


def test_the_resolved_yaml_loads_back_to_an_equal_config(write):
    config = load_config(
        "ssd_resnet50_fpn",
        [
            "image_size=[480, 640]",
            "data_dir=a: b",
            "name=1e5",  # text that looks like a number
            "runs_dir=no",
            "schedule.learning_rate=5e-05",
            "optimizer.ema_decay=0.999",
        ],
    )
    text = to_yaml(config)
    assert load_config(write("config.yaml", text)) == config
    # every key stands in it, so that a later default changes nothing
    assert set(yaml.safe_load(text)) == {"format_version", *Config.__struct_fields__}


def test_a_config_is_plain_values_and_back():
    config = load_config(RECIPE)
    assert from_tree(to_tree(config), "the model") == config
    as_json = msgspec.json.decode(msgspec.json.encode(to_tree(config)))
    assert from_tree(as_json, "the model") == config


def test_a_config_can_be_overridden_and_stays_as_it_was():
    config = load_config(RECIPE)
    assert override(config, ["device=CPU"]).device == "CPU"
    assert config.device == "auto"
    with pytest.raises(ConfigError, match=r"^the command line: unknown key devise; did you mean"):
        override(config, ["devise=CPU"])


def test_a_recipes_name_comes_before_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(RECIPE).mkdir()
    assert load_config(RECIPE).epochs == 500


@pytest.mark.parametrize(
    "text",
    [
        "schedule.learning_rate=.inf",
        "normalization.mean=[.nan, 0, 0]",
        "augment.crop_scale=[1.0, 0.3]",
        "augment.crop_scale=[0.3, 3.0]",
        "augment.scale_jitter=[2, 1]",
        "augment.blur_sigma=[2, 1]",
        "augment.hue=0.6",
        "backbone.out_indices=[13, 6]",
        "backbone.out_indices=[6, 6]",
        "name=../elsewhere",
        "name=..",
        "seed=5000000000",
    ],
)
def test_what_a_type_cannot_say_is_refused_with_its_key(text):
    with pytest.raises(ConfigError, match=text.partition("=")[0]):
        load_config(RECIPE, [text])


@pytest.mark.parametrize("key", ["epochs", "default_boxes.grid_scale", "evaluation.every_epochs"])
def test_text_in_place_of_a_number_or_auto_is_told_so(key):
    with pytest.raises(ConfigError, match=f"small_data: {key}='Auto': expected a number or auto"):
        load_config("small_data", [f"{key}=Auto"])
    with pytest.raises(ConfigError, match=f"{key}=\\[1\\]: expected "):
        load_config("small_data", [f"{key}=[1]"])
    load_config("small_data", [f"{key}=auto"])
