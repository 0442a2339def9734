"""A run is told to other programs without ever waiting for them, or ending because of them."""

import json
import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from mindssd.errors import TrainingError
from mindssd.training.run_folder import RunFolder, RunLog
from mindssd.training.trackers.base import Begun, TrackedRun
from mindssd.training.trackers.reporting import Reporters, build_trackers, require_installed

SETTINGS = {"epochs": 3, "backbone.out_indices": [13, 18], "data_dir": None}


class Remembering:
    """A tracker that keeps what it is told, and fails or waits where it is asked to."""

    def __init__(self, fails_in: str = "", until: threading.Event | None = None) -> None:
        self.told: list[Any] = []
        self.fails_in = fails_in
        self.until = until

    def _note(self, kind: str, *values: Any) -> None:
        self.told.append((kind, *values))
        if self.until is not None:
            self.until.wait()
        if kind == self.fails_in:
            raise OSError("No space left on device\nat line 7")

    def begin(self, run):
        self._note("begin", run.name, run.id)
        return Begun(run.id or "r1", "a place")

    def scalars(self, step, seconds, values):
        self._note("scalars", step, values)

    def end(self, status):
        self._note("end", status)


def reporters(folder: Path, said: list[str], **trackers: Remembering) -> Reporters:
    made = Reporters(trackers, folder / "trackers.json", said.append)
    made.start(TrackedRun("first", folder, SETTINGS))
    return made


def test_the_log_tells_a_tracker_its_numbers_and_how_the_run_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("tensorboardX.SummaryWriter", Mock())
    tracker, said = Remembering(), []
    log = RunLog(RunFolder(tmp_path), reporters(tmp_path, said, it=tracker))
    log.event("start", 0, device="CPU")
    log.event("train", 4, loss=0.5, finite=True)
    log.metrics(4, {"AP": 0.25, "AP_small": None})
    log.event("train", 8, loss=float("nan"))
    log.close("stopped")
    assert tracker.told == [
        ("begin", "first", None),
        ("scalars", 4, {"train/loss": 0.5}),
        ("scalars", 4, {"evaluation/AP": 0.25}),
        ("end", "stopped"),
    ]
    assert said == ["it: a place"]


def test_a_resumed_run_is_the_same_one_to_its_tracker(tmp_path):
    reporters(tmp_path, [], it=Remembering()).end("stopped")
    again, other = Remembering(), Remembering()
    reporters(tmp_path, [], it=again, other=other).end("finished")
    assert again.told[0] == ("begin", "first", "r1")
    assert other.told[0] == ("begin", "first", None)


@pytest.mark.parametrize("where", ["begin", "scalars", "end"])
def test_a_tracker_that_fails_is_warned_of_once_and_the_others_are_told(tmp_path, where):
    bad, good, said = Remembering(fails_in=where), Remembering(), []
    made = reporters(tmp_path, said, bad=bad, good=good)
    for step in range(3):
        made.scalars(step, 1.0, {"train/loss": 0.5})
    made.end("finished")
    assert [line for line in said if "warning" in line] == [
        "warning: bad is told no more: No space left on device"
    ]
    assert [kind for kind, *_ in good.told] == ["begin", "scalars", "scalars", "scalars", "end"]


def test_a_tracker_that_hangs_holds_up_neither_the_steps_nor_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("mindssd.training.trackers.reporting.MOST_WAITING", 2)
    let_go, said = threading.Event(), []
    made = reporters(tmp_path, said, slow=Remembering(until=let_go))
    try:
        for step in range(5):
            made.scalars(step, 1.0, {"train/loss": 0.5})
        made.end("finished", wait_s=0.01)
    finally:
        let_go.set()
    assert "warning: slow has not taken all after 0.01 s; the rest is in log.jsonl alone" in said
    assert "warning: slow was too slow for 3 reports" in said


def test_a_package_that_is_not_there_is_one_line_that_names_its_extra(monkeypatch):
    monkeypatch.setattr("mindssd.training.trackers.reporting.find_spec", lambda name: None)
    with pytest.raises(TrainingError, match=r"^trackers: wandb .*pip install 'mindssd\[wandb\]'"):
        require_installed(["wandb"])


