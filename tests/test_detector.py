"""Opening a trained model: what is asked of it before any framework is imported."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mindssd
from mindssd import build, detector
from mindssd.config.load import load_config, to_tree
from mindssd.config.schema import Config
from mindssd.detector import load_model
from mindssd.errors import ConfigError, WeightsError
from mindssd.types import Array
from mindssd.weights.mindspore_checkpoint import write_checkpoint
from mindssd.weights.safetensors_file import ModelMetadata, write_model

PARAMETERS = {"head.boxes.0.predict.bias": np.ones(4, np.float32)}


class FakeNetwork:
    """One tensor, and what was loaded into it."""

    def __init__(self) -> None:
        self.loaded: dict[str, Array] = {}

    def parameters(self) -> dict[str, Array]:
        return {name: np.zeros_like(value) for name, value in PARAMETERS.items()}

    def load_parameters(self, parameters: dict[str, Array]) -> None:
        self.loaded = dict(parameters)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> FakeNetwork:
    network = FakeNetwork()
    monkeypatch.setattr(build, "build_engine", lambda config: None)
    monkeypatch.setattr(build, "build_network", lambda *wanted: network)
    return network


def model_file(path: Path) -> Path:
    tree = to_tree(load_config("demo"))
    metadata = ModelMetadata(tree, ("fish",), (1,), (8, 8), (0, 0, 0), (1, 1, 1), ((1, 1),))
    write_model(path, PARAMETERS, metadata)
    return path


@pytest.mark.parametrize(
    "settings",
    [
        {"score_threshold": -0.1},
        {"score_threshold": 30},
        {"score_threshold": float("nan")},
        {"iou_threshold": 1.5},
        {"max_detections": 0},
        {"max_detections": -1},
        {"overlap": 0.3},  # without tile
    ],
)
def test_a_setting_out_of_range_is_named_before_the_file_is_opened(
    settings: dict[str, Any],
) -> None:
    (name,) = settings
    with pytest.raises(ConfigError, match=f"{name} is .*; (expected|give both)"):
        mindssd.load("absent.safetensors", **settings)


def test_a_file_without_a_description_needs_a_config(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.ckpt", PARAMETERS)
    for load in (mindssd.load, load_model):
        with pytest.raises(ConfigError, match=r"a\.ckpt does not say what network .* --config"):
            load(tmp_path / "a.ckpt")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(WeightsError, match=r"absent\.safetensors: no such file"):
        mindssd.load("absent.safetensors")


def test_a_model_file_brings_its_own_config_and_classes(
    tmp_path: Path, network: FakeNetwork
) -> None:
    loaded = load_model(model_file(tmp_path / "m.safetensors"), device="CPU")
    assert loaded.config.device == "CPU" and loaded.class_names == ("fish",)
    np.testing.assert_array_equal(network.loaded["head.boxes.0.predict.bias"], np.ones(4))


def test_what_a_model_was_trained_by_binds_nobody_who_opens_it(
    tmp_path: Path, network: FakeNetwork
) -> None:
    """PyTorch's settings, which MindSpore would refuse."""
    settings = {"engine": "torch", "device": "GPU", "precision": "bfloat16"}
    settings |= {"deterministic": True, "sync_batch_norm": True}
    tree = {**to_tree(load_config("demo")), **settings}
    metadata = ModelMetadata(tree, ("fish",), (1,), (8, 8), (0, 0, 0), (1, 1, 1), ((1, 1),))
    path = tmp_path / "m.safetensors"
    write_model(path, PARAMETERS, metadata)
    config = load_model(path).config
    defaults = Config()
    assert {key: getattr(config, key) for key in settings} == {
        key: getattr(defaults, key) for key in settings
    }


def test_a_backbone_alone_is_refused_with_the_way_out(tmp_path: Path, network: FakeNetwork) -> None:
    write_checkpoint(tmp_path / "b.ckpt", {"features.0.0.weight": np.ones((1, 1), np.float32)})
    with pytest.raises(WeightsError, match=r"backbone alone.*backbone_ckpt_path="):
        load_model(tmp_path / "b.ckpt", load_config("demo"), ("fish",))


def test_a_detector_takes_paths_arrays_and_pil_images(tmp_path: Path) -> None:
    image = Image.new("P", (4, 3))
    image.putpalette([200, 100, 50])
    image.save(tmp_path / "a.png")
    given: list[Array] = []

    class Fake:
        def detect(self, images: Iterable[Array]) -> list[None]:
            given.extend(images)
            return [None] * len(given)

    metadata = ModelMetadata({}, ("fish",), (1,), (8, 8), (0, 0, 0), (1, 1, 1), ((1, 1),))
    call = detector.Detector(Fake(), metadata)  # type: ignore[arg-type]
    array = np.full((3, 4, 3), (200, 100, 50), np.uint8)
    assert len(call([tmp_path / "a.png", str(tmp_path / "a.png"), image, array])) == 4
    for seen in given:
        np.testing.assert_array_equal(seen, array)
