"""What every earlier format version wrote opens, and what a newer one wrote is refused."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import mindssd
from mindssd.build.model import described_config
from mindssd.build.run import resume_run, saved_config
from mindssd.build.training import read_origin
from mindssd.config.load import load_config, to_yaml, training_settings
from mindssd.config.schema import FPNNeckConfig, GridBoxesConfig
from mindssd.config.versions import FORMAT_VERSION
from mindssd.deploy.manifest import Manifest
from mindssd.engines.base import StepperState
from mindssd.errors import MindSSDError, VersionError
from mindssd.images import read_image
from mindssd.training.checkpoint import Checkpoint, Origin, read_newest, write_checkpoint
from mindssd.weights.safetensors_file import read_metadata, read_model, write_model
from tests.versions.make import write_data

NEWER = FORMAT_VERSION + 1
REFUSAL = rf"has format version {NEWER}.* reads up to version {FORMAT_VERSION}; upgrade mindssd$"

FOLDERS = sorted(Path(__file__).parent.glob("version_*"))

of_each_version = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


needs_torch = pytest.mark.skipif(
    find_spec("torch") is None, reason="PyTorch, which wrote these files' weights, is not installed"
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder


def version_of(folder: Path) -> int:
    return int(folder.name.removeprefix("version_"))


def expected(folder: Path) -> dict:
    return json.loads((folder / "expected.json").read_text())


def require_same_detections(folder: Path, model: Path, data_dir: Path, **settings: object) -> None:
    theirs = expected(folder)
    detector = mindssd.load(model, score_threshold=0.05, **settings)
    found = detector(read_image(data_dir / "val2017" / "0.png"))
    assert found.class_names == ("red", "green")
    count = len(theirs["scores"])
    np.testing.assert_array_equal(found.class_ids[:count], theirs["class_ids"])
    np.testing.assert_allclose(found.scores[:count], theirs["scores"], atol=1e-5)
    np.testing.assert_allclose(found.boxes[:count], theirs["boxes"], atol=1e-3)


def test_each_version_before_todays_has_a_folder() -> None:
    assert sorted(map(version_of, FOLDERS)) == list(range(1, FORMAT_VERSION))


@of_each_version
@needs_torch
def test_a_model_opens_and_detects_the_same(folder: Path, data_dir: Path) -> None:
    require_same_detections(folder, folder / "model.safetensors", data_dir, engine="torch")


@of_each_version
def test_an_exported_model_opens_and_detects_the_same(folder: Path, data_dir: Path) -> None:
    require_same_detections(folder, folder / "model.onnx", data_dir)


@of_each_version
def test_a_description_says_its_version_and_the_network(folder: Path) -> None:
    model, mindir = folder / "model.safetensors", folder / "model.mindir.json"
    manifest = Manifest.from_strings(mindir, json.loads(mindir.read_text()))
    for metadata in (read_metadata(model), manifest.metadata):
        assert metadata.format_version == version_of(folder)
        config = described_config(metadata, model)
        assert config.neck == FPNNeckConfig(fpn_channels=2, fpn_extra_levels=0)
        assert config.default_boxes == GridBoxesConfig(
            scales_per_octave=1, grid_aspect_ratios=(1.0,)
        )
    assert manifest.num_boxes == 256


@of_each_version
def test_a_model_that_is_written_again_keeps_what_it_says(folder: Path, tmp_path: Path) -> None:
    parameters, metadata = read_model(folder / "model.safetensors")
    write_model(tmp_path / "again.safetensors", parameters, metadata)
    assert read_metadata(tmp_path / "again.safetensors") == metadata


@of_each_version
def test_a_runs_settings_are_those_of_its_checkpoint(folder: Path) -> None:
    """So that a resume finds nothing changed."""
    checkpoint, damage = read_newest(folder / "run" / "last" / "checkpoint.safetensors")
    assert damage is None and checkpoint.format_version == version_of(folder)
    settings = training_settings(saved_config(folder / "run"))
    assert read_origin(checkpoint, "last/").settings == settings


@of_each_version
@needs_torch
def test_a_run_goes_on_as_it_would_have(folder: Path, data_dir: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    resume_run(run, [f"data_dir={data_dir}"])
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    losses = {e["step"]: e["loss"] for e in events if e["event"] == "train"}
    # Later ones follow the order of sums, which each release of PyTorch may choose anew.
    for step in range(4, 10):
        assert losses[step] == pytest.approx(expected(folder)["losses"][str(step)], rel=1e-3)
    last, _ = read_newest(run / "last" / "checkpoint.safetensors")
    assert (last.step, last.format_version) == (20, FORMAT_VERSION)
    assert f"format_version: {FORMAT_VERSION}" in (run / "config.yaml").read_text()


def rewritten(model: Path, target: Path, **changes: str) -> Path:
    with safe_open(model, framework="np") as file:
        strings = {**file.metadata(), **changes}
    save_file(load_file(model), target, metadata=strings)
    return target


def refusal(path: Path, read: object, *arguments: object) -> str:
    with pytest.raises(VersionError, match=REFUSAL) as caught:
        read(*arguments)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_newer_model_is_refused_whatever_else_it_says(tmp_path: Path) -> None:
    changes = {"format_version": str(NEWER), "mindssd_version": '"7.8.9"', "grids": "otherwise"}
    path = rewritten(FOLDERS[0] / "model.safetensors", tmp_path / "m.safetensors", **changes)
    said = refusal(path, mindssd.load, path)
    assert "version 3 (mindssd 7.8.9), and mindssd 0.1.0, which is installed here" in said


def test_a_newer_export_is_refused(tmp_path: Path) -> None:
    import onnx

    model = onnx.load(FOLDERS[0] / "model.onnx")
    [entry] = [e for e in model.metadata_props if e.key == "format_version"]
    entry.value = str(NEWER)
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    refusal(path, mindssd.load, path)


def test_a_newer_checkpoint_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.safetensors"
    monkeypatch.setattr("mindssd.training.checkpoint.FORMAT_VERSION", NEWER)
    origin = Origin({"batch_size": 4}, ["cat"], 12, "fingerprint", 2)
    write_checkpoint(path, Checkpoint({}, StepperState(), 1, origin, None, 0, 0.0))
    refusal(path, read_newest, path)


def test_a_newer_runs_configuration_is_refused(tmp_path: Path) -> None:
    text = to_yaml(load_config("demo")).replace(
        f"format_version: {FORMAT_VERSION}", f"format_version: {NEWER}\nsetting_to_come: 1"
    )
    path = tmp_path / "config.yaml"
    path.write_text(text)
    refusal(path, load_config, str(path))


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "two", "[2]", "true"])
def test_what_is_no_version_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"inherits: demo\nformat_version: {text}\n")
    with pytest.raises(MindSSDError, match=r"config\.yaml: format_version=.*a whole number from 1"):
        load_config(str(path))


def test_a_file_without_a_version_is_of_the_first(tmp_path: Path) -> None:
    """A person's too: it may have settings of one kind alone."""
    path = tmp_path / "mine.yaml"
    path.write_text("inherits: demo\nepochs: 3\n")
    assert load_config(str(path)).epochs == 3
