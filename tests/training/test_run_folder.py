"""A run is a folder that nothing overwrites."""

import json
import subprocess
import sys

import numpy as np
import pytest

from mindssd.errors import TrainingError
from mindssd.training.checkpoint import previous_file
from mindssd.training.run_folder import RunFolder, RunLog


def _make_last(folder: RunFolder) -> None:
    folder.last_file.parent.mkdir()
    folder.last_file.write_bytes(b"")


def test_a_new_run_saves_its_configuration(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "first")
    folder.create("batch_size: 8\n")
    assert folder.config_file.read_text() == "batch_size: 8\n"


def test_a_run_is_never_overwritten_and_the_way_out_is_said(tmp_path):
    folder = RunFolder(tmp_path / "first")
    folder.create("batch_size: 8\n")
    folder.last_file.parent.mkdir()
    folder.last_file.write_bytes(b"its first epoch")
    with pytest.raises(TrainingError) as caught:
        folder.create("batch_size: 4\n")
    message = str(caught.value)
    assert message.startswith(f"{folder.path} holds a run already; choose another name=")
    assert message.endswith(f"mindssd train --resume {folder.path}")
    assert folder.config_file.read_text() == "batch_size: 8\n"


def test_a_run_that_ended_before_its_first_epoch_gives_its_name_back(tmp_path):
    folder = RunFolder(tmp_path / "first")
    folder.create("batch_size: 8\n")
    folder.log_file.write_text("what it logged\n")
    folder.create("batch_size: 4\n")
    assert folder.config_file.read_text() == "batch_size: 4\n"
    assert not folder.log_file.exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"file/run cannot be written .*choose another runs_d"):
        RunFolder(tmp_path / "file" / "run").create("")


def test_what_cannot_be_resumed_says_why(tmp_path):
    folder = RunFolder(tmp_path / "first")
    with pytest.raises(TrainingError, match=r"first: no such folder"):
        folder.require_existing()
    folder.path.mkdir()
    with pytest.raises(TrainingError, match=r"first is not a run's folder: it has no config\.yaml"):
        folder.require_existing()
    folder.create("")
    with pytest.raises(TrainingError, match=r"has no last/checkpoint\.safetensors yet"):
        folder.require_existing()
    _make_last(folder)
    folder.require_existing()
    folder.last_file.rename(previous_file(folder.last_file))  # killed between two renames
    folder.require_existing()
    with pytest.raises(TrainingError, match="holds a run already"):
        folder.require_free()


def test_what_a_killed_process_had_half_written_is_removed(tmp_path):
    folder = RunFolder(tmp_path)
    _make_last(folder)
    leftovers = [tmp_path / ".mindssd-7-0.tmp", folder.last_file.with_name(".mindssd-7-1.tmp")]
    leftovers.append(tmp_path / ".best.safetensors.7.tmp")  # of 0.1.0
    for leftover in leftovers:
        leftover.touch()
    with folder.locked():
        assert not any(leftover.exists() for leftover in leftovers)
    assert folder.last_file.exists()


def test_the_log_is_a_line_an_event_and_goes_on_where_it_ended(tmp_path):
    folder = RunFolder(tmp_path)
    for step in (10, 20):
        log = RunLog(folder)
        log.event("train", step, loss=0.5, note="text")
        log.metrics(step, {"AP": 0.25})
        log.close("finished")
    lines = [json.loads(line) for line in folder.log_file.read_text().splitlines()]
    assert [(line["event"], line["step"]) for line in lines] == [
        ("train", 10),
        ("evaluation", 10),
        ("train", 20),
        ("evaluation", 20),
    ]
    assert lines[0]["loss"] == 0.5 and lines[0]["note"] == "text" and lines[0]["time"] > 0
    assert lines[1]["AP"] == 0.25


def test_tensorboard_gets_numbers_and_pictures(tmp_path):
    log = RunLog(RunFolder(tmp_path))
    log.event("train", 1, loss=0.5, finite=True, device="CPU")
    log.picture("detections", np.zeros((4, 6, 3), np.uint8), 1)
    log.close("finished")
    (events,) = tmp_path.glob("events.out.tfevents.*")
    content = events.read_bytes()
    assert b"train/loss" in content and b"detections" in content
    assert b"train/finite" not in content and b"train/device" not in content


def test_a_full_disk_is_one_line_that_names_the_log(tmp_path):
    folder = RunFolder(tmp_path)
    folder.log_file.symlink_to("/dev/full")
    log = RunLog(folder)
    with pytest.raises(TrainingError, match=r"log\.jsonl cannot be written \(No space left"):
        log.event("train", 1, loss=0.5)
    log.close("failed")  # and no second error in the place of the first


def test_a_second_run_into_one_folder_is_refused_while_the_first_lives(tmp_path):
    folder = RunFolder(tmp_path / "first")
    script = (
        "import sys, time; from pathlib import Path\n"
        "from mindssd.training.run_folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).locked():\n"
        "    print('locked', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"locked\n"
        expected = rf"another process \(process {other.pid} on .*\) trains into this folder"
        with pytest.raises(TrainingError, match=expected), folder.locked():
            pass
        other.kill()
    with folder.locked():  # a process that was killed holds nothing
        pass


def test_too_small_a_disk_is_told_before_the_first_step(tmp_path):
    folder = RunFolder(tmp_path)
    folder.require_room(1)
    with pytest.raises(TrainingError, match=r"needs about 1000000000000 MB, and the disk has \d+"):
        folder.require_room(10**18)
