"""What a run does with data that are not quite as its model's: classes by name, files resized."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rich.console import Console

from mindssd.build.evaluation import evaluate_model
from mindssd.build.run import resume_run, start_run
from mindssd.config.load import load_config
from mindssd.data.convert.job import Settings, convert
from mindssd.errors import ConfigError, DatasetError
from mindssd.training.checkpoint import read_checkpoint

pytestmark = pytest.mark.slow  # a dozen starts of a run

SETTINGS = ["engine=torch", "epochs=1", "batch_size=12", "num_workers=0", "name=run"]
SETTINGS += ["evaluation.every_epochs=1"]

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def copied(shapes_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shapes_dir, tmp_path / "data"))


@pytest.fixture(scope="module")
def run_folder(
    quick_config: Path, shapes_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run of one step."""
    runs_dir = tmp_path_factory.mktemp("runs")
    data = [f"data_dir={shapes_dir}", f"runs_dir={runs_dir}"]
    start_run(load_config(str(quick_config), [*SETTINGS, *data]), "quick")
    return runs_dir / "run"


def change(data_dir: Path, *splits: str) -> Callable[[Change], None]:
    def apply(function: Change) -> None:
        for split in splits:
            file = data_dir / "annotations" / f"instances_{split}2017.json"
            content = json.loads(file.read_text())
            function(content)
            file.write_text(json.dumps(content))

    return apply


def reorder(content: dict[str, Any]) -> None:
    """Give the ellipses, 7, the first id, 1."""
    for entry in (*content["categories"], *content["annotations"]):
        key = "category_id" if "category_id" in entry else "id"
        entry[key] = {3: 3, 7: 1}[entry[key]]


def without_ellipses(content: dict[str, Any]) -> None:
    content["categories"] = content["categories"][:1]
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] == 3]


def with_circles(content: dict[str, Any]) -> None:
    content["categories"][1]["name"] = "circle"


def average_precision(model: Path, data_dir: Path) -> dict[str, float | None]:
    settings = [f"data_dir={data_dir}", "engine=torch"]
    result = evaluate_model(model, None, settings, None, Console(quiet=True))
    return {each.name: each.ap for each in result.per_class}


def test_categories_of_another_order_are_read_in_the_models(run_folder: Path, copied: Path) -> None:
    model = run_folder / "best.safetensors"
    before = average_precision(model, copied)
    change(copied, "val")(reorder)
    assert average_precision(model, copied) == before
    # A resume finds the same data, though ids and order are others.
    change(copied, "train")(reorder)
    resume_run(run_folder, [f"data_dir={copied}"])
    change(copied, "train", "val")(with_circles)
    with pytest.raises(ConfigError, match="the classes have changed"):
        resume_run(run_folder, [f"data_dir={copied}"])


def test_validation_images_without_a_class_of_the_training_are_evaluated(
    run_folder: Path, copied: Path
) -> None:
    change(copied, "val")(without_ellipses)
    found = average_precision(run_folder / "best.safetensors", copied)
    assert found["ellipse"] is None and found["rectangle"] is not None
    change(copied, "val")(lambda content: content["categories"][0].update(name="square"))
    with pytest.raises(DatasetError, match=r"best\.safetensors and .*val2017\.json name different"):
        average_precision(run_folder / "best.safetensors", copied)


def test_a_run_writes_down_how_it_split_its_data_and_goes_by_it(
    quick_config: Path, shapes_dir: Path, tmp_path: Path
) -> None:
    convert(shapes_dir, tmp_path / "parts", Settings("yolo"), lambda _: None)
    data = tmp_path / "data"
    shutil.copytree(tmp_path / "parts/images/train", data / "images")
    shutil.copytree(tmp_path / "parts/labels/train", data / "labels")
    shutil.copy(tmp_path / "parts/data.yaml", data)
    names = (data / "data.yaml").read_text()
    (data / "data.yaml").write_text("train: images\n" + names[names.index("names:") :])
    settings = [*SETTINGS, f"data_dir={data}", f"runs_dir={tmp_path}", "val_share=0.34"]
    start_run(load_config(str(quick_config), settings), "quick")
    split = json.loads((tmp_path / "run" / "split.json").read_bytes())
    assert (len(split["train"]), len(split["val"])) == (8, 4)
    model = tmp_path / "run" / "best.safetensors"
    before = average_precision(model, data)  # with another share by default
    (data / "images/0 new.png").write_bytes((data / split["val"][0]).read_bytes())
    assert average_precision(model, data) == before
    resume_run(tmp_path / "run", ["epochs=2"], adapt=True)
    (tmp_path / "run" / "split.json").unlink()
    with pytest.raises(ConfigError, match="training images 8 → 9"):
        resume_run(tmp_path / "run", ["epochs=3"])


def test_halved_files_train_to_the_same_first_step_as_their_size_says(
    quick_config: Path, copied: Path, tmp_path: Path
) -> None:
    def train(name: str) -> dict[str, np.ndarray]:
        data = [f"data_dir={copied}", f"runs_dir={tmp_path}", f"name={name}"]
        start_run(load_config(str(quick_config), [*SETTINGS, *data]), "quick")
        return dict(read_checkpoint(tmp_path / name / "last" / "checkpoint.safetensors").parameters)

    for file in copied.glob("*2017/*.png"):
        picture = cv2.imread(str(file))
        cv2.imwrite(str(file), cv2.resize(picture, (80, 60), interpolation=cv2.INTER_AREA))
    unsaid = train("unsaid")

    def halve(content: dict[str, Any]) -> None:
        for entry in content["images"]:
            entry["width"], entry["height"] = 80, 60
        for entry in content["annotations"]:
            entry["bbox"] = [side / 2 for side in entry["bbox"]]
            entry["area"] /= 4

    change(copied, "train", "val")(halve)
    said = train("said")
    assert all(np.array_equal(unsaid[name], said[name]) for name in said)
