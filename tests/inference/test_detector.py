"""Opening a trained model: what is asked of it before any framework is imported."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mindssd
from mindssd.build.model import load_model
from mindssd.config.load import load_config, to_tree
from mindssd.config.schema import Config
from mindssd.errors import ConfigError, ImageError, WeightsError
from mindssd.inference.detector import Detector
from mindssd.types import Array, Detections
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
    monkeypatch.setattr("mindssd.build.model.build_engine", lambda config: None)
    monkeypatch.setattr("mindssd.build.model.build_network", lambda *wanted: network)
    return network


def model_file(path: Path) -> Path:
    tree = to_tree(load_config("demo", ["default_boxes.grid_scale=4"]))
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
    tree = {**to_tree(load_config("demo", ["default_boxes.grid_scale=4"])), **settings}
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
    with pytest.raises(WeightsError, match=r"only a backbone.*backbone_ckpt_path="):
        load_model(
            tmp_path / "b.ckpt", load_config("demo", ["default_boxes.grid_scale=4"]), ("fish",)
        )


class Given:
    """A predictor that keeps what it is given, and finds nothing."""

    def __init__(self) -> None:
        self.images: list[Array] = []

    def detect(self, images: Iterable[Array]) -> list[Detections]:
        self.images = list(images)
        return [Detections.empty(("fish",)) for _ in self.images]


@pytest.fixture
def given() -> Given:
    return Given()


@pytest.fixture
def call(given: Given) -> Detector:
    metadata = ModelMetadata({}, ("fish",), (1,), (8, 8), (0, 0, 0), (1, 1, 1), ((1, 1),))
    return Detector(given, metadata)  # type: ignore[arg-type]


class Tensor:
    """What frameworks' arrays look like to NumPy."""

    def __init__(self, array: Array) -> None:
        self._array = array

    def __array__(self, *options: Any) -> Array:
        return self._array


def test_a_detector_takes_paths_arrays_pil_images_and_bytes(
    tmp_path: Path, given: Given, call: Detector
) -> None:
    image = Image.new("P", (4, 3))
    image.putpalette([200, 100, 50])
    path = tmp_path / "a.png"
    image.save(path)
    array = np.full((3, 4, 3), (200, 100, 50), np.uint8)
    images = [path, str(path), image, array, path.read_bytes(), Tensor(array)]
    assert len(call(images)) == 6
    for seen in given.images:
        np.testing.assert_array_equal(seen, array)
    for one in images:
        assert len(call(one)) == 0
        np.testing.assert_array_equal(given.images, [array])
    assert [len(found) for found in call(tuple(images[:2]))] == [0, 0]


def test_no_images_give_no_detections(call: Detector) -> None:
    assert call([]) == [] and call(()) == []


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (None, "the image is None"),
        (3, "the image is an int"),
        (2.5, "the image is a float"),
        ({"image": "a.png"}, "the image is a dict"),
        ({"a.png"}, "the image is a set"),
        ((name for name in ("a.png",)), "the image is a generator"),
        ([None], "image 0 of the list is None"),
        (["a.png", 3], "image 1 of the list is an int"),
        ([["a.png"]], "image 0 of the list is a list"),
        ([[[0, 0, 0], [0, 0, 0]]], "image 0 of the list is a list"),
    ],
)
def test_what_is_no_image_is_named_with_what_is(
    given: Given, call: Detector, wrong: object, what: str
) -> None:
    with pytest.raises(TypeError) as told:
        call(wrong)
    assert str(told.value).startswith(f"{what}; expected a path, an http:// or https:// address")
    assert "\n" not in str(told.value) and not given.images


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("", "the image is an empty path"),
        (["", "a"], "image 0 of the list is an empty path"),
        ("a\0b.png", "'a\\x00b.png': cannot be read"),
        (Path(), "Is a directory"),
        (b"", "the image: the file is empty"),
        (b"no picture", "the image: "),
        (np.zeros((2, 2, 3), np.int32), "the image: image has dtype int32"),
        (np.full((2, 2, 3), 2.0), "the image: image has float64 values from 2 to 2; expected 0"),
        ([np.zeros(3, np.uint8)], "image 0 of the list: image has shape"),
        (np.array(None), "the image: image has dtype object"),
    ],
)
def test_what_is_no_picture_is_an_image_error_of_one_line(
    call: Detector, wrong: object, message: str
) -> None:
    with pytest.raises(ImageError) as told:
        call(wrong)
    assert message in str(told.value) and "\n" not in str(told.value)
