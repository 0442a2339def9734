"""`mindssd train`: every mistake is one line that names the thing and the way out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mindssd.config.load import load_config
from mindssd.weights.mindspore_checkpoint import write_checkpoint
from mindssd.weights.safetensors_file import read_model


@pytest.fixture
def train(mindssd, quick_config, shapes_dir, tmp_path):
    """`mindssd train` on the quick network and the twelve images; words come after."""

    def run(*words):
        settings = [f"data_dir={shapes_dir}", f"runs_dir={tmp_path}/runs", "name=run"]
        return mindssd("train", "--config", quick_config, *settings, *words)

    return run


@pytest.fixture
def copied_dir(shapes_dir, tmp_path) -> Path:
    """The data set, to be damaged."""
    return Path(shutil.copytree(shapes_dir, tmp_path / "data"))


def test_a_wrong_recipe_lists_those_there_are(mindssd):
    fault = mindssd("train", "--config", "ssd_mobilenet2").fault
    assert fault.startswith(
        "ssd_mobilenet2 is neither a file nor a recipe; did you mean ssd_mobile"
    )
    assert "ssd_resnet50_fpn" in fault


def test_no_config_is_the_recipe_for_small_data(mindssd):
    assert mindssd("train").fault.startswith("data_dir is not set: give data_dir=PATH")
    assert mindssd("train", "epochs=0").fault.startswith("small_data: epochs=0: expected ")
    fault = mindssd("train", "demo", "data_dir=x").fault
    assert fault == "'demo' is not key=value; did you mean --config demo?"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("batchsize=3", "unknown key batchsize; did you mean batch_size?"),
        ("batch_size=many", "batch_size='many': expected integer, got text"),
        ("schedule.learning_rate=-1", "schedule.learning_rate=-1: expected number > 0.0"),
        ("batch_size", "'batch_size' is not key=value"),
        ("device=TPU", "device='TPU': expected one of auto, CPU, GPU, Ascend"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(train, word, expected):
    assert expected in train(word).fault


def test_a_data_dir_that_is_not_there_says_the_layout(train, tmp_path):
    fault = train(f"data_dir={tmp_path}/coco").fault
    assert fault.startswith(f"{tmp_path}/coco: no such folder; expected ")
    assert "annotations/instances_train2017.json" in fault


@pytest.mark.parametrize(
    "missing", ["annotations/instances_train2017.json", "annotations/instances_val2017.json"]
)
def test_a_missing_annotation_file_is_named(train, copied_dir, missing):
    (copied_dir / missing).unlink()
    assert train(f"data_dir={copied_dir}").fault.startswith(f"{copied_dir / missing}: no such file")


@pytest.mark.parametrize("missing", ["train2017", "val2017"])
def test_a_missing_image_folder_is_named(train, copied_dir, missing):
    shutil.rmtree(copied_dir / missing)
    fault = train(f"data_dir={copied_dir}").fault
    assert fault.startswith(f"{copied_dir / missing}: no such folder; expected ")


def test_annotations_cut_short_are_named(train, copied_dir):
    path = copied_dir / "annotations" / "instances_train2017.json"
    path.write_bytes(path.read_bytes()[:500])
    assert str(path) in train(f"data_dir={copied_dir}").fault


def test_splits_of_other_classes_are_shown(train, copied_dir):
    path = copied_dir / "annotations" / "instances_val2017.json"
    path.write_text(path.read_text().replace("ellipse", "circle"))
    fault = train(f"data_dir={copied_dir}").fault
    assert "name different classes" in fault and "circle" in fault


def _rewrite(data_dir, split, change):
    path = data_dir / "annotations" / f"instances_{split}2017.json"
    content = json.loads(path.read_text())
    for entry in content["annotations"]:
        change(entry)
    path.write_text(json.dumps(content))


def _in_shares(entry):
    entry["bbox"] = [side / 160 for side in entry["bbox"]]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda entry: entry.update(iscrowd=1), "has no boxes to learn from: 24 crowds"),
        (lambda entry: entry.update(image_id=None), "to learn from: 24 annotations without image"),
        (_in_shares, "its 24 boxes lie within 0..1, such as bbox ["),
    ],
)
def test_a_data_set_that_teaches_nothing_is_refused(train, copied_dir, tmp_path, change, fault):
    _rewrite(copied_dir, "train", change)
    assert fault in train(f"data_dir={copied_dir}").fault
    assert not (tmp_path / "runs").exists()


def test_files_of_another_shape_than_annotated_are_refused(train, copied_dir):
    for file in copied_dir.glob("val2017/*.png"):
        Image.open(file).resize((80, 80)).save(file)
    fault = train(f"data_dir={copied_dir}").fault
    assert "val2017: 12 images have another shape than annotated, such as 0.png, 80x80" in fault


def test_without_an_engine_the_ways_to_get_one_are_said(train, monkeypatch):
    monkeypatch.setattr("mindssd.build.engine.find_spec", lambda name: None)
    assert "pip install 'mindssd[mindspore]'" in train().fault


def test_a_run_that_failed_before_its_first_step_leaves_no_folder(train, tmp_path):
    train("backbone_ckpt_path=nothing.ckpt")
    assert not (tmp_path / "runs" / "run").exists()


def test_a_backbone_that_is_nowhere_lists_the_published_ones(train, quickest_engine):
    fault = train(f"engine={quickest_engine}", "backbone_ckpt_path=nothing.ckpt").fault
    assert "nothing.ckpt" in fault and "mobilenet_v2_100" in fault


def test_a_backbone_of_another_architecture_says_what_does_not_fit(
    train, quickest_engine, tmp_path
):
    path = tmp_path / "resnet.ckpt"
    write_checkpoint(path, {"conv1.weight": np.zeros((64, 3, 7, 7), np.float32)})
    mobilenet = "backbone={name: mobilenet_v2_035_96, out_indices: [6]}"
    fault = train(f"engine={quickest_engine}", mobilenet, f"backbone_ckpt_path={path}").fault
    assert fault.startswith(f"{path} does not fit the network: ")
    assert "missing (backbone.features_0.weight" in fault


def test_a_trained_detector_of_another_recipe_says_what_does_not_fit(
    train, quickest_engine, reference_checkpoint
):
    fault = train(f"engine={quickest_engine}", f"initial_weights={reference_checkpoint}").fault
    assert fault.startswith(f"{reference_checkpoint} does not fit the network: ")


@pytest.mark.usefixtures("any_engine")
def test_a_backbone_that_is_no_model_is_named(train):
    fault = train("backbone={name: resnet51, out_indices: [2, 3]}").fault
    assert "backbone 'resnet51' is no" in fault  # …model of MindCV, …ne of PyTorch's


def test_a_folder_that_holds_a_run_is_kept(train, tmp_path):
    folder = tmp_path / "runs" / "run"
    folder.mkdir(parents=True)
    (folder / "best.safetensors").write_bytes(b"weeks of work")
    fault = train().fault
    assert fault.startswith(f"{folder} holds a run already")
    assert fault.endswith(f"mindssd train --resume {folder}")
    assert (folder / "best.safetensors").read_bytes() == b"weeks of work"


def test_a_resume_of_what_is_no_run_says_why(mindssd, tmp_path):
    fault = mindssd("train", "--resume", tmp_path).fault
    assert fault == f"{tmp_path} is not a run's folder: it has no config.yaml"
    fault = mindssd("train", "--resume", tmp_path / "absent").fault
    assert fault.startswith(f"{tmp_path}/absent: no such folder")


def test_a_resume_takes_no_recipe(mindssd, tmp_path):
    fault = mindssd("train", "--resume", tmp_path, "--config", "ssd_mobilenetv2").fault
    assert "leave --config out" in fault


@pytest.mark.parametrize("setting", ["name=other", "runs_dir=elsewhere"])
def test_a_resume_stays_in_its_folder(mindssd, tiny_config, tmp_path, setting):
    folder = tmp_path / "run"
    (folder / "last").mkdir(parents=True)
    (folder / "last" / "checkpoint.safetensors").write_bytes(b"")
    shutil.copy(tiny_config, folder / "config.yaml")
    fault = mindssd("train", "--resume", folder, setting).fault
    key = setting.partition("=")[0]
    assert fault == f"--resume {folder} stays in its folder; leave {key}=… out"


@pytest.mark.parametrize("key", ["backbone_ckpt_path", "initial_weights"])
def test_a_resume_takes_no_other_weights_than_its_own(mindssd, tiny_config, tmp_path, key):
    folder = tmp_path / "run"
    (folder / "last").mkdir(parents=True)
    (folder / "last" / "checkpoint.safetensors").write_bytes(b"")
    shutil.copy(tiny_config, folder / "config.yaml")
    fault = mindssd("train", "--resume", folder, f"{key}=other.ckpt").fault
    assert fault.startswith(f"--resume {folder} goes on with the run's own weights; leave {key}=…")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--adapt"], "--adapt is for --resume"),
        (["--restarts", "2"], "--restarts is for --devices 2 and more"),
        (["--patience", "2"], "--patience is for --devices: give both, or neither"),
    ],
)
def test_an_option_without_the_one_it_belongs_to_is_refused(train, words, expected):
    assert expected in train(*words).fault


@pytest.mark.slow
def test_a_run_from_a_trained_detector_says_where_everything_is(train, untrained_model, tmp_path):
    """Two steps on the command line: what it prints, and what it leaves."""
    done = train("epochs=1", "batch_size=6", f"initial_weights={untrained_model}")
    assert (done.status, done.err) == (0, "")
    folder = tmp_path / "runs" / "run"
    assert "12 images, 24 boxes, 0 crowds, 0 images without boxes" in done.out
    assert "2 classes: rectangle, ellipse\n" in done.out
    assert "default boxes: " in done.out and " of 24 truths (" in done.out
    assert f"detector from {untrained_model}: " in done.out
    assert "compiling the training step" in done.out
    assert "COCO metrics" in done.out and "protocol coco: all images" in done.out
    assert f"mindssd predict {folder / 'best.safetensors'} PHOTO" in done.out
    assert read_model(folder / "best.safetensors")[1].class_names == ("rectangle", "ellipse")


@pytest.mark.slow
def test_a_run_whose_loss_explodes_ends_with_the_way_out(train, tmp_path):
    words = ["engine=torch", "epochs=2", "optimizer.clip_norm=null"]
    done = train(*words, "schedule.learning_rate=20")
    assert done.status == 1
    assert "warning: the loss went from " in done.out
    assert f"mindssd: {tmp_path / 'runs' / 'run'}: nothing was learnt: the loss went" in done.err
    assert done.err.rstrip().endswith("lower schedule.learning_rate or set optimizer.clip_norm")
    assert (tmp_path / "runs" / "run" / "best.safetensors").exists()


@pytest.mark.slow
def test_a_run_that_found_nothing_yet_ends_with_a_hint(train):
    done = train("engine=torch", "epochs=1", "schedule.learning_rate=0.000001")
    assert (done.status, done.err) == (0, "")
    assert "nothing is found yet, while the loss went from " in done.out
    assert "schedule.warmup_epochs=1 with epochs=1, which are " in done.out


@pytest.mark.slow
def test_what_is_fitted_is_told_kept_and_not_fitted_anew(train, mindssd, shapes_dir, tmp_path):
    done = train("default_boxes.grid_scale=auto", "evaluation.every_epochs=auto", "epochs=2")
    assert "default_boxes.grid_scale=" in done.out
    config_file = tmp_path / "runs" / "run" / "config.yaml"
    kept = load_config(str(config_file))
    scale = kept.default_boxes.grid_scale
    assert isinstance(scale, float) and kept.evaluation.every_epochs == 1
    model = tmp_path / "runs" / "run" / "best.safetensors"
    assert read_model(model)[1].config["default_boxes"]["grid_scale"] == scale

    resumed = mindssd("train", "--resume", config_file.parent, "epochs=3", "--adapt")
    assert "grid_scale" not in resumed.out
    assert load_config(str(config_file)).default_boxes.grid_scale == scale
    assert mindssd("eval", model, f"data_dir={shapes_dir}").status == 0
