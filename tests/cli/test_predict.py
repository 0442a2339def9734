"""`mindssd predict`: pictures and JSON for what can be read, a line for what cannot."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec

import cv2
import numpy as np
import pytest

from mindssd.weights.mindspore_checkpoint import write_checkpoint


@pytest.fixture
def photos(shapes_dir, tmp_path):
    """Two images and one that is cut short."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("0.png", "1.png"):
        shutil.copy(shapes_dir / "val2017" / name, folder / name)
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:200])
    return folder


def test_images_are_drawn_and_listed_and_a_broken_one_skipped(
    mindssd, untrained_model, photos, tmp_path
):
    out = tmp_path / "out"
    done = mindssd("predict", untrained_model, photos, "--out", out, "--sheet", "--device", "CPU")
    assert done.status == 1  # because of the broken one, which is named
    assert f"skipped: {photos / 'broken.png'}" in done.out + done.err
    assert "Traceback" not in done.out + done.err
    assert sorted(path.name for path in out.iterdir()) == [
        "0.png",
        "1.png",
        "contact_sheet.jpg",
        "detections.json",
    ]
    before, after = cv2.imread(str(photos / "0.png")), cv2.imread(str(out / "0.png"))
    assert after.shape[0] / after.shape[1] == before.shape[0] / before.shape[1]
    assert np.any(after != cv2.resize(before, after.shape[1::-1], interpolation=cv2.INTER_NEAREST))
    found = json.loads((out / "detections.json").read_text())
    assert [image["file_name"] for image in found["images"]] == [
        str(photos / "0.png"),
        str(photos / "1.png"),
    ]
    assert found["images"][0]["width"] == 160
    assert found["categories"] == [{"id": 3, "name": "rectangle"}, {"id": 7, "name": "ellipse"}]
    assert found["annotations"]
    for annotation in found["annotations"]:
        assert annotation["category_id"] in (3, 7)
        x, y, width, height = annotation["bbox"]
        assert min(x, y) >= 0 and x + width <= 160.01 and y + height <= 120.01
        assert annotation["score"] > 0.3


def test_the_limit_of_detections_is_an_option(mindssd, deploy, photos, tmp_path):
    for words, count in (([], 100), (["--max-detections", 7], 7)):
        out = tmp_path / str(count)
        mindssd("predict", deploy(), photos / "0.png", "--out", out, "--save", "json", *words)
        assert len(json.loads((out / "detections.json").read_text())["annotations"]) == count


def test_a_higher_score_shows_less(mindssd, untrained_model, quickest_engine, photos, tmp_path):
    """The model scores everything 0.88."""
    for score, any_found in ((0.8, True), (0.9, False)):
        out = tmp_path / f"out{score}"
        words = ["--engine", quickest_engine, "--out", out, "--score", score]
        done = mindssd("predict", untrained_model, photos / "0.png", *words)
        assert (done.status, done.err) == (0, "")
        found = json.loads((out / "detections.json").read_text())
        assert bool(found["annotations"]) is any_found


def test_a_source_that_is_nothing_is_named(mindssd, untrained_model, tmp_path):
    fault = mindssd("predict", untrained_model, tmp_path / "no.jpg").fault
    assert fault == f"{tmp_path}/no.jpg: no such file or folder"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert mindssd("predict", untrained_model, empty).fault.startswith(f"{empty}: no images there")


def test_a_model_that_is_not_there_is_named(mindssd, photos, tmp_path):
    fault = mindssd("predict", tmp_path / "best.safetensors", photos).fault
    assert fault.startswith(f"{tmp_path}/best.safetensors: no such file")


@pytest.mark.parametrize("kept", [0, 7, 1000, -1])
def test_a_corrupted_model_is_named(mindssd, untrained_model, photos, tmp_path, kept):
    path = tmp_path / "best.safetensors"
    path.write_bytes(untrained_model.read_bytes()[:kept])
    assert str(path) in mindssd("predict", path, photos).fault


def test_an_image_in_the_place_of_the_model_is_named(mindssd, photos):
    fault = mindssd("predict", photos / "0.png", photos).fault
    assert fault.startswith(
        f"{photos / '0.png'} is not a model; give the model first: mindssd predict M"
    )


@pytest.mark.parametrize("end", ["street", "clip.mp4", "m.onnx"])
def test_an_address_in_the_place_of_the_model_is_named_without_its_secrets(mindssd, photos, end):
    fault = mindssd("predict", f"rtsp://user:secret@host/{end}?token=secret", photos).fault
    assert fault.startswith(
        f"rtsp:/host/{end}?… is not a model; give the model first: mindssd predict M"
    )
    assert "secret" not in fault


def test_a_file_that_is_no_checkpoint_is_told_so(mindssd, photos, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no model")
    for command in (("predict", path, photos), ("eval", path, f"data_dir={photos}")):
        assert "is neither a mindssd model nor a MindSpore checkpoint" in mindssd(*command).fault


@pytest.mark.parametrize("option", ["--save", "--classes"])
def test_an_empty_list_is_refused(mindssd, untrained_model, photos, option):
    fault = mindssd("predict", untrained_model, photos, option, "").fault
    assert fault.startswith(f"{option} is empty: expected ")


def test_a_checkpoint_that_does_not_describe_itself_says_the_way_out(mindssd, photos, tmp_path):
    path = tmp_path / "old.ckpt"
    write_checkpoint(path, {"head.boxes.0.predict.bias": np.zeros(8, np.float32)})
    fault = mindssd("predict", path, photos).fault
    assert fault.startswith(f"{path} does not say what network it is for")


@pytest.mark.parametrize("engine", ["mindspore", "torch"])
def test_either_engine_detects_alone(
    engine, mindssd, untrained_model, photos, monkeypatch, tmp_path
):
    """The other looks as if it were not installed, and none is named."""
    others = {"mindspore", "torch"} - {engine}
    monkeypatch.setattr(
        "mindssd.build.engine.find_spec", lambda name: None if name in others else find_spec(name)
    )
    assert mindssd("predict", untrained_model, photos, "--out", tmp_path).out.count("detections in")


def test_an_engine_that_is_not_there_is_an_error_with_the_way_out(
    mindssd, untrained_model, photos, monkeypatch
):
    monkeypatch.setattr(
        "mindssd.build.engine.find_spec", lambda name: None if name == "torch" else find_spec(name)
    )
    fault = mindssd("predict", untrained_model, photos, "--engine", "torch").fault
    assert fault.startswith("PyTorch is not installed; pip install 'mindssd[torch]'")
    fault = mindssd("predict", untrained_model, photos, "--engine", "tensorflow").fault
    assert "expected one of auto, mindspore, torch" in fault


def test_without_an_engine_the_ways_to_get_one_are_said(
    mindssd, untrained_model, photos, monkeypatch
):
    monkeypatch.setattr("mindssd.build.engine.find_spec", lambda name: None)
    fault = mindssd("predict", untrained_model, photos).fault
    assert "pip install 'mindssd[mindspore]'" in fault


def test_an_out_that_cannot_be_made_is_named(mindssd, untrained_model, quickest_engine, photos):
    words = ["--engine", quickest_engine, "--out", photos / "0.png" / "x"]
    fault = mindssd("predict", untrained_model, photos, *words).fault
    assert str(photos / "0.png" / "x") in fault


def test_a_process_of_its_own_ends_in_silence(untrained_model, photos, tmp_path):
    """MindSpore 2.10.0 prints tracebacks at exit unless it is kept from it."""
    words = ["predict", str(untrained_model), str(photos / "0.png"), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "mindssd", *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "detections in 1 image" in done.stdout
