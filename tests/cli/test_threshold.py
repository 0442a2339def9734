"""`mindssd threshold`: the table, what is written, and what is asked for in vain."""

import json
import shutil

import pytest

from mindssd.weights.safetensors_file import read_metadata


@pytest.fixture
def model(untrained_model, tmp_path):
    return shutil.copy(untrained_model, tmp_path / "best.safetensors")


@pytest.fixture
def threshold(mindssd, quickest_engine, model, shapes_dir):
    """`mindssd threshold` of the model and its data set; words come after."""

    def run(*words):
        given = (f"data_dir={shapes_dir}", f"engine={quickest_engine}")
        return mindssd("threshold", model, *given, *words)

    return run


def test_a_threshold_is_shown_saved_and_shown_by_the_commands_that_use_it(
    threshold, mindssd, model, shapes_dir, tmp_path
):
    done = threshold("--save", "--json", tmp_path / "chosen.json")
    assert (done.status, done.err) == (0, "")
    assert "Thresholds by highest F1" in done.out
    assert "on other images" in done.out
    assert "chosen on 12 images: on new ones expect" in done.out
    assert f"written: {model}" in done.out
    written = json.loads((tmp_path / "chosen.json").read_text())
    metadata = read_metadata(model)
    assert metadata.thresholds == written["thresholds"]
    assert metadata.thresholds_by == "highest F1 on 12 images"
    listed = mindssd("models", tmp_path)
    assert "(highest F1 on 12 images)" in listed.out
    photo = next((shapes_dir / "val2017").iterdir())
    own = f"{model}: score > 0.881 (highest F1 on 12 images)"
    out = ("--out", tmp_path / "seen")
    assert own in mindssd("predict", model, photo, *out).out
    assert own not in mindssd("predict", model, photo, *out, "--score", 0.5).out


def test_a_copy_leaves_the_model_as_it_was(threshold, model, tmp_path):
    before = model.read_bytes()
    done = threshold("--per-class", "--cost", "1,5", "--out", tmp_path / "copy.safetensors")
    assert done.status == 0
    assert "rectangle" in done.out and "ellipse" in done.out and "all classes" in done.out
    assert model.read_bytes() == before
    copied = read_metadata(tmp_path / "copy.safetensors")
    assert copied.thresholds.keys() == {"rectangle", "ellipse"}
    assert copied.thresholds_by == "cost 1 false, 5 missed on 12 images"


def test_what_is_stated_with_a_temperature_is_what_the_saved_model_gives(
    threshold, mindssd, quickest_engine, shapes_dir, tmp_path, monkeypatch
):
    """Soft suppression looks at how far scores lie apart, which a temperature changes."""
    monkeypatch.setattr("mindssd.explain.calibrate.fit_temperature", lambda scores, right: 0.5)
    given, soft = (tmp_path / "before.json", tmp_path / "after.json"), "detection.soft_sigma=0.5"
    done = threshold(
        "--calibrate", "--out", tmp_path / "copy.safetensors", "--json", given[0], soft
    )
    assert done.status == 0, done.err
    words = (f"data_dir={shapes_dir}", f"engine={quickest_engine}", soft, "--json", given[1])
    assert mindssd("threshold", tmp_path / "copy.safetensors", *words).status == 0
    before, after = (json.loads(path.read_text()) for path in given)
    assert before["together"] == after["together"]
    assert before["thresholds"] == pytest.approx(after["thresholds"], abs=1e-4)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--f1", "--recall", "0.5"), "recall 0.5 and highest F1: give one of --precision"),
        (("--cost", "1"), "--cost 1: expected two numbers, as 1,5"),
        (("--cost", "1,-1"), "--cost 1,-1: expected two numbers of 0 or more"),
        (("--save", "--out", "x"), "--save writes into the model and --out into a copy"),
    ],
)
def test_what_cannot_be_meant_is_one_line(threshold, words, fault):
    assert threshold(*words).fault.startswith(fault)


def test_a_precision_that_no_threshold_reaches_is_not_saved(threshold, model):
    before = model.read_bytes()
    fault = threshold("--precision", "1", "--save").fault
    assert fault.startswith("precision 1 is reached by no threshold; the nearest, ")
    assert model.read_bytes() == before