def test_a_folder_of_a_trackers_name_is_no_package(tmp_path, monkeypatch):
    """wandb and swanlab leave one where they are called, and Python takes it for a package."""
    (tmp_path / "nobodys_tracker").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TrainingError, match="nobodys_tracker is not installed"):
        require_installed(["nobodys_tracker"])


def report(name: str, folder: Path) -> list[str]:
    """A run of two parts, reported by the real package; what was said."""
    said: list[str] = []
    folder.mkdir(exist_ok=True)
    for first_step, status in ((1, "stopped"), (3, "finished")):
        made = Reporters(build_trackers([name, name]), folder / "trackers.json", said.append)
        made.start(TrackedRun(folder.name, folder, SETTINGS))
        for step in (first_step, first_step + 1):
            made.scalars(step, 1700000000.5 + step, {"train/loss": step / 8})
        made.scalars(first_step + 1, 1700000009.5, {"evaluation/AP": 0.25})
        made.end(status)
    return said


def require(package: str, monkeypatch) -> None:
    """Skip where the package is not there; no setting of this machine takes part."""
    pytest.importorskip(package, exc_type=ImportError)
    for variable in ("WANDB_MODE", "WANDB_PROJECT", "SWANLAB_MODE", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(variable, raising=False)


def mlflow_finds(address: str, folder: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=address)
    experiment = client.get_experiment_by_name("mindssd")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == json.loads((folder / "trackers.json").read_text())["mlflow"]
    assert (run.info.run_name, run.info.status) == (folder.name, "FINISHED")
    assert run.data.params == {
        "epochs": "3",
        "backbone.out_indices": "[13, 18]",
        "data_dir": "None",
    }
    losses = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(x.step, x.value) for x in losses] == [(1, 0.125), (2, 0.25), (3, 0.375), (4, 0.5)]
    assert losses[0].timestamp == 1700000001500
    assert run.data.metrics["evaluation/AP"] == 0.25


def test_mlflow_is_told_both_parts_of_a_run_as_one(tmp_path, monkeypatch):
    require("mlflow", monkeypatch)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    address = (tmp_path / "store").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert report("mlflow", tmp_path / "first") == [f"mlflow: {address}"] * 2
    mlflow_finds(address, tmp_path / "first")


@pytest.mark.slow
def test_mlflow_keeps_a_database_beside_the_runs_by_default(tmp_path, monkeypatch):
    require("mlflow", monkeypatch)
    pytest.importorskip("sqlalchemy")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert report("mlflow", tmp_path / "first") == [f"mlflow: {address}"] * 2
    mlflow_finds(address, tmp_path / "first")


def test_a_server_that_is_down_ends_no_run(tmp_path, monkeypatch):
    require("mlflow", monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    said = report("mlflow", tmp_path / "first")
    assert len(said) == 2
    assert all(line.startswith("warning: mlflow is told no more: ") for line in said)


def test_wandb_is_told_both_parts_of_a_run_under_one_id(tmp_path, monkeypatch):
    require("wandb", monkeypatch)
    said = report("wandb", tmp_path / "first")
    assert len(said) == 2 and all("(wandb sync sends it)" in line for line in said)
    run_id = json.loads((tmp_path / "first" / "trackers.json").read_text())["wandb"]
    # Both may have begun in one second, which names their folder; its file then holds both.
    parts = list((tmp_path / "first" / "wandb").glob(f"offline-run-*-{run_id}/run-{run_id}.wandb"))
    assert parts
    written = b"".join(part.read_bytes() for part in parts)
    assert b"train/loss" in written and b"evaluation/AP" in written and b"out_indices" in written


def test_swanlab_keeps_what_it_is_told_in_the_runs_folder(tmp_path, monkeypatch):
    require("swanlab", monkeypatch)
    said = report("swanlab", tmp_path / "first")
    assert said == [f"swanlab: {tmp_path / 'first' / 'swanlog'} (offline)"] * 2
    parts = list((tmp_path / "first" / "swanlog").glob("run-*/run-*.swanlab"))
    assert len(parts) == 2
    assert all(b"train/loss" in part.read_bytes() for part in parts)
