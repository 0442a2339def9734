"""A published detector by its name on the command line, fetched from a server on this machine."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mindssd.build.model import load
from mindssd.deploy import bench
from mindssd.weights import download
from mindssd.weights.published import PUBLISHED
from mindssd.weights.safetensors_file import read_metadata
from mindssd.weights.transfer import read_weights
from tests.cli.conftest import Command
from tests.golden.facts import REDUCED, Golden
from tests.mirror import detector_file, mirror, publish

NAME = "ssd_mobilenetv2"
ENGINE = ("--engine", "torch", "--device", "CPU")


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Sure of a car in every default box, and of nothing else."""
    shapes = Golden(NAME, REDUCED).reference_shapes()
    sure: dict[str, np.ndarray] = {}
    for name, shape in shapes.items():
        if name.startswith("multi_box.multi_cls") and ".3." in name:
            sure[name] = np.zeros(shape, np.float32)
            if name.endswith("bias"):
                sure[name][:] = -9
                sure[name][3::81] = 2
    return detector_file(NAME, tmp_path_factory.mktemp("file") / "a.ckpt", **sure)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes) -> Any:
    """The working directory, with a photo, while a mirror sends the detector."""
    pytest.importorskip("torch")
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    cv2.imwrite("photo.png", np.full((60, 80, 3), 90, np.uint8))
    with mirror(monkeypatch, tmp_path / "cache") as server:
        publish(monkeypatch, server, NAME, content)
        yield folder


def test_predict_fetches_it_says_so_once_and_finds_cocos_classes(
    mindssd: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = mindssd("predict", NAME, "photo.png", "--out", "one", *ENGINE)
    assert first.status == 0 and first.out.count("is now the model") == 1
    monkeypatch.setenv(download.BASE_URL_VARIABLE, "http://127.0.0.1:9")
    again = mindssd("predict", NAME, "photo.png", "--out", "two", *ENGINE)
    assert again.status == 0 and "is now the model" not in again.out
    found = json.loads(Path("two/detections.json").read_text())
    assert {entry["category_id"] for entry in found["annotations"]} == {3}
    assert (
        len(found["categories"]) == 80 and {"id": 90, "name": "toothbrush"} in found["categories"]
    )


def test_without_a_network_the_fault_is_one_line_with_the_address(
    mindssd: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(download.BASE_URL_VARIABLE, "http://127.0.0.1:9")
    for words in (
        ("predict", NAME, "photo.png", *ENGINE),
        ("eval", NAME, "data_dir=."),
        ("export", NAME),
        ("bench", NAME),
        ("weights", "fetch", NAME),
    ):
        fault = mindssd(*words).fault
        assert f"http://127.0.0.1:9/{PUBLISHED[NAME].path}: cannot be reached" in fault


def test_an_export_of_it_lies_where_the_command_was_given(mindssd: Command, here: Path) -> None:
    done = mindssd("export", NAME, "--format", "ckpt")
    assert done.status == 0 and f"written: {NAME}.ckpt" in done.out
    parameters, kind, _ = read_weights(here / f"{NAME}.ckpt")
    assert kind == "reference_ssd"
    for name, array in parameters.items():
        assert array.shape == Golden(NAME, REDUCED).canonical_shapes()[name]


def test_fetching_it_makes_the_model(mindssd: Command, here: Path) -> None:
    done = mindssd("weights", "fetch", NAME)
    (line,) = done.out.splitlines()
    assert "is now the model" in done.err
    path = Path(line.removeprefix(f"{NAME}: "))
    assert read_metadata(path).class_names[0] == "person"


@pytest.mark.slow
def test_its_onnx_file_says_where_it_comes_from_and_detects_the_same(
    mindssd: Command, here: Path
) -> None:
    for package in ("onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    from mindssd.deploy.sessions.opening import open_session

    done = mindssd("export", NAME, "engine=torch", "device=CPU")
    assert done.status == 0, done.err
    manifest = open_session(here / f"{NAME}.onnx").manifest
    assert manifest.recipe == NAME and len(manifest.metadata.class_names) == 80
    assert manifest.metadata.origin["name"] == NAME
    assert mindssd("predict", f"{NAME}.onnx", "photo.png", "--out", "onnx").status == 0
    assert mindssd("predict", NAME, "photo.png", "--out", "torch", *ENGINE).status == 0
    one, other = (
        json.loads(Path(f"{out}/detections.json").read_text())["annotations"]
        for out in ("onnx", "torch")
    )
    assert len(one) == len(other) > 0


def test_it_is_measured_by_name(
    mindssd: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, on PyTorch; `test_bench.py` measures in processes of their own."""
    monkeypatch.setattr(bench, "ProcessPoolExecutor", lambda n, **_: ThreadPoolExecutor(n))
    monkeypatch.setattr(bench, "load", partial(load, engine="torch", device="CPU"))
    for name in ("WARM_UP_RUNS", "MIN_THROUGHPUT_IMAGES"):
        monkeypatch.setattr(bench, name, 1)
    done = mindssd("bench", NAME, "--runs", 5, "--batch", 1)
    assert done.status == 0 and "PyTorch" in done.out
