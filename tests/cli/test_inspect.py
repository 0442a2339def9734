"""`mindssd inspect`: what it prints and writes, and how it ends on what it cannot read."""

import json
import shlex

import pytest

pytestmark = pytest.mark.usefixtures("any_engine")


def test_it_tells_of_parts_classes_and_default_boxes(mindssd, shapes_dir, tmp_path):
    done = mindssd("inspect", shapes_dir, "--json", tmp_path / "report.json")
    assert done.status == 0, done.err
    assert f"{shapes_dir}: COCO, recognised by annotations" in done.out
    assert "rectangle" in done.out and "Default boxes of small_data" in done.out
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["parts"]["train"]["num_images"] == 12
    assert found["anchors"]["num_truths"] == found["parts"]["train"]["num_boxes"]


def test_a_recipe_and_settings_change_what_is_measured(mindssd, shapes_dir, tmp_path):
    words = ("--config", "ssd_mobilenetv2", "image_size=416", "--json", tmp_path / "report.json")
    assert mindssd("inspect", shapes_dir, *words).status == 0
    found = json.loads((tmp_path / "report.json").read_text())["anchors"]
    assert (found["recipe"], found["image_size"]) == ("ssd_mobilenetv2", [416, 416])


def test_a_set_without_validation_images_is_looked_at_all_the_same(mindssd, shapes_dir, tmp_path):
    data_dir = tmp_path / "half"
    for part in ("annotations/instances_train2017.json", "train2017"):
        (data_dir / part).parent.mkdir(parents=True, exist_ok=True)
        (data_dir / part).symlink_to(shapes_dir / part)
    done = mindssd("inspect", data_dir)
    assert done.status == 0 and "What to do" in done.out


def test_the_command_at_its_end_may_be_pasted(mindssd, shapes_dir, tmp_path):
    data_dir = tmp_path / "my set"
    data_dir.symlink_to(shapes_dir)
    done = mindssd("inspect", data_dir, "image_size=[192, 256]", "format=coco")
    _, command = done.out.split("mindssd train ")
    words = ["--config", "small_data", f"data_dir={data_dir}"]
    assert shlex.split(command) == [*words, "image_size=[192, 256]", "format=coco"]


def test_what_is_no_data_set_is_one_line(mindssd, tmp_path):
    assert "no such folder" in mindssd("inspect", tmp_path / "nothing").fault
    assert "name one" in mindssd("inspect", tmp_path, "data_dir=other").fault


def test_a_report_that_cannot_be_written_is_told_before_the_work(mindssd, shapes_dir, tmp_path):
    fault = mindssd("inspect", shapes_dir, "--json", tmp_path / "no" / "report.json").fault
    assert "cannot be written" in fault
