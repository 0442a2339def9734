"""Which images to label next, and how they are written."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mindssd.data.formats.parsed import assemble
from mindssd.data.formats.recognise import recognise
from mindssd.errors import ConfigError, DatasetError
from mindssd.review.choice import choose, features, uncertainty
from mindssd.review.suggest import Settings, suggest
from mindssd.types import Detections
from tests.browser import axe_findings


def found(*scores: float) -> Detections:
    boxes = np.tile(np.array([[0, 0, 10, 10]], np.float32), (len(scores), 1))
    return Detections(
        boxes, np.array(scores, np.float32), np.zeros(len(scores), np.int32), ("cat",)
    )


def test_a_detector_is_unsure_of_scores_near_a_half_and_of_many_of_them():
    assert uncertainty(found()) == 0
    assert uncertainty(found(0.5)) == pytest.approx(1)
    assert uncertainty(found(0.9)) == pytest.approx(0.04, abs=1e-6)  # margin 0.8
    assert uncertainty(found(0.5, 0.75)) == pytest.approx(1.25)


def test_the_most_unsure_comes_first_and_then_what_is_farthest_from_it():
    unsure = np.array([0.1, 0.9, 0.8, 0.7, 0.0, 0.0])
    described = np.array([[0.0], [5.0], [5.1], [9.0], [100.0], [-100.0]])
    alone = np.arange(6)
    # Of 2 images, the 6 least sure are compared: here all. The far ones are sure, and yet taken.
    assert choose(unsure, described, alone, 2) == [1, 5]
    # Of one the pool is 3: images 1, 2 and 3.
    assert choose(unsure, described, alone, 1) == [1]


def test_of_images_that_are_nearly_the_same_one_is_chosen_the_most_unsure():
    unsure, described = np.array([0.1, 0.9, 0.5]), np.zeros((3, 2))
    assert choose(unsure, described, np.array([0, 0, 1]), 5) == [1, 2]
    assert choose(np.zeros(0), np.zeros((0, 2)), np.zeros(0, int), 5) == []


def test_images_that_look_alike_in_all_are_all_chosen_and_each_once():
    chosen = choose(np.ones(4), np.zeros((4, 2)), np.arange(4), 4)
    assert sorted(chosen) == [0, 1, 2, 3]


def test_each_of_three_descriptions_counts_the_same():
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (20, 48, 48)).astype(np.uint8)
    of = [found(*rng.random(3)) for _ in range(20)]
    described = features(grey, of, [(40, 40)] * 20)
    light, classes, places = np.split(described, [64, 65], axis=1)
    for block in (light, classes, places):
        assert np.square(block).sum(axis=1).mean() == pytest.approx(1)
    assert features(np.zeros((2, 48, 48), np.uint8), [found(), found()], [(9, 9)] * 2).any() == 0


@pytest.fixture
def unlabelled(shapes_dir: Path, tmp_path: Path) -> Path:
    """Twelve images, one of them again, and one that is none."""
    folder = Path(shutil.copytree(shapes_dir / "train2017", tmp_path / "unlabelled"))
    (folder / "more").mkdir()
    shutil.copy(folder / "3.png", folder / "more" / "again.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.mark.slow
def test_axe_finds_nothing_serious_on_the_page(unlabelled, untrained_model, tmp_path):
    suggest(str(untrained_model), unlabelled, tmp_path / "out", Settings(4), lambda line: None)
    assert axe_findings((tmp_path / "out" / "index.html").read_text("utf-8"), tmp_path) == []


@pytest.mark.parametrize("form", ["coco", "yolo", "voc"])
def test_what_is_suggested_is_a_data_set_of_its_own(form, unlabelled, untrained_model, tmp_path):
    said: list[str] = []
    out = tmp_path / "out"
    names = suggest(str(untrained_model), unlabelled, out, Settings(4, form), said.append)
    assert len(names) == len(set(names)) == 4
    layout = recognise(out)
    assert layout.format == form
    read = assemble(layout.parts[layout.training or ""]())
    assert len(read) == 4 and read.report.num_boxes > 0
    with (out / "suggested.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    assert (out / "index.html").read_text().count("<figure") == 4
    assert any("1 images cannot be read" in line for line in said)
    assert any("nearly the same as another" in line for line in said)


def test_label_studio_gets_tasks_with_predictions_and_the_images(
    unlabelled, untrained_model, tmp_path
):
    out = tmp_path / "out"
    settings = Settings(3, "labelstudio")
    suggest(str(untrained_model), unlabelled, out, settings, lambda line: None)
    tasks = json.loads((out / "tasks.json").read_text())
    assert len(tasks) == len(list((out / "images").iterdir())) == 3
    region = tasks[0]["predictions"][0]["result"][0]
    assert region["value"]["rectanglelabels"][0] in ("rectangle", "ellipse")
    assert 0.3 <= region["score"] <= 1
    name = tasks[0]["data"]["image"].removeprefix("/data/local-files/?d=out/images/")
    assert (out / "images" / name).is_file()
    assert '<Label value="rectangle"/>' in (out / "labels.xml").read_text()


def test_fewer_images_than_asked_for_are_all_given_and_said(unlabelled, untrained_model, tmp_path):
    said: list[str] = []
    names = suggest(str(untrained_model), unlabelled, tmp_path / "out", Settings(99), said.append)
    assert 0 < len(names) <= 12
    assert any("99 that were asked for: there are no more" in line for line in said)


def test_what_cannot_be_suggested_from_is_told(unlabelled, untrained_model, tmp_path):
    def of(folder: Path, out: Path = tmp_path / "out", form: str = "coco") -> None:
        suggest(str(untrained_model), folder, out, Settings(3, form), lambda line: None)

    with pytest.raises(DatasetError, match="no such folder"):
        of(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="has no images"):
        of(tmp_path / "empty")
    (tmp_path / "empty" / "a.jpg").write_bytes(b"none")
    with pytest.raises(DatasetError, match="none of its 1 images can be read"):
        of(tmp_path / "empty")
    with pytest.raises(ConfigError, match="--form json: expected one of coco, yolo, voc, labels"):
        of(unlabelled, form="json")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        of(unlabelled, out=tmp_path / "mine")
    with pytest.raises(ConfigError, match="must lie apart"):
        of(unlabelled, out=unlabelled / "out")
    assert not (tmp_path / "out").exists()
