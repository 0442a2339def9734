"""Two processes on one CPU train as one does: with our launcher, OpenMPI's and MindSpore's."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mindssd.training.checkpoint import read_checkpoint

pytestmark = pytest.mark.slow

PATIENCE_S = 400
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
SETTINGS = ["epochs=3", "batch_size=2", "num_workers=1", "evaluation.every_epochs=3"]


def train(
    config: Path, data: Path, runs: Path, *more: str, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    launcher = list(before) or [sys.executable]
    command = [*launcher, "-m", "mindssd", "train", "--config", str(config)]
    command += [f"data_dir={data}", f"runs_dir={runs}", *SETTINGS, *more]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={**os.environ, "PATH": PATH},
    )


def events(folder: Path, kind: str) -> list[dict]:
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == kind]


SAME_STEPS = """
import json, sys
import numpy as np
from mindssd.engines.base import *
from mindssd.engines.mindspore.engine import MindSporeEngine
from mindssd.geometry.default_boxes import PaperDefaultBoxes
from mindssd.types import Batch

engine = MindSporeEngine("CPU")
group = engine.group
spec = NetworkSpec(
    "mobilenet_v2_035_96", (3, 6), (32, 32),
    ExtrasNeck(channels=(16,), expand_ratios=(0.5,), expand_first=2), PerLevelHead(),
    PaperDefaultBoxes().boxes_per_location(3), 3,
)
network = engine.build_network(spec, 0)
# All but the last 1×1: no BatchNorm takes statistics of a process's own half of the batch.
norms = tuple(f"head.{kind}.{k}.depthwise." for kind in ("boxes", "classes") for k in range(3))
stepper = engine.build_stepper(network, StepSpec(frozen_prefixes=("backbone.", "neck.", *norms)))
boxes = sum(r * c * k for (r, c), k in zip(network.grids, spec.boxes_per_location))
losses = []
for step in range(10):
    rng = np.random.default_rng(step)
    images = rng.normal(size=(8, 3, 32, 32)).astype(np.float32)
    offsets = rng.normal(size=(8, boxes, 4)).astype(np.float32)
    # The first images have far more positives than the last: the normaliser must be everybody's.
    rate = np.linspace(0.1, 0.01, 8)[:, None]
    labels = (rng.random((8, boxes)) < rate) * rng.integers(1, 4, (8, boxes))
    mine = slice(group.rank * 8 // group.size, (group.rank + 1) * 8 // group.size)
    n = 8 // group.size
    batch = Batch(
        images[mine], offsets[mine], labels[mine].astype(np.int32), np.ones(n, np.float32),
        np.arange(n), np.zeros(n, bool),
    )
    losses.append(stepper.step(batch, 0.05, 0.0).loss)
checksum = sum(float(value.astype(np.float64).sum()) for value in network.parameters().values())
words = [part.decode() for part in group.gather(b"word" * (group.rank + 1))]
print(json.dumps({"losses": losses, "checksum": checksum, "words": words,
                  "any": [group.any(group.rank == 1), group.any(False)]}))
"""


def _run_steps(size: int) -> list[dict]:
    from mindssd.build import build_cluster

    cluster = build_cluster(size)
    command, variables = cluster.helper()
    environments = [{}] if size == 1 else [cluster.worker_environment(k) for k in range(size)]
    helper = subprocess.Popen(command, env={**os.environ, **variables}) if size > 1 else None
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", SAME_STEPS],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        for environment in environments
    ]
    outputs = [worker.communicate(timeout=PATIENCE_S)[0] for worker in workers]
    if helper is not None:
        helper.kill()
        helper.wait()
    return [json.loads(output.strip().splitlines()[-1]) for output in outputs]


def test_two_halves_of_a_batch_train_as_the_whole_one():
    (alone,) = _run_steps(1)
    first, second = _run_steps(2)
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=1e-4)
    assert first["losses"] == second["losses"]
    assert first["checksum"] == second["checksum"] == pytest.approx(alone["checksum"], rel=1e-6)
    assert first["words"] == ["word", "wordword"]
    assert first["any"] == second["any"] == [True, False]


@pytest.fixture(scope="module")
def together(tiny_config, shapes_dir, tmp_path_factory) -> Path:
    """The folder of a run of two processes, by `--devices 2`."""
    runs = tmp_path_factory.mktemp("runs")
    done = train(tiny_config, shapes_dir, runs, "name=two", "--devices", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("compiling the training step") >= 1
    assert done.stdout.count("epoch 3: AP") == 1  # one process speaks
    assert "2 processes" in done.stdout
    return runs / "two"


def test_one_process_writes_the_run(together):
    assert [event["step"] for event in events(together, "evaluation")] == [9]
    assert len(events(together, "start")) == len(events(together, "end")) == 1
    last = read_checkpoint(together / "last" / "checkpoint.safetensors")
    assert last.step == 9  # 12 images, 2 processes of 2 images
    assert json.loads(last.loader_state)["world_size"] == 2


def test_the_evaluation_of_two_is_that_of_one(together, shapes_dir, tmp_path):
    """`mindssd eval` of the saved model, in one process, gives the twelve numbers of training."""
    file = tmp_path / "alone.json"
    command = [sys.executable, "-m", "mindssd", "eval", str(together / "best.safetensors")]
    command += [f"data_dir={shapes_dir}", "--json", str(file)]
    subprocess.run(command, check=True, timeout=PATIENCE_S, capture_output=True)
    alone, trained = (
        json.loads(file.read_text()),
        json.loads((together / "evaluation.json").read_text()),
    )
    timed = {"seconds", "images_per_second"}
    assert {k: v for k, v in alone.items() if k not in timed} == {
        k: v for k, v in trained.items() if k not in timed
    }
    assert alone["num_images"] == 12 and alone["AP50"] > 0


def test_another_number_of_devices_does_not_resume_it(together):
    command = [sys.executable, "-m", "mindssd", "train", "--resume", str(together)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 1
    assert "world_size" in done.stderr and "number of devices" in done.stderr


def test_mpirun_starts_it(tiny_config, shapes_dir, tmp_path):
    program = shutil.which("mpirun", path=PATH)
    assert program is not None, "OpenMPI's mpirun comes with the extra `test`"
    mpirun = [program, "-n", "2", "--oversubscribe", "--allow-run-as-root", sys.executable]
    done = train(tiny_config, shapes_dir, tmp_path, "name=mpi", before=mpirun)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 processes" in " ".join(done.stdout.split())
    assert len(events(tmp_path / "mpi", "evaluation")) == 1


def _msrun(logs: Path) -> list[str]:
    msrun = [str(Path(sys.executable).with_name("msrun")), "--worker_num=2", "--join=True"]
    return [*msrun, "--local_worker_num=2", f"--log_dir={logs}", "--master_port=18333", "python"]


def test_msrun_starts_it(tiny_config, shapes_dir, tmp_path):
    msrun = _msrun(tmp_path / "logs")
    done = train(tiny_config, shapes_dir, tmp_path, "name=msrun", before=msrun)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(events(tmp_path / "msrun", "evaluation")) == 1


def _workers_of(launcher: int) -> list[int]:
    """The launcher's children by rank: their environment says it."""
    ranks = {}
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    for child in map(int, children):
        content = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        variables = dict(item.split(b"=", 1) for item in content if b"=" in item)
        if variables.get(b"MS_ROLE") == b"MS_WORKER":
            ranks[int(variables[b"MS_NODE_ID"])] = child
    return [ranks[rank] for rank in sorted(ranks)]


def _wait_for_step(folder: Path, step: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while not (folder / "log.jsonl").exists() or len(events(folder, "train")) < step:
        assert time.monotonic() < end
        time.sleep(0.05)


def _start(tiny_config, shapes_dir, runs: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mindssd", "train", "--config", str(tiny_config)]
    command += [f"data_dir={shapes_dir}", f"runs_dir={runs}", *SETTINGS, "name=run"]
    command += ["epochs=40", "evaluation.every_epochs=0", "--devices", "2", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_signal_to_the_launcher_stops_all_at_one_step_saved(tiny_config, shapes_dir, tmp_path):
    with _start(tiny_config, shapes_dir, tmp_path) as launcher:
        _wait_for_step(tmp_path / "run", 4)
        workers = _workers_of(launcher.pid)
        launcher.send_signal(signal.SIGTERM)
        output, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == 143, output
    assert "To go on:  mindssd train --resume" in output
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert read_checkpoint(tmp_path / "run" / "last" / "checkpoint.safetensors").step >= 4


def test_workers_that_msrun_leaves_behind_save_and_end(tiny_config, shapes_dir, tmp_path):
    """On SIGTERM msrun itself ends at once."""
    command = [*_msrun(tmp_path / "logs"), "-m", "mindssd", "train", "--config", str(tiny_config)]
    command += [f"data_dir={shapes_dir}", f"runs_dir={tmp_path}", *SETTINGS, "name=run"]
    with subprocess.Popen([*command, "epochs=40"], env={**os.environ, "PATH": PATH}) as msrun:
        _wait_for_step(tmp_path / "run", 4)
        msrun.terminate()
        assert msrun.wait(30) != 0
        end = time.monotonic() + 30
        while not events(tmp_path / "run", "stopped"):
            assert time.monotonic() < end
            time.sleep(0.1)
    (stopped,) = events(tmp_path / "run", "stopped")
    last = read_checkpoint(tmp_path / "run" / "last" / "checkpoint.safetensors")
    assert last.step == stopped["step"] and stopped["status"] == 143


def test_a_killed_rank_is_named_and_the_job_goes_on(tiny_config, shapes_dir, tmp_path):
    with _start(tiny_config, shapes_dir, tmp_path, "epochs=6", "--restarts", "1") as launcher:
        _wait_for_step(tmp_path / "run", 4)
        os.kill(_workers_of(launcher.pid)[1], signal.SIGKILL)
        output, _ = launcher.communicate(timeout=PATIENCE_S)
    assert launcher.returncode == 0, output
    assert "rank 1 of 2 was killed by SIGKILL; restart 1 of 1" in output
    assert read_checkpoint(tmp_path / "run" / "last" / "checkpoint.safetensors").step == 18


def test_a_frozen_rank_ends_the_job_in_time_and_is_named(tiny_config, shapes_dir, tmp_path):
    with _start(tiny_config, shapes_dir, tmp_path) as launcher:
        _wait_for_step(tmp_path / "run", 4)
        os.kill(_workers_of(launcher.pid)[1], signal.SIGSTOP)
        started = time.monotonic()
        output, _ = launcher.communicate(timeout=PATIENCE_S)
    assert launcher.returncode == 1, output
    assert "rank 1 of 2 has been stopped for 30 s" in output
    assert time.monotonic() - started < 60


def test_a_killed_launcher_leaves_no_process(tiny_config, shapes_dir, tmp_path):
    with _start(tiny_config, shapes_dir, tmp_path) as launcher:
        _wait_for_step(tmp_path / "run", 1)
        workers = _workers_of(launcher.pid)
        launcher.kill()
        launcher.wait()
        end = time.monotonic() + 10
        while any(Path(f"/proc/{worker}").exists() for worker in workers):
            assert time.monotonic() < end
            time.sleep(0.1)
