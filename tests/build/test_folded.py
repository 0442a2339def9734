"""Folds of a data set, which a review and a search both train on."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mindssd.build.folded import Folded
from mindssd.config.load import load_config
from mindssd.config.schema import Config
from mindssd.review import trainings
from mindssd.tune.job import Job


def begin_review(folder: Path, config: Config) -> Folded:
    return trainings.begin(folder, config, 3)


def begin_search(folder: Path, config: Config) -> Folded:
    return Job.begin(folder, config, 3, 60.0, Console(file=io.StringIO())).folded


@pytest.fixture
def with_twins(shapes_dir: Path, tmp_path: Path) -> Path:
    """Four of the training images lie there again under other names and ids."""
    data_dir = Path(shutil.copytree(shapes_dir, tmp_path / "data"))
    path = data_dir / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    for image in content["images"][:4]:
        twin = {**image, "id": image["id"] + 100, "file_name": f"copy{image['file_name']}"}
        folder = data_dir / "train2017"
        shutil.copy(folder / image["file_name"], folder / twin["file_name"])
        content["images"].append(twin)
        of = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        content["annotations"] += [{**a, "id": a["id"] + 1000, "image_id": twin["id"]} for a in of]
    path.write_text(json.dumps(content))
    return data_dir


@pytest.mark.parametrize("begin", [begin_review, begin_search], ids=["review", "search"])
def test_images_that_are_nearly_the_same_are_of_one_fold(begin, with_twins, quick_config, tmp_path):
    config = load_config(str(quick_config), [f"data_dir={with_twins}"])
    folded = begin(tmp_path / "folded", config)
    fold_of = {int(p): fold for fold, places in enumerate(folded.parts) for p in places}
    ids = folded.data[0].image_ids.tolist()
    for number in (1, 2, 3, 4):
        assert fold_of[ids.index(number)] == fold_of[ids.index(number + 100)]
    if begin is begin_review:
        again = trainings.resume(tmp_path / "folded")
        assert all(np.array_equal(a, b) for a, b in zip(again.parts, folded.parts, strict=True))
