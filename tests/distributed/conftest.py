"""Two processes on one CPU, with our launcher, OpenMPI's, MindSpore's and PyTorch's.

A start of two processes takes seconds, so a run here shows several things in turn.
`launch/test_job.py` has what the launcher does with processes of any kind.
"""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mindssd.data.sampling import epoch_order
from tests.cli.conftest import mindssd
from tests.distributed.processes import SETTINGS, Job, is_running

__all__ = ["mindssd"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """Start a job; what is left of it at the test's end is killed."""
    jobs: list[Job] = []

    def begin(*command: str) -> Job:
        jobs.append(Job(command, tmp_path / f"output{len(jobs)}"))
        return jobs[-1]

    yield begin
    for job in jobs:
        for process in reversed([*job.seen, *job.processes()]):
            if is_running(process):
                os.kill(process, signal.SIGKILL)
        job.launcher.wait()


@pytest.fixture(scope="session")
def data(shapes_dir, tmp_path_factory) -> Path:
    """Twelve images, of which none that rank 1 gets in the first epoch can be read.

    Eleven are for validation, which two processes cannot share evenly.
    """
    folder = tmp_path_factory.mktemp("damaged") / "shapes"
    shutil.copytree(shapes_dir, folder)
    for index in epoch_order(12, 0, 0)[1::2].tolist():
        (folder / "train2017" / f"{index}.png").write_bytes(b"no image")
    file = folder / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    del content["images"][-1]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] < 12]
    file.write_text(json.dumps(content))
    return folder


@pytest.fixture
def new_run(quick_config, data, tmp_path) -> list[str]:
    """What makes `mindssd` begin a run in `tmp_path / "run"`."""
    command = ["train", "--config", str(quick_config), f"data_dir={data}"]
    return [*command, f"runs_dir={tmp_path}", "name=run", *SETTINGS]
