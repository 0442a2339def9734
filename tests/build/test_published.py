"""MindCV's published detectors by name, from a server on this machine, to every use of a model.

Their files cannot be had here: they are made of the golden facts' parameters, as MindSpore saves
them in training.
"""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rich.console import Console

import mindssd
from mindssd import files
from mindssd.build import published
from mindssd.build.engine import build_engine
from mindssd.build.evaluation import evaluate_model
from mindssd.build.initial_weights import load_initial_weights
from mindssd.build.model import load_model
from mindssd.build.network import build_network, network_spec
from mindssd.build.published import fetch_published, find_model, model_path
from mindssd.build.run import with_absolute_paths
from mindssd.config.load import load_config
from mindssd.errors import WeightsError
from mindssd.weights import download
from mindssd.weights.coco_categories import COCO_CATEGORIES
from mindssd.weights.mindspore_checkpoint import write_checkpoint
from mindssd.weights.published import PUBLISHED, names_of
from mindssd.weights.safetensors_file import read_metadata, read_model
from tests.golden.facts import REDUCED, Golden, parameter_by_rule
from tests.golden.runs import forward
from tests.mirror import detector_file, mirror, publish

DETECTORS = [
    "ssd_mobilenetv2",
    pytest.param("ssd_mobilenetv3", marks=pytest.mark.slow),
    pytest.param("ssd_resnet50_fpn", marks=pytest.mark.slow),
]
NAME = "ssd_mobilenetv2"
FORWARD_TOLERANCE = 2e-4


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The files' bytes by name, each made once."""
    made: dict[str, bytes] = {}
    folder = tmp_path_factory.mktemp("published")

    def content(name: str) -> bytes:
        if name not in made:
            made[name] = detector_file(name, folder / f"{name}.ckpt")
        return made[name]

    return content


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, contents: Any) -> Any:
    """A mirror that sends the MobileNetV2 detector, in a working directory of the test's own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with mirror(monkeypatch, tmp_path / "cache") as server:
        publish(monkeypatch, server, NAME, contents(NAME))
        yield server


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Any:
    """From when it is called on, nothing can be fetched."""
    return lambda: monkeypatch.setenv(download.BASE_URL_VARIABLE, "http://127.0.0.1:9")


def in_cache() -> set[str]:
    return {path.name for path in files.cache_dir().iterdir()}


def test_cocos_classes_are_its_80_with_the_gaps_in_their_ids() -> None:
    ids, names = list(COCO_CATEGORIES), list(COCO_CATEGORIES.values())
    assert len(set(names)) == 80 and ids == sorted(ids) and (ids[0], ids[-1]) == (1, 90)
    assert sorted(set(range(1, 91)) - set(ids)) == [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]
    assert (names[0], names[2], names[11], names[79]) == (
        "person",
        "car",
        "stop sign",
        "toothbrush",
    )


def test_a_fetched_detector_is_made_a_model_that_says_what_it_is(server: Any) -> None:
    said: list[str] = []
    path = find_model(NAME, said.append)
    parameters, metadata = read_model(path)
    expected = Golden(NAME, REDUCED).parameters()
    assert set(parameters) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(parameters[name], array)
    assert metadata.class_names == tuple(COCO_CATEGORIES.values())
    assert metadata.category_ids == tuple(COCO_CATEGORIES)
    assert metadata.metrics == {"AP": 0.232}
    assert metadata.config["evaluation"]["protocol"] == "mindcv"
    assert (metadata.mean, metadata.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    origin = metadata.origin
    base = "https://download.mindspore.cn/toolkits/mindcv"  # whichever mirror it came from
    assert origin["source"] == f"{base}/{PUBLISHED[NAME].path}"
    assert origin["sha256"].startswith(PUBLISHED[NAME].hash_prefix)
    assert "Apache-2.0" in origin["licence"]
    assert len(said) == 1 and "409 tensors, 4 of training state set aside" in said[0]
    assert in_cache() == {PUBLISHED[NAME].file_name, path.name}


def test_half_precision_is_accepted_told_and_kept_exactly(
    server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = "multi_box.multi_loc_layers.0.3.weight"
    shape = Golden(NAME, REDUCED).reference_shapes()[name]
    half = parameter_by_rule(name, shape).astype(np.float16)
    publish(monkeypatch, server, NAME, detector_file(NAME, tmp_path / "o2.ckpt", **{name: half}))
    said: list[str] = []
    parameters, metadata = read_model(find_model(NAME, said.append))
    found = parameters["head.boxes.0.predict.weight"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, half.astype(np.float32))
    for text in (said[0], metadata.origin["checkpoint"]):
        assert "1 of float16, taken as float32" in text


@pytest.mark.parametrize("name", DETECTORS)
def test_each_computes_what_the_reference_computes(
    name: str, server: Any, contents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    publish(monkeypatch, server, name, contents(name))
    model = load_model(find_model(name), device="CPU", engine="torch")
    facts = Golden(name, REDUCED).load("forward")
    offsets, logits = forward(model.network, model.config, facts["images_rgb_uint8"])
    for ours, golden in ((offsets, facts["offsets"]), (logits, facts["logits"])):
        off = np.abs(ours[:, facts["anchor_index"]] - golden).max() / np.abs(golden).max()
        assert off < FORWARD_TOLERANCE
    assert model.network.grids == read_model(find_model(name))[1].grids


@pytest.mark.parametrize("name", names_of("detector"))
def test_its_grids_need_no_network_to_be_known(name: str) -> None:
    detector = PUBLISHED[name]
    assert isinstance(detector, published.PublishedDetector)
    config = load_config(name)
    grids = published.grids_of(detector, config)
    per_cell = network_spec(config, 80).boxes_per_location
    num_boxes = sum(r * c * k for (r, c), k in zip(grids, per_cell, strict=True))
    assert num_boxes == Golden(name, REDUCED).load("anchors")["num_anchors"]


def test_a_warm_cache_needs_no_network_and_converts_no_second_time(
    server: Any, offline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch_published(NAME)
    offline()
    monkeypatch.setattr(published, "convert", None)
    said: list[str] = []
    assert find_model(NAME, said.append) == fetch_published(NAME) == path
    assert said == []
    assert len(server.requests) == 1


def test_a_damaged_model_in_the_cache_is_made_again_of_its_checkpoint(
    server: Any, offline: Any
) -> None:
    path = find_model(NAME)
    whole, description = path.read_bytes(), read_metadata(path)
    offline()
    path.write_bytes(whole[: len(whole) // 2])
    assert find_model(NAME) == path
    assert (path.stat().st_size, read_metadata(path)) == (len(whole), description)


def test_a_broken_transfer_goes_on_where_it_broke(server: Any) -> None:
    server.cut_after = [5000]
    read_model(find_model(NAME))
    assert [wanted for _, wanted in server.requests] == [None, "bytes=5000-"]


def test_a_file_of_another_hash_is_refused_and_nothing_is_left(server: Any) -> None:
    server.content = server.content[:-1] + bytes([server.content[-1] ^ 1])
    with pytest.raises(WeightsError, match=r"SHA-256 of what came does not begin with"):
        find_model(NAME)
    assert in_cache() == set()


def test_without_network_and_cache_one_line_names_the_address(server: Any, offline: Any) -> None:
    offline()
    with pytest.raises(WeightsError, match="cannot be reached") as caught:
        mindssd.load(NAME)
    assert "http://127.0.0.1:9/ssd/ssd_mobilenetv2-" in str(caught.value)
    assert str(model_path(PUBLISHED[NAME]).with_suffix(".ckpt")) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_with_the_right_hash_that_is_no_detector_of_coco_is_refused(
    server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_checkpoint(tmp_path / "a.ckpt", {"features.0.weight": np.zeros(3, np.float32)})
    publish(monkeypatch, server, NAME, (tmp_path / "a.ckpt").read_bytes())
    with pytest.raises(WeightsError, match=r"holds no detector of COCO's 80 classes"):
        find_model(NAME)
    assert not model_path(PUBLISHED[NAME]).exists()


def test_a_file_of_that_name_goes_before_and_a_folder_does_not(server: Any) -> None:
    Path(NAME).mkdir()
    assert find_model(NAME) == model_path(PUBLISHED[NAME])
    Path(NAME).rmdir()
    shutil.copy(find_model(NAME), NAME)
    said: list[str] = []
    assert find_model(NAME, said.append) == Path(NAME)
    assert said == ["ssd_mobilenetv2: the file of this name here, not the published detector"]


def test_a_folder_of_that_name_does_not_get_into_a_runs_settings(server: Any) -> None:
    Path(NAME).mkdir()
    config = load_config("demo", [f"initial_weights={NAME}", "data_dir=."])
    kept = with_absolute_paths(config)
    assert (kept.initial_weights, kept.data_dir) == (NAME, str(Path.cwd()))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "ssd_mobilnetv2",
            r"no such file; check the path; or did you mean ssd_mobilenetv2\?",
        ),
        ("yolo", r"no such file; check the path, or name what is published: mobilenet_v2"),
        ("resnet50", r"a published backbone, not a detector; backbone_ckpt_path=resnet50"),
    ],
)
def test_another_word_is_told_what_there_is(server: Any, name: str, said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        mindssd.load(name)
    assert server.requests == []


def test_python_opens_it_by_name(server: Any) -> None:
    pytest.importorskip("torch")
    detector = mindssd.load(
        NAME, engine="torch", device="CPU", score_threshold=0.0, classes=["car"]
    )
    found = detector(np.zeros((40, 60, 3), np.uint8))
    assert len(found) and set(found.class_ids) == {2}
    assert found.class_names[2] == "car"


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    """Two validation images with a car and a person, under COCO's ids of them."""
    folder = tmp_path / "streets"
    (folder / "val2017").mkdir(parents=True)
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in (1, 2):
        image = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "val2017" / f"{number}.png"), image)
        images.append({"id": number, "file_name": f"{number}.png", "width": 80, "height": 60})
        for category in (1, 3):
            box = {"bbox": [5 * number, 8 * category, 30, 20], "area": 600, "iscrowd": 0}
            ids = {"id": len(annotations) + 1, "image_id": number, "category_id": category}
            annotations.append(box | ids)
    categories = [{"id": 3, "name": "car"}, {"id": 1, "name": "person"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    return folder


def test_it_is_evaluated_by_name_and_by_its_own_protocol(
    server: Any, streets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    # By the rule alone it finds everything everywhere, which takes seconds to score.
    shapes = Golden(NAME, REDUCED).reference_shapes()
    names = [n for n in shapes if n.startswith("multi_box.multi_cls") and n.endswith("3.bias")]
    few = {name: np.full(shapes[name], -9, np.float32) for name in names}
    publish(monkeypatch, server, NAME, detector_file(NAME, tmp_path / "few.ckpt", **few))
    settings = ["engine=torch", "device=CPU", f"data_dir={streets}"]
    out = io.StringIO()
    found = evaluate_model(Path(NAME), None, settings, None, Console(file=out))
    assert found.protocol.name == "mindcv"
    assert found.num_images == 2 and found.ap is not None
    assert "409 tensors" in out.getvalue()
    assert [c.name for c in found.per_class] == list(COCO_CATEGORIES.values())


def test_a_training_starts_from_it_by_name(server: Any) -> None:
    pytest.importorskip("torch")
    settings = ["engine=torch", "device=CPU", f"initial_weights={NAME}"]
    config = load_config(NAME, settings)
    names = ("pedestrian", "dog", "car")
    network = build_network(config, build_engine(config), len(names))
    fresh = network.parameters()
    said = load_initial_weights(config, network, names)
    assert "2 classes taken from it: dog, car, 1 start fresh: pedestrian" in said[-1]
    theirs, _ = read_model(find_model(NAME))
    ours = network.parameters()
    for level in range(6):
        name = f"head.classes.{level}.predict.bias"
        rows, coco = (p[name].reshape(-1, n) for p, n in ((ours, 4), (theirs, 81)))
        np.testing.assert_array_equal(rows[:, [0, 2, 3]], coco[:, [0, 17, 3]])
        np.testing.assert_array_equal(rows[:, 1], fresh[name].reshape(-1, 4)[:, 1])
    for name in ours:
        if not name.startswith("head.classes.") or "predict" not in name:
            np.testing.assert_array_equal(ours[name], theirs[name])


def test_where_its_network_is_another_the_way_out_is_told(server: Any) -> None:
    pytest.importorskip("torch")
    settings = ["engine=torch", "device=CPU", f"initial_weights={NAME}"]
    config = load_config("small_data", settings)
    network = build_network(config, build_engine(config), 2)
    with pytest.raises(WeightsError, match=r"does not fit .*; --config finetune_mobilenetv2 has"):
        load_initial_weights(config, network, ("a", "b"))


def test_its_backbone_alone_starts_another_network(server: Any) -> None:
    pytest.importorskip("torch")
    settings = ["engine=torch", "device=CPU", f"backbone_ckpt_path={NAME}"]
    config = load_config("small_data", settings)
    network = build_network(config, build_engine(config), 2)
    (said,) = load_initial_weights(config, network, ("a", "b"))
    assert said.startswith("backbone from ") and "260 tensors loaded" in said
