"""`mindssd eval`: the table, the JSON, and what cannot be scored."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mindssd.weights.mindspore_checkpoint import write_checkpoint
from tests.inspect.sets import noise, write_part


@pytest.fixture
def evaluate(mindssd, quickest_engine):
    """`mindssd eval` of a model and a data set by the engine that takes least; words come after."""

    def run(model, data_dir, *words):
        return mindssd("eval", model, f"data_dir={data_dir}", f"engine={quickest_engine}", *words)

    return run


def test_a_models_numbers_are_printed_and_written(mindssd, untrained_model, shapes_dir, tmp_path):
    """By whichever engine it chooses."""
    done = mindssd(
        "eval", untrained_model, f"data_dir={shapes_dir}", "--json", tmp_path / "result.json"
    )
    assert (done.status, done.err) == (0, "")
    assert "COCO metrics" in done.out
    assert "ellipse" in done.out and "rectangle" in done.out
    assert "protocol coco: all images, score > 0.01" in done.out
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["protocol"]["name"] == "coco"
    assert result["num_images"] == 12


def test_the_references_protocol_is_named_with_the_numbers(evaluate, untrained_model, shapes_dir):
    done = evaluate(untrained_model, shapes_dir, "--protocol", "mindcv")
    assert done.status == 0
    assert "protocol mindcv: images with boxes and no crowd, score > 0.1" in done.out


def test_an_unreadable_image_is_counted_and_told(evaluate, untrained_model, shapes_dir, tmp_path):
    data_dir = tmp_path / "data"
    shutil.copytree(shapes_dir, data_dir)
    broken = data_dir / "val2017" / "3.png"
    broken.write_bytes(broken.read_bytes()[:300])
    done = evaluate(untrained_model, data_dir)
    assert done.status == 0
    assert "1 image could not be read" in done.out and "3.png" in done.out
    assert "Traceback" not in done.err


def test_without_truths_there_is_no_ap_and_it_is_said(
    evaluate, untrained_model, shapes_dir, tmp_path
):
    data_dir = Path(shutil.copytree(shapes_dir, tmp_path / "data"))
    path = data_dir / "annotations" / "instances_val2017.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": []}))
    done = evaluate(untrained_model, data_dir)
    assert done.status == 0
    assert "  no boxes: nothing to learn, and no AP\n" in done.out and "no truths" in done.out


def test_classes_in_another_order_are_scored_by_name(
    evaluate, untrained_model, shapes_dir, tmp_path
):
    data_dir = Path(shutil.copytree(shapes_dir, tmp_path / "data"))
    path = data_dir / "annotations" / "instances_val2017.json"
    reordered = json.loads(path.read_text())
    for entry in reordered["annotations"]:
        entry["category_id"] = {3: 3, 7: 1}[entry["category_id"]]
    reordered["categories"][1]["id"] = 1
    results = []
    for text in (path.read_text(), json.dumps(reordered)):
        path.write_text(text)
        done = evaluate(untrained_model, data_dir, "--json", tmp_path / "r")
        assert done.status == 0, done.err
        results.append(json.loads((tmp_path / "r").read_text())["per_class"])
    assert results[0] == results[1] and [r["name"] for r in results[0]] == ["rectangle", "ellipse"]
    path.write_text(path.read_text().replace("ellipse", "circle"))
    fault = evaluate(untrained_model, data_dir).fault
    assert fault.startswith(
        f"{untrained_model} and {path} name different classes: ['rectangle', 'e"
    )


def test_a_json_file_that_cannot_be_written_is_said_before_the_work(
    mindssd, untrained_model, shapes_dir, tmp_path
):
    path = tmp_path / "nowhere" / "result.json"
    done = mindssd("eval", untrained_model, f"data_dir={shapes_dir}", "--json", path)
    assert str(path) in done.fault
    assert "COCO metrics" not in done.out


def test_without_a_data_dir_the_way_out_is_said(mindssd, untrained_model):
    assert mindssd("eval", untrained_model).fault.startswith("data_dir is not set: give data_dir=")


@pytest.mark.parametrize("setting", ["image_size=512", "schedule.learning_rate=0.1"])
def test_what_a_model_has_decided_is_refused(mindssd, untrained_model, deploy, shapes_dir, setting):
    for model in (untrained_model, deploy()):
        fault = mindssd("eval", model, f"data_dir={shapes_dir}", setting).fault
        assert fault.startswith(f"{setting.partition('=')[0]} changes nothing here: `mindssd eval`")
        assert "takes data_dir, format, val_share, group_by, evaluation.protocol, " in fault


@pytest.mark.parametrize("command", ["threshold", "compare"])
def test_a_protocol_changes_nothing_where_one_is_decided(
    mindssd, untrained_model, shapes_dir, tmp_path, command
):
    """What `threshold` and `compare` look at is their own; the command that was typed is named."""
    copy = shutil.copy(untrained_model, tmp_path / "copy.safetensors")
    models = (untrained_model, copy) if command == "compare" else (untrained_model,)
    given = (f"data_dir={shapes_dir}", "evaluation.protocol=mindcv")
    fault = mindssd(command, *models, *given).fault
    assert fault.startswith(f"evaluation.protocol changes nothing here: `mindssd {command}` takes ")
    assert "evaluation.protocol, " not in fault


def test_data_of_other_classes_is_refused(evaluate, untrained_model, shapes_dir, tmp_path):
    """A detector of ellipses cannot be scored on circles; by number they would be the same."""
    data_dir = tmp_path / "data"
    shutil.copytree(shapes_dir, data_dir)
    path = data_dir / "annotations" / "instances_val2017.json"
    path.write_text(path.read_text().replace("ellipse", "circle"))
    fault = evaluate(untrained_model, data_dir).fault
    assert "ellipse" in fault and "circle" in fault


def test_a_model_that_describes_itself_takes_no_recipe(mindssd, untrained_model, shapes_dir):
    done = mindssd("eval", untrained_model, "--config", "demo", f"data_dir={shapes_dir}")
    assert done.fault.endswith("describes its own network; leave --config out")


def test_a_ckpt_needs_a_recipe(mindssd, shapes_dir, tmp_path):
    path = tmp_path / "old.ckpt"
    write_checkpoint(path, {"head.boxes.0.predict.bias": np.zeros(8, np.float32)})
    fault = mindssd("eval", path, f"data_dir={shapes_dir}").fault
    assert fault.startswith(f"{path} does not say what network it is for; give --config RECIPE")


def test_a_checkpoint_of_other_classes_says_both_counts(evaluate, reference_checkpoint, shapes_dir):
    words = ["--config", "ssd_mobilenetv2", "device=CPU"]
    fault = evaluate(reference_checkpoint, shapes_dir, *words).fault
    assert "the checkpoint has 3 classes, this network 2" in fault


def test_a_checkpoint_of_another_recipe_says_what_does_not_fit(
    evaluate, reference_checkpoint, shapes_dir
):
    words = ["--config", "ssd_mobilenetv3", "device=CPU"]
    fault = evaluate(reference_checkpoint, shapes_dir, *words).fault
    assert fault.startswith(f"{reference_checkpoint} does not fit the network: ")


def test_a_backbone_alone_is_no_detector(evaluate, backbone_checkpoint, shapes_dir):
    words = ["--config", "ssd_mobilenetv2", "device=CPU"]
    assert "only a backbone" in evaluate(backbone_checkpoint, shapes_dir, *words).fault


def test_an_unknown_protocol_lists_those_there_are(mindssd, untrained_model):
    done = mindssd("eval", untrained_model, "--protocol", "voc")
    assert done.status == 2
    assert "coco" in done.err and "mindcv" in done.err


def test_a_report_is_written_beside_the_numbers(evaluate, untrained_model, shapes_dir, tmp_path):
    folder = tmp_path / "report"
    for _ in range(2):  # the second in the first one's place
        done = evaluate(untrained_model, shapes_dir, "--report", folder)
        assert (done.status, done.err) == (0, "")
        assert done.out.splitlines()[-1] == f"written: {folder / 'index.html'}"
    names = ["detections.csv", "index.html", "objects.csv", "report.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    figures = json.loads((folder / "report.json").read_text())
    assert figures["evaluation"]["num_images"] == 12
    assert figures["advice"][0] in done.out


def test_a_folder_that_holds_anything_else_is_refused_before_the_work(
    evaluate, untrained_model, shapes_dir, tmp_path
):
    (tmp_path / "notes.txt").write_text("mine")
    fault = evaluate(untrained_model, shapes_dir, "--report", tmp_path).fault
    assert fault.startswith(f"{tmp_path} holds what is no report of `mindssd eval`")
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_exported_model_has_a_report_too(mindssd, deploy, tmp_path):
    """Of the file's own classes and grids."""
    images = {f"{i}.png": (noise(i), [("cat", [20, 20, 60, 50])]) for i in range(3)}
    for part in ("train", "val"):
        write_part(tmp_path / "set", part, images)
    done = mindssd("eval", deploy(), f"data_dir={tmp_path / 'set'}", "--report", tmp_path / "r")
    assert (done.status, done.err) == (0, "")
    assert (tmp_path / "r" / "index.html").is_file()
