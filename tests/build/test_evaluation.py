"""Which protocol, config and classes an evaluation from a file takes; no framework runs."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from mindssd.build import evaluation
from mindssd.config.load import load_config, to_tree
from mindssd.deploy.sessions.session import RuntimeSettings, Session
from mindssd.errors import ConfigError
from mindssd.weights.mindspore_checkpoint import write_checkpoint
from mindssd.weights.safetensors_file import ModelMetadata, write_model
from tests.deploy.conftest import Deploy, deploy

__all__ = ["deploy"]

PARAMETERS = {"head.boxes.0.predict.bias": np.ones(4, np.float32)}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the parts were asked for, by name, in the place of their work."""
    asked: dict[str, Any] = {}
    dataset = SimpleNamespace(class_names=("fish",), report=SimpleNamespace(lines=list))
    model = SimpleNamespace(network=SimpleNamespace(grids=((1, 1),)), class_names=("fish",))
    monkeypatch.setattr(evaluation, "build_dataset", lambda config, split, model: dataset)
    monkeypatch.setattr(evaluation, "build_predictor", lambda *wanted: model)
    monkeypatch.setattr(evaluation, "load_model", lambda path, config, names: model)

    def detect(predictor: Any, dataset: Any, indices: Any, protocol: Any, show: Any) -> None:
        asked["protocol"] = protocol.name
        asked["times"] = asked.get("times", 0) + 1

    monkeypatch.setattr(evaluation, "chosen_images", lambda dataset, protocol: [4])
    monkeypatch.setattr(evaluation, "detect_images", detect)
    monkeypatch.setattr(evaluation, "score", lambda *scored: scored)
    return asked


@pytest.mark.parametrize(
    ("overrides", "name", "expected"),
    [
        ([], None, "coco"),
        (["evaluation.protocol=mindcv"], None, "mindcv"),
        (["evaluation.protocol=mindcv"], "coco", "coco"),
        ([], "mindcv", "mindcv"),
    ],
)
def test_the_protocol_is_the_configs_unless_one_is_named(
    tmp_path: Path, asked: dict[str, Any], overrides: list[str], name: str | None, expected: str
) -> None:
    path = tmp_path / "m.safetensors"
    tree = to_tree(load_config("demo"))
    metadata = ModelMetadata(tree, ("fish",), (1,), (8, 8), (0, 0, 0), (1, 1, 1), ((1, 1),))
    write_model(path, PARAMETERS, metadata)
    evaluation.evaluate_model(path, None, overrides, name, Console(quiet=True))
    assert asked["protocol"] == expected
    with pytest.raises(ConfigError, match="describes its own network; leave --config out"):
        evaluation.evaluate_model(path, "demo", overrides, name, Console(quiet=True))


def test_a_file_without_a_description_takes_a_recipe(tmp_path: Path, asked: dict[str, Any]) -> None:
    path = tmp_path / "m.ckpt"
    write_checkpoint(path, PARAMETERS)
    evaluation.evaluate_model(path, "demo", [], None, Console(quiet=True))
    assert asked["protocol"] == "coco"
    with pytest.raises(ConfigError, match="give --config RECIPE"):
        evaluation.evaluate_model(path, None, [], None, Console(quiet=True))


def test_what_was_detected_once_can_be_scored_again(tmp_path: Path, asked: dict[str, Any]) -> None:
    path = tmp_path / "m.ckpt"
    write_checkpoint(path, PARAMETERS)
    found = evaluation.detect_with_model(path, "demo", [], "mindcv", Console(quiet=True))
    assert (found.path, found.indices, found.grids) == (path, [4], ((1, 1),))
    assert found.evaluation() == (found.table, found.dataset, [4], found.protocol)
    assert found.evaluation() and asked["times"] == 1


def test_an_exported_model_runs_where_and_how_it_is_asked_to(
    deploy: Deploy, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[RuntimeSettings] = []
    open_session = evaluation.open_session

    def note(path: Path, settings: RuntimeSettings) -> Session:
        opened.append(settings)
        return open_session(path)

    monkeypatch.setattr(evaluation, "open_session", note)
    monkeypatch.setattr(evaluation, "deployed_predictor", lambda *_: evaluation.build_predictor())
    path = deploy()
    for overrides in ([], ["device=GPU", "precision=bfloat16"]):
        evaluation.evaluate_model(path, None, overrides, None, Console(quiet=True))
    assert opened == [
        RuntimeSettings(),
        RuntimeSettings(device="GPU", precision="bfloat16"),
    ]
    with pytest.raises(ConfigError, match="engine changes nothing here"):
        evaluation.evaluate_model(path, None, ["engine=torch"], None, Console(quiet=True))
    with pytest.raises(ConfigError, match="device='TPU': expected one of"):
        evaluation.evaluate_model(path, None, ["device=TPU"], None, Console(quiet=True))


def test_what_a_data_set_has_wrong_is_printed_as_it_is(
    tmp_path: Path, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "1 image files missing (such as [red]a[/i].jpg)"  # rich's markup, and not in order
    report = SimpleNamespace(lines=lambda: [line])
    dataset = SimpleNamespace(class_names=("fish",), report=report)
    monkeypatch.setattr(evaluation, "build_dataset", lambda config, split, model: dataset)
    path, printed = tmp_path / "m.ckpt", io.StringIO()
    write_checkpoint(path, PARAMETERS)
    evaluation.evaluate_model(path, "demo", [], None, Console(file=printed))
    assert line in printed.getvalue()


def test_a_file_without_a_description_has_the_classes_of_the_training_annotations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data_dir = tmp_path / "m.ckpt", tmp_path / "data"
    write_checkpoint(path, PARAMETERS)
    for split, names in (("train", ["fish", "crab", "eel"]), ("val", ["eel", "fish"])):
        (data_dir / f"{split}2017").mkdir(parents=True)
        (data_dir / f"{split}2017" / "a.png").touch()
        content = {
            "images": [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}],
            "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}],
            "categories": [{"id": place, "name": name} for place, name in enumerate(names, 1)],
        }
        file = data_dir / "annotations" / f"instances_{split}2017.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(content))

    def load_model(path: Path, config: Any, names: tuple[str, ...]) -> SimpleNamespace:
        return SimpleNamespace(network=SimpleNamespace(grids=()), class_names=names)

    monkeypatch.setattr(evaluation, "load_model", load_model)
    monkeypatch.setattr(evaluation, "build_predictor", lambda *wanted: load_model(*wanted[:3]))
    monkeypatch.setattr(evaluation, "detect_images", lambda *wanted: None)
    asked = [f"data_dir={data_dir}"]
    found = evaluation.detect_with_model(path, "demo", asked, None, Console(quiet=True))
    assert found.predictor.class_names == found.dataset.class_names == ("fish", "crab", "eel")
    assert found.dataset[0].labels.tolist() == [3]
