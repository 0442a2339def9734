"""The whole way: train, save, open, detect; and a run that was cut off ends as if it had not been.

Everything goes through what a user calls: `start_run`, `resume_run`, `mindssd.load`.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import mindssd
from mindssd.build.run import resume_run, start_run
from mindssd.config.load import load_config
from mindssd.errors import ConfigError, DatasetError, TrainingError, WeightsError
from mindssd.geometry.boxes import pairwise_iou
from mindssd.training.checkpoint import Checkpoint, read_checkpoint
from mindssd.training.plan import Outcome
from mindssd.weights.safetensors_file import read_model

pytest.importorskip("mindspore")
pytest.importorskip("torch")
from mindssd.engines.mindspore.stepper import MindSporeStepper
from mindssd.engines.torch.stepper import TorchStepper

pytestmark = pytest.mark.slow


class Trained:
    """A run that has ended."""

    def __init__(self, folder: Path, outcome: Outcome, shapes_dir: Path) -> None:
        self.folder = folder
        self.outcome = outcome
        self.data_dir = shapes_dir

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = (self.folder / "log.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == kind]


@pytest.fixture(scope="module")
def trained(tiny_config, shapes_dir, tmp_path_factory) -> Trained:
    """60 steps on twelve images, from nothing, by PyTorch; MindSpore detects with them."""
    runs_dir = tmp_path_factory.mktemp("runs")
    settings = ["engine=torch", "epochs=20", f"data_dir={shapes_dir}", f"runs_dir={runs_dir}"]
    config = load_config(str(tiny_config), [*settings, "name=shapes"])
    return Trained(runs_dir / "shapes", start_run(config, "tiny"), shapes_dir)


def test_a_few_images_are_learnt_by_heart(trained):
    losses = [event["loss"] for event in trained.events("train")]
    assert len(losses) == 60
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) / 3
    assert trained.outcome.metrics["AP50"] > 0.5
    assert trained.outcome.best == trained.outcome.metrics["AP"]
    assert trained.outcome.skipped_steps == 0


def test_a_run_is_a_folder_with_all_it_made(trained):
    made = {path.relative_to(trained.folder).parts[0] for path in trained.folder.rglob("*")}
    made = {name for name in made if not name.startswith("events.out.tfevents")}
    assert {"config.yaml", "log.jsonl", "best.safetensors", "last", "evaluation.json"} <= made
    assert load_config(str(trained.folder / "config.yaml")).image_size == 96
    report = json.loads((trained.folder / "evaluation.json").read_text())
    assert report["protocol"]["name"] == "coco"


def test_the_models_file_describes_itself(trained):
    _, metadata = read_model(trained.folder / "best.safetensors")
    assert metadata.class_names == ("rectangle", "ellipse")
    assert metadata.category_ids == (3, 7)
    assert metadata.grids == ((12, 12), (6, 6), (3, 3))
    assert metadata.metrics["AP"] == pytest.approx(trained.outcome.best)
    assert str(trained.data_dir) not in str(metadata)


def test_the_detector_finds_what_it_was_shown_whatever_form_the_image_has(trained):
    model = trained.folder / "best.safetensors"
    detector = mindssd.load(str(model), engine="mindspore", device="CPU")
    path = trained.data_dir / "val2017" / "2.png"
    pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    found = detector(path)
    for same in (detector(str(path)), detector(pixels), detector(Image.open(path))):
        np.testing.assert_array_equal(same.boxes, found.boxes)
        np.testing.assert_array_equal(same.scores, found.scores)
    in_a_list = detector([path, pixels])
    assert len(in_a_list) == 2
    np.testing.assert_array_equal(in_a_list[1].boxes, found.boxes)

    annotations = json.loads(
        (trained.data_dir / "annotations" / "instances_val2017.json").read_text()
    )["annotations"]
    truths = [a for a in annotations if a["image_id"] == 3]
    boxes = np.array([a["bbox"] for a in truths], np.float32)
    boxes[:, 2:] += boxes[:, :2]
    ious = pairwise_iou(boxes, found.boxes)
    assert (ious.max(axis=1) > 0.5).all()
    names = {3: "rectangle", 7: "ellipse"}
    for truth, row in zip(truths, ious, strict=True):
        assert found.class_names[found.class_ids[row.argmax()]] == names[truth["category_id"]]


def test_a_run_is_not_started_over_another(trained):
    config = load_config(
        str(trained.folder / "config.yaml"), [f"runs_dir={trained.folder.parent}", "name=shapes"]
    )
    with pytest.raises(TrainingError, match=r"shapes holds a run already.*--resume"):
        start_run(config, "tiny")


def test_a_resume_with_another_recipe_or_data_names_what_has_changed(trained, tmp_path):
    changed = r"schedule\.learning_rate 0\.05 → 0\.1\. .*--adapt"
    with pytest.raises(ConfigError, match=changed):
        resume_run(trained.folder, ["schedule.learning_rate=0.1"])
    data = tmp_path / "data"
    shutil.copytree(trained.data_dir, data)
    file = data / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    del content["images"][-1]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] < 12]
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"training images 12 → 11\. .*--adapt"):
        resume_run(trained.folder, [f"data_dir={data}"])
    file.write_text(file.read_text().replace("ellipse", "circle"))
    val = data / "annotations" / "instances_val2017.json"
    val.write_text(val.read_text().replace("ellipse", "circle"))
    with pytest.raises(ConfigError, match=r"rectangle, circle\); start a new run"):
        resume_run(trained.folder, [f"data_dir={data}"], adapt=True)
    # What takes part in no step may change.
    saved = (trained.folder / "config.yaml").read_text()
    assert resume_run(trained.folder, ["evaluation.batch_size=5", "num_workers=0"]).best > 0
    assert (
        "evaluation: {every_epochs: 0, protocol: coco, batch_size: 5, "
        in (trained.folder / "config.yaml").read_text()
    )
    (trained.folder / "config.yaml").write_text(saved)


SHORT = [
    "epochs=3",
    "batch_size=5",  # 12 images: a last batch of two, filled up
    "optimizer.ema_decay=0.9",
    "augment={crop_probability: 0.5, flip_probability: 0.5}",
    "evaluation.every_epochs=1",
]


ADAMW_AND_PARTS = [
    "matching.assignment=atss",
    "loss={class_kind: quality_focal, box_kind: giou, box_weight_by_score: true}",
    "optimizer={method: adamw, backbone_rate: 0.25, weight_decay: 0.05}",
    "schedule={learning_rate: 0.001, flat_share: 0.5}",
    "backbone.out_indices=[0, 1]",
    "backbone.frozen_norm=true",
    "neck.separable=true",
    "neck.path_aggregation=true",
    "head.separable=true",
    "head.tower_depth=1",
]

SGD_AND_DATA = [
    "precision=auto",  # bfloat16, where a CPU is quicker in it
    "repeat_threshold=1",
    "augment={hue: 0.1, blur_probability: 0.5, mosaic_probability: 0.5}",
    "augment.copy_paste_probability=0.5",
    "evaluation={smoothing: 2, patience: 2}",
]


def _start_short(
    engine: str, more: list[str], config: Path, shapes_dir: Path, runs_dir: Path
) -> None:
    settings = [
        *SHORT,
        *more,
        f"engine={engine}",
        f"data_dir={shapes_dir}",
        f"runs_dir={runs_dir}",
        "name=short",
    ]
    start_run(load_config(str(config), settings), "quick")


def _last(runs_dir: Path) -> Checkpoint:
    return read_checkpoint(runs_dir / "short" / "last" / "checkpoint.safetensors")


@pytest.mark.parametrize(
    ("engine", "stepper_class", "more"),
    [
        ("mindspore", MindSporeStepper, ADAMW_AND_PARTS),
        ("torch", TorchStepper, ADAMW_AND_PARTS),
        ("torch", TorchStepper, SGD_AND_DATA),
    ],
    ids=["mindspore-adamw-parts", "torch-adamw-parts", "torch-sgd-data"],
)
def test_an_interrupted_run_goes_on_to_the_same_end_bit_for_bit(
    engine, stepper_class, more, quick_config, shapes_dir, tmp_path, monkeypatch
):
    """MindSpore's runs of SGD are cut off by signals, in `test_interruptions.py`."""
    _start_short(engine, more, quick_config, shapes_dir, tmp_path / "whole")
    whole = _last(tmp_path / "whole")

    steps = 0
    take = stepper_class.step

    def interrupted(stepper, *values):
        nonlocal steps
        steps += 1
        if steps == 5:  # the middle of the second epoch
            if engine == "mindspore":  # once, although the whole run's step was freed meanwhile
                assert len(stepper._cell.compile_cache) == 1
            raise KeyboardInterrupt
        return take(stepper, *values)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stepper_class, "step", interrupted)
        _start_short(engine, more, quick_config, shapes_dir, tmp_path / "parts")
    assert _last(tmp_path / "parts").step == 3
    resume_run(tmp_path / "parts" / "short")
    parts = _last(tmp_path / "parts")

    assert parts.step == whole.step == 9
    for ours, theirs in (
        (parts.parameters, whole.parameters),
        (parts.stepper.arrays, whole.stepper.arrays),
    ):
        assert set(ours) == set(theirs)
        different = [name for name in theirs if not np.array_equal(ours[name], theirs[name])]
        assert different == []
    assert parts.stepper.scalars == whole.stepper.scalars
    assert parts.origin == whole.origin
    assert (parts.best, parts.aps) == (whole.best, whole.aps) and len(parts.aps) == 3
    models = [read_model(tmp_path / of / "short" / "best.safetensors") for of in ("whole", "parts")]
    assert models[0][1] == models[1][1]
    assert all(np.array_equal(models[0][0][name], models[1][0][name]) for name in models[0][0])


