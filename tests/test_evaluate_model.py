"""Which protocol, config and classes an evaluation from a file takes; no framework runs."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from mindssd import evaluate
from mindssd.config.load import load_config, to_tree
from mindssd.deploy.runtime import RuntimeSettings, Session
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
    model = SimpleNamespace(network=None, class_names=("fish",))
    monkeypatch.setattr(evaluate.build, "build_dataset", lambda config, split: dataset)
    monkeypatch.setattr(evaluate.build, "build_predictor", lambda *wanted: model)
    monkeypatch.setattr(evaluate, "load_model", lambda path, config, names: model)

    def score(predictor: Any, dataset: Any, protocol: Any, show: Any) -> None:
        asked["protocol"] = protocol.name

    monkeypatch.setattr(evaluate, "evaluate", score)
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
    evaluate.evaluate_model(path, None, overrides, name, Console(quiet=True))
    assert asked["protocol"] == expected
    with pytest.raises(ConfigError, match="describes its own network; leave --config out"):
        evaluate.evaluate_model(path, "demo", overrides, name, Console(quiet=True))


def test_a_file_without_a_description_takes_a_recipe(tmp_path: Path, asked: dict[str, Any]) -> None:
    path = tmp_path / "m.ckpt"
    write_checkpoint(path, PARAMETERS)
    evaluate.evaluate_model(path, "demo", [], None, Console(quiet=True))
    assert asked["protocol"] == "coco"
    with pytest.raises(ConfigError, match="give --config RECIPE"):
        evaluate.evaluate_model(path, None, [], None, Console(quiet=True))


def test_an_exported_model_runs_where_and_how_it_is_asked_to(
    deploy: Deploy, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[RuntimeSettings] = []
    open_session = evaluate.open_session

    def note(path: Path, settings: RuntimeSettings) -> Session:
        opened.append(settings)
        return open_session(path)

    monkeypatch.setattr(evaluate, "open_session", note)
    monkeypatch.setattr(evaluate, "deployed_predictor", lambda *_: evaluate.build.build_predictor())
    path = deploy()
    for overrides in ([], ["device=GPU", "precision=bfloat16"]):
        evaluate.evaluate_model(path, None, overrides, None, Console(quiet=True))
    assert opened == [
        RuntimeSettings(),
        RuntimeSettings(device="GPU", precision="bfloat16"),
    ]
    with pytest.raises(ConfigError, match="engine changes nothing here"):
        evaluate.evaluate_model(path, None, ["engine=torch"], None, Console(quiet=True))
    with pytest.raises(ConfigError, match="device='TPU': expected one of"):
        evaluate.evaluate_model(path, None, ["device=TPU"], None, Console(quiet=True))


def test_what_a_data_set_has_wrong_is_printed_as_it_is(
    tmp_path: Path, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "1 image files missing (such as [red]a[/i].jpg)"  # rich's markup, and not in order
    report = SimpleNamespace(lines=lambda: [line])
    dataset = SimpleNamespace(class_names=("fish",), report=report)
    monkeypatch.setattr(evaluate.build, "build_dataset", lambda config, split: dataset)
    path, printed = tmp_path / "m.ckpt", io.StringIO()
    write_checkpoint(path, PARAMETERS)
    evaluate.evaluate_model(path, "demo", [], None, Console(file=printed))
    assert line in printed.getvalue()
