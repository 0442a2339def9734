"""`mindssd.train`, `evaluate`, `predict` and `export` do what the commands do, and give it back."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mindssd
from mindssd.config.load import load_config
from mindssd.config.settings import as_overrides
from mindssd.errors import ConfigError, MindSSDError, TrainingError
from mindssd.training.callbacks import EpochDone, EvaluationDone, RunEnd, StepDone


@pytest.fixture
def settings(shapes_dir: Path, quickest_engine: str, tmp_path: Path) -> dict[str, Any]:
    """Of a run of three steps an epoch."""
    where = {"data_dir": shapes_dir, "runs_dir": tmp_path / "runs", "name": "run"}
    return {**where, "engine": quickest_engine, "epochs": 2, "evaluation": {"every_epochs": 1}}


def test_a_training_tells_its_functions_and_gives_its_folder_and_best_model(
    settings: dict[str, Any], quick_config: Path, tmp_path: Path
) -> None:
    told: list[Any] = []
    run = mindssd.train(
        settings,
        config=quick_config,
        on_step=told.append,
        on_epoch=told.append,
        on_evaluation=told.append,
        on_end=told.append,
    )
    epoch = [StepDone] * 3 + [EpochDone, EvaluationDone]
    assert [type(facts) for facts in told] == [*epoch * 2, RunEnd]
    assert told[-1].status == "finished" and told[-1].outcome.metrics == told[-2].metrics
    assert run.folder == told[-1].folder == tmp_path / "runs" / "run"
    assert run.status == "finished" and run.model == run.folder / "best.safetensors"
    best = max((told[4], told[9]), key=lambda done: done.is_best * done.step)
    assert run.metrics["AP"] == pytest.approx(best.metrics["AP"])
    evaluation = mindssd.evaluate(run.model, {"data_dir": settings["data_dir"]}, quiet=True)
    assert evaluation.ap == pytest.approx(run.metrics["AP"], abs=1e-6)


def test_a_wish_stops_a_run_that_is_gone_on_with(
    settings: dict[str, Any], quick_config: Path
) -> None:
    ends: list[RunEnd] = []
    run = mindssd.train(
        settings, config=quick_config, on_step=lambda done: done.step == 2, on_end=ends.append
    )
    assert run.status == "stopped" and run.model is None and run.metrics == {}
    steps: list[int] = []
    again = mindssd.train(
        resume=run.folder, on_step=lambda done: steps.append(done.step), on_end=ends.append
    )
    assert steps == [3, 4, 5, 6] and again.status == "finished" and again.model is not None
    assert [(end.status, end.error) for end in ends] == [("stopped", None), ("finished", None)]


def test_a_functions_error_is_the_callers_and_the_run_is_saved(
    settings: dict[str, Any], quick_config: Path, tmp_path: Path
) -> None:
    ends: list[RunEnd] = []
    mistake = LookupError("the user's own")

    def fail(done: StepDone) -> None:
        raise mistake

    with pytest.raises(LookupError) as raised:
        mindssd.train(settings, config=quick_config, on_step=fail, on_end=ends.append)
    assert raised.value is mistake and ends[0].status == "failed" and ends[0].error is mistake
    assert mindssd.train(resume=tmp_path / "runs" / "run").status == "finished"


def test_a_signal_ends_a_training_saved_as_a_command(
    settings: dict[str, Any], quick_config: Path
) -> None:
    def interrupt(done: StepDone) -> None:
        signal.raise_signal(signal.SIGINT)

    ends: list[RunEnd] = []
    with pytest.raises(SystemExit) as ended:
        mindssd.train(settings, config=quick_config, on_step=interrupt, on_end=ends.append)
    assert ended.value.code == 130 and ends[0].status == "stopped"


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ({"resume": "run", "config": "demo"}, "leave --config out"),
        ({"adapt": True}, "--adapt is for --resume"),
        ({"restarts": 1}, "--restarts is for --devices"),
        ({"devices": 0}, "--devices is 0: expected at least 1"),
        ({"devices": -1}, "--devices is -1: expected at least 1"),
        ({"devices": 2, "restarts": -1}, "--restarts is -1: expected at least 0"),
        ({"devices": 2, "patience": float("nan")}, "--patience is nan: expected seconds"),
        ({"on_step": "print"}, "on_step is 'print': expected a function"),
        ({"settings": "demo"}, "did you mean --config demo"),
        ({"settings": {"epoch": 3}}, "unknown key epoch; did you mean epochs"),
        ({"settings": {"epochs": "many"}}, "epochs='many'"),
        ({"settings": {"epochs": object()}}, "epochs=<object"),
        ({"devices": 2, "on_step": print}, "leave devices out"),
    ],
)
def test_a_mistake_is_named_as_on_the_command_line(words: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError) as told:
        mindssd.train(**words)
    assert fault in str(told.value)


def test_settings_of_any_form_are_the_same() -> None:
    forms: list[Any] = [
        {"name": "2017", "epochs": 3, "schedule": {"learning_rate": 1e-5}, "crop": None},
        {"name": Path("2017"), "epochs": np.int64(3), "schedule.learning_rate": 1e-5, "crop": None},
        ["name=2017", "epochs=3", "schedule.learning_rate=0.00001", "crop=null"],
    ]
    for form in forms:
        words = [word for word in as_overrides(form) if not word.startswith("crop")]
        config = load_config("demo", words)
        assert config.name == "2017" and config.epochs == 3
        assert config.schedule.learning_rate == 1e-5
    assert as_overrides("epochs=3") == ["epochs=3"]
    assert as_overrides({"backbone": {"out_indices": (1, 2)}, "deterministic": True}) == [
        "backbone.out_indices=[1, 2]",
        "deterministic=true",
    ]
    assert load_config("demo", as_overrides({"name": None, "device": "CPU"})).name is None


def test_a_name_with_odd_signs_is_a_name() -> None:
    for name in ("a: b", "#1", "no", "[x]", '"quoted"', " spaced "):
        assert load_config("demo", as_overrides({"data_dir": name})).data_dir == name


def test_a_prediction_gives_its_results_and_what_went_wrong(
    untrained_model: Path, shapes_dir: Path, quickest_engine: str, tmp_path: Path
) -> None:
    photo = shapes_dir / "val2017" / "0.png"
    (tmp_path / "broken.png").write_bytes(b"no picture")
    done = mindssd.predict(
        untrained_model,
        [photo, str(tmp_path / "broken.png")],
        out=tmp_path / "out",
        save="json,csv",
        classes="rectangle",
        max_detections=5,
        engine=quickest_engine,
        quiet=True,
    )
    assert done.results == tmp_path / "out" / "detections.json"
    tree = json.loads(done.results.read_text(encoding="utf-8"))
    assert done.num_images == len(tree["images"]) == 1
    assert done.num_detections == len(tree["annotations"]) == 5
    assert [str(error).partition(":")[0] for error in done.errors] == [str(tmp_path / "broken.png")]
    same = mindssd.load(
        untrained_model, classes=["rectangle"], max_detections=5, engine=quickest_engine
    )(photo)
    assert same.to_coco(1)[0]["bbox"] == tree["annotations"][0]["bbox"]
    assert {found["category_id"] for found in same.to_coco(1)} == {3}
    one = mindssd.predict(
        untrained_model, photo, out=tmp_path / "b", save="csv", engine=quickest_engine, quiet=True
    )
    assert one.results is None and one.errors == ()


def test_the_function_predict_and_the_room_of_its_name_are_one() -> None:
    code = (
        "import mindssd; first = mindssd.predict; import mindssd.predict.job as job\n"
        "assert mindssd.predict is first and callable(first) and mindssd.predict.job is job\n"
        "from mindssd import predict, train; assert callable(predict) and callable(train)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    for mistake in ({"save": "nothing"}, {"save": ""}, {"classes": []}):
        with pytest.raises(ConfigError):
            mindssd.predict("m.onnx", "a.jpg", **mistake)  # type: ignore[arg-type]


def test_no_sources_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no source is given"):
        mindssd.predict("m.onnx", [], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_line_of_numbers_is_told_to_be_text() -> None:
    with pytest.raises(ConfigError, match=r'count_line has 0: expected text, as "0,0.5,1,0.5"'):
        mindssd.predict("m.onnx", "a.mp4", track=True, count_line=(0, 0.5, 1, 0.5))  # type: ignore[arg-type]


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'mindssd' has no attribute 'trian'"):
        mindssd.trian  # type: ignore[attr-defined]  # noqa: B018
    assert set(mindssd.__all__) <= {*dir(mindssd), *mindssd._HOMES, "predict"}


def test_an_export_is_the_verified_file(untrained_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    written = mindssd.export(
        untrained_model, "engine=torch", out=str(tmp_path / "m.onnx"), quiet=True
    )
    assert written == tmp_path / "m.onnx" and len(mindssd.load(written)(np.zeros((9, 9), "u1")))
    for mistake in ({"format": "onx"}, {"int8": True}):
        with pytest.raises(ConfigError):
            mindssd.export(untrained_model, quiet=True, **mistake)  # type: ignore[arg-type]


def test_what_cannot_be_evaluated_is_named(untrained_model: Path) -> None:
    with pytest.raises(ConfigError, match="protocol voc: expected coco, mindcv"):
        mindssd.evaluate(untrained_model, protocol="voc")
    with pytest.raises(MindSSDError, match="data_dir is not set"):
        mindssd.evaluate(untrained_model, quiet=True)


def test_a_run_that_is_there_is_not_written_over(
    settings: dict[str, Any], quick_config: Path
) -> None:
    mindssd.train({**settings, "epochs": 1}, config=quick_config)
    with pytest.raises(TrainingError, match="holds a run already"):
        mindssd.train(settings, config=quick_config)
