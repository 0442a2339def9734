"""`mindssd models` lists what can be named where a model is asked for."""

import json
import os
import shutil
from pathlib import Path

import pytest

from mindssd import files
from mindssd.weights import download
from mindssd.weights.published import PUBLISHED, names_of
from mindssd.weights.safetensors_file import ModelMetadata, write_model
from tests.cli.conftest import Command
from tests.golden.facts import REDUCED, Golden
from tests.mirror import detector_file, mirror, publish


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working directory and a cache with nothing in them, and no server."""
    monkeypatch.setenv(files.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(download.BASE_URL_VARIABLE, "http://127.0.0.1:9")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def trained(path: str, names: tuple[str, ...], age: int, **metrics: float) -> Path:
    """A run's model, some seconds old."""
    ids = tuple(range(1, len(names) + 1))
    config = {"evaluation": {"protocol": "coco"}}
    zero, one = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    metadata = ModelMetadata(config, names, ids, (240, 320), zero, one, ((1, 1),), metrics)
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    parameters = Golden("ssd_mobilenetv2", REDUCED).parameters()
    name = next(iter(parameters))
    write_model(file, {name: parameters[name]}, metadata)
    os.utime(file, (1_000_000 - age, 1_000_000 - age))
    return file


def test_the_published_ones_are_listed_with_or_without_a_cache(mindssd: Command) -> None:
    done = mindssd("models")
    assert done.status == 0
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[0] == "name classes image AP size"
    row = "80: person, bicycle, … 300×300 0.232 mindcv 18 MB to fetch"
    assert lines[1] == f"ssd_mobilenetv2 {row}"
    assert lines[3].startswith("ssd_resnet50_fpn 80: person, bicycle, … 640×640 0.383")
    assert lines[4] == "no trained models here: mindssd train data_dir=PATH"


def test_one_that_was_fetched_has_its_file(
    mindssd: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with mirror(monkeypatch, tmp_path / "cache") as server:
        content = detector_file("ssd_mobilenetv2", tmp_path / "a.ckpt")
        publish(monkeypatch, server, "ssd_mobilenetv2", content)
        assert mindssd("weights", "fetch", "ssd_mobilenetv2").status == 0
    entries = json.loads(mindssd("models", "--json").out)
    assert [entry["name"] for entry in entries] == names_of("detector")
    first, second = entries[:2]
    assert Path(first["path"]).parent == tmp_path / "cache"
    assert first["num_bytes"] == Path(first["path"]).stat().st_size
    assert (second["path"], second["num_bytes"]) == (None, 20_000_000)
    assert second["source"] == download.address(PUBLISHED["ssd_mobilenetv3"])
    assert first["class_names"][79] == "toothbrush" and first["metrics"] == {"AP": 0.232}


def test_models_of_runs_and_searches_follow_newest_first(mindssd: Command) -> None:
    trained("runs/old/best.safetensors", ("cat",), age=30, AP=0.25, AP50=0.5)
    trained("runs/new/best.safetensors", ("cat", "dog"), age=10)
    trained("tunes/first/final-as_it_is/best.safetensors", ("cat",), age=20, AP=float("nan"))
    Path("runs/begun").mkdir()
    lines = [" ".join(line.split()) for line in mindssd("models").out.splitlines()][4:]
    assert [line.rpartition(" – ")[0] or line for line in lines] == [
        "runs/new/best.safetensors 2: cat, dog 320×240",
        "tunes/first/final-as_it_is/best.safetensors 1: cat 320×240",
        lines[2],
    ]
    assert lines[2].startswith("runs/old/best.safetensors 1: cat 320×240 0.250 coco 0.0 MB")
    runs = json.loads(mindssd("models", "--json").out)[3:]
    assert [run["metrics"] for run in runs] == [{}, {"AP": None}, {"AP": 0.25, "AP50": 0.5}]
    assert {run["kind"] for run in runs} == {"run"}


def test_other_folders_may_be_named_and_a_runs_own(mindssd: Command) -> None:
    file = trained("elsewhere/a/best.safetensors", ("cat",), age=0)
    for folder in ("elsewhere", "elsewhere/a"):
        entries = json.loads(mindssd("models", folder, "--json").out)
        assert [entry["path"] for entry in entries[3:]] == [str(file)]
    assert mindssd("models", "nowhere").fault.startswith("nowhere: no such folder")


def test_a_damaged_model_is_listed_with_its_fault(mindssd: Command) -> None:
    file = trained("runs/a/best.safetensors", ("cat",), age=0)
    shutil.copytree("runs/a", "runs/b")
    file.write_bytes(file.read_bytes()[:-10])
    done = mindssd("models")
    assert done.status == 0
    assert "runs/a/best.safetensors cannot be read" in " ".join(done.out.split())
    assert "runs/a/best.safetensors: is truncated or damaged" in done.out
    assert "runs/b/best.safetensors 1: cat" in " ".join(done.out.split())