def test_two_splits_of_different_classes_are_refused(tiny_config, shapes_dir, tmp_path):
    data_dir = tmp_path / "data"
    shutil.copytree(shapes_dir, data_dir)
    file = data_dir / "annotations" / "instances_val2017.json"
    file.write_text(file.read_text().replace("ellipse", "circle"))
    config = load_config(str(tiny_config), [f"data_dir={data_dir}", f"runs_dir={tmp_path}/runs"])
    with pytest.raises(DatasetError, match=r"name different classes: .*'ellipse'.*'circle'"):
        start_run(config, "tiny")
    assert not (tmp_path / "runs").exists()


def test_what_a_data_set_has_wrong_is_printed_as_it_is(tiny_config, shapes_dir, tmp_path, capsys):
    data_dir = tmp_path / "[red]data[" / "i]"  # [/i] is rich's end of italics, which never began
    data_dir.parent.mkdir()
    data_dir.symlink_to(shapes_dir)
    settings = [f"data_dir={data_dir}", f"runs_dir={tmp_path}/runs", "initial_weights=nowhere"]
    with pytest.raises(WeightsError, match="nowhere: no such file"):
        start_run(load_config(str(tiny_config), settings), "tiny")
    assert f"{data_dir}/annotations/instances_train2017.json: 12 images" in capsys.readouterr().out
