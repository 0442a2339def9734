"""Two processes on one CPU train as one does: with our launcher, OpenMPI's and MindSpore's.

A start of two processes takes ten seconds and more, so a run here shows several things in turn.
`launch/test_job.py` has what the launcher does with processes of any kind.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from mindssd.config.load import load_config
from mindssd.data.loader import _epoch_order
from mindssd.training.checkpoint import Checkpoint, previous_file, read_checkpoint

pytestmark = pytest.mark.slow

PATIENCE_S = 240
BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
MINDSSD = [sys.executable, "-m", "mindssd"]
MPIRUN = [str(BIN / "mpirun"), "-n", "2", "--oversubscribe", "--allow-run-as-root", *MINDSSD]
LONG = "epochs=2000"  # no machine is quick enough to end it before a test does
SETTINGS = ["epochs=3", "batch_size=2", "num_workers=1", "evaluation.every_epochs=3"]


def msrun(folder: Path, port: int) -> list[str]:
    command = [str(BIN / "msrun"), "--worker_num=2", "--local_worker_num=2", "--join=True"]
    return [*command, f"--log_dir={folder}", f"--master_port={port}", "python", "-m", "mindssd"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Job:
    """A started `mindssd train` with all its processes, of which none may outlive it."""

    def __init__(self, command: Sequence[str], output: Path) -> None:
        self.output_file = output
        self.seen: set[int] = set()
        with output.open("w") as file:
            self.launcher = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, env=ENVIRONMENT
            )

    @property
    def output(self) -> str:
        """With the lines as they were before a terminal broke them."""
        return " ".join(self.output_file.read_text().split())

    def wait_until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.launcher.poll() is None and time.monotonic() < end, self.output
            time.sleep(0.03)

    def wait(self) -> int:
        return self.launcher.wait(PATIENCE_S)

    def processes(self) -> dict[int, dict[str, str]]:
        """The processes that the launcher's have started, and their variables, by their ids."""
        found = {}
        waiting = [self.launcher.pid]
        while waiting:
            process = waiting.pop(0)
            try:
                content = Path(f"/proc/{process}/environ").read_bytes().decode().split("\0")
            except OSError:  # it has ended meanwhile
                content = []
            found[process] = dict(item.split("=", 1) for item in content if "=" in item)
            waiting += children(process)
        self.seen |= set(found)
        return found

    def rank(self, rank: int) -> int:
        """Our launcher's process of that rank."""
        mindspores = {"MS_ROLE": "MS_WORKER", "MS_NODE_ID": str(rank)}.items()
        pytorchs = {"RANK": str(rank)}.items()
        fits = [
            n
            for n, variables in self.processes().items()
            if mindspores <= variables.items() or pytorchs <= variables.items()
        ]
        # Its own data workers have its variables; none of them is its parent.
        (process,) = set(fits).difference(*(children(n) for n in fits))
        return process


def children(process: int) -> list[int]:
    """Whichever of its threads has started them."""
    found = []
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, file.read_text().split())
    return sorted(found)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_tail(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/comm").read_text() == "tail\n"
    except OSError:
        return False


def wait_for_end(processes: Sequence[int], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while left := [process for process in processes if is_running(process)]:
        assert time.monotonic() < end, f"left behind: {left}"
        time.sleep(0.1)


@pytest.fixture
def start(tmp_path):
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


def events(folder: Path, kind: str) -> list[dict]:
    file = folder / "log.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    whole = [json.loads(line) for line in lines if line.endswith("}")]
    return [event for event in whole if event["event"] == kind]


def last(folder: Path) -> Checkpoint:
    return read_checkpoint(folder / "last" / "checkpoint.safetensors")


SAME_STEPS = """
import json, sys
import numpy as np
from mindssd.build.engine import build_engine
from mindssd.config.schema import Config
from mindssd.engines.base import *
from mindssd.geometry.default_boxes import PaperDefaultBoxes
from mindssd.types import Batch

name, synchronised = sys.argv[1], sys.argv[2] == "synchronised"
config = Config(engine=name, device="CPU", precision="float32", sync_batch_norm=synchronised)
engine = build_engine(config, training=True)
group = engine.group
spec = NetworkSpec(
    "mobilenet_v2_035_96", (3, 6), (32, 32),
    ExtrasNeck(channels=(16,), expand_ratios=(0.5,), expand_first=2), PerLevelHead(),
    PaperDefaultBoxes().boxes_per_location(3), 3,
)
network = engine.build_network(spec, 0)
# All but the last 1×1: no BatchNorm takes statistics of a process's own half of the batch, unless
# it is told to take the whole batch's.
norms = tuple(f"head.{kind}.{k}.depthwise." for kind in ("boxes", "classes") for k in range(3))
frozen = () if synchronised else ("backbone.", "neck.", *norms)
# The boxes' weights are of the whole group's batch too.
loss = LossSpec("quality_focal", box_kind="giou", box_weight_by_score=True)
loss = loss if sys.argv[2] == "scored" else LossSpec()
stepper = engine.build_stepper(network, StepSpec(loss, frozen_prefixes=frozen))
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
    losses.append(stepper.step(batch, 0.01 if synchronised else 0.05, 0.0).loss)
checksum = sum(float(value.astype(np.float64).sum()) for value in network.parameters().values())
words = [part.decode() for part in group.gather(b"word" * (group.rank + 1))]
long = [bytes(range(256)) * 9000 * rank for rank in range(group.size)]  # none, and some rounds
exact = group.gather(long[group.rank]) == long
bits = np.array([-0.0, np.nan, 1e-45, np.inf, 16777217], np.float32)
mine = bits if group.rank == 0 else np.zeros_like(bits)
sent = group.broadcast({"a": mine[:1], "b": mine[1:].reshape(2, 2)})
exact &= np.concatenate([sent["a"], sent["b"].ravel()]).tobytes() == bits.tobytes()
print(json.dumps({"losses": losses, "checksum": checksum, "words": words, "exact": exact,
                  "any": [group.any(group.rank == 1), group.any(False)]}))
"""


def _run_steps(size: int, engine: str, statistics: str = "frozen") -> list[dict]:
    from mindssd.build.engine import build_cluster

    cluster = build_cluster(size, engine)
    command, variables = cluster.helper()
    environments = [{}] if size == 1 else [cluster.worker_environment(k) for k in range(size)]
    helper = subprocess.Popen(command, env={**os.environ, **variables}) if size > 1 else None
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", SAME_STEPS, engine, statistics],
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


@pytest.mark.parametrize("statistics", ["frozen", "scored"])
@pytest.mark.parametrize("engine", ["mindspore", "torch"])
def test_two_halves_of_a_batch_train_as_the_whole_one(engine, statistics):
    """`scored`: with losses that divide by the scores of the batch, beside frozen statistics."""
    (alone,) = _run_steps(1, engine, statistics)
    first, second = _run_steps(2, engine, statistics)
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=1e-4)
    assert first["losses"] == second["losses"]
    assert first["checksum"] == second["checksum"] == pytest.approx(alone["checksum"], rel=1e-6)
    assert first["words"] == ["word", "wordword"]
    assert first["any"] == second["any"] == [True, False]
    assert first["exact"] and second["exact"] and alone["exact"]


def test_with_the_whole_batchs_statistics_the_whole_network_trains_as_on_one_device():
    (alone,) = _run_steps(1, "torch", "synchronised")
    first, second = _run_steps(2, "torch", "synchronised")
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=1e-2)
    np.testing.assert_allclose(first["losses"][:2], alone["losses"][:2], rtol=1e-4)
    assert first["losses"] == second["losses"]
    assert first["checksum"] == second["checksum"] == pytest.approx(alone["checksum"], rel=1e-3)


@pytest.fixture(scope="module")
def data(shapes_dir, tmp_path_factory) -> Path:
    """Twelve images, of which none that rank 1 gets in the first epoch can be read.

    Eleven are for validation, which two processes cannot share evenly.
    """
    folder = tmp_path_factory.mktemp("damaged") / "shapes"
    shutil.copytree(shapes_dir, folder)
    for index in _epoch_order(12, 0, 0, True)[1::2].tolist():
        (folder / "train2017" / f"{index}.png").write_bytes(b"no image")
    file = folder / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    del content["images"][-1]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] < 12]
    file.write_text(json.dumps(content))
    return folder


@pytest.fixture
def new_run(tiny_config, data, tmp_path) -> list[str]:
    """What makes `mindssd` begin a run in `tmp_path / "run"`."""
    command = ["train", "--config", str(tiny_config), f"data_dir={data}"]
    return [*command, f"runs_dir={tmp_path}", "name=run", *SETTINGS]


@pytest.fixture(scope="module")
def together(tiny_config, data, tmp_path_factory) -> Path:
    """The folder of a run of two processes, by `--devices 2`."""
    return train_together("mindspore", tiny_config, data, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module", params=["mindspore", "torch"])
def by_each_engine(request, tiny_config, data, tmp_path_factory) -> Path:
    """The same by each of the engines."""
    if request.param == "mindspore":
        return request.getfixturevalue("together")
    return train_together(request.param, tiny_config, data, tmp_path_factory.mktemp("runs"))


def train_together(engine: str, config: Path, data: Path, runs: Path) -> Path:
    command = [*MINDSSD, "train", "--config", str(config), f"data_dir={data}", f"engine={engine}"]
    command += [f"runs_dir={runs}", "name=two", *SETTINGS, "--devices", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("compiling the training step: takes") == (engine == "mindspore")
    assert done.stdout.count("epoch 3: AP") == 1  # one process speaks
    assert "2 processes" in done.stdout
    assert "6 training images could not be read" in done.stdout
    return runs / "two"


def test_one_process_writes_the_run(by_each_engine):
    assert [event["step"] for event in events(by_each_engine, "evaluation")] == [9]
    assert len(events(by_each_engine, "start")) == len(events(by_each_engine, "end")) == 1
    assert last(by_each_engine).step == 9  # 12 images, 2 processes of 2 images
    assert last(by_each_engine).origin.num_devices == 2
    assert previous_file(by_each_engine / "last" / "checkpoint.safetensors").exists()


def test_a_process_without_readable_images_takes_its_steps_and_they_are_told(by_each_engine):
    unreadable = _epoch_order(12, 0, 0, True)[1::2] + 1  # ids count from 1
    told = [event["image_id"] for event in events(by_each_engine, "unreadable")]
    assert sorted(told) == sorted(unreadable.tolist())
    assert [event["step"] for event in events(by_each_engine, "train")] == list(range(1, 10))


def test_the_evaluation_of_two_is_that_of_one(by_each_engine, data, tmp_path):
    """`mindssd eval` of the saved model, in one process, gives the twelve numbers of training."""
    file = tmp_path / "alone.json"
    engine = load_config(str(by_each_engine / "config.yaml")).engine
    command = [*MINDSSD, "eval", str(by_each_engine / "best.safetensors"), f"data_dir={data}"]
    subprocess.run(
        [*command, f"engine={engine}", "--json", str(file)],
        check=True,
        timeout=PATIENCE_S,
        capture_output=True,
    )
    alone = json.loads(file.read_text())
    trained = json.loads((by_each_engine / "evaluation.json").read_text())
    timed = {"seconds", "images_per_second"}
    assert {k: v for k, v in alone.items() if k not in timed} == {
        k: v for k, v in trained.items() if k not in timed
    }
    assert alone["num_images"] == 11 and alone["AP50"] > 0


def test_signals_to_the_launcher_end_all_saved_and_the_end_is_bit_for_bit_the_same(
    together, new_run, tmp_path, start
):
    """SIGINT while the step compiles, SIGTERM during the evaluation, then to the end."""
    folder = tmp_path / "run"
    job = start(*MINDSSD, *new_run, "--devices", "2")
    job.wait_until(lambda: "compiling the training step" in job.output)
    time.sleep(1)
    processes = list(job.processes())
    job.launcher.send_signal(signal.SIGINT)
    assert job.wait() == 130, job.output
    assert f"To go on: mindssd train --resume {folder}" in job.output
    assert last(folder).step == 1
    wait_for_end(processes)

    job = start(*MINDSSD, "train", "--resume", str(folder), "--devices", "2")
    job.wait_until(lambda: len(events(folder, "train")) == 9)
    job.launcher.send_signal(signal.SIGTERM)
    assert job.wait() == 143, job.output
    assert (last(folder).step, last(folder).evaluation_due) == (9, True)
    assert events(folder, "evaluation") == []

    job = start(*MINDSSD, "train", "--resume", str(folder), "--devices", "2")
    assert job.wait() == 0, job.output
    ours, theirs = last(folder), last(together)
    for mine, other in (
        (ours.parameters, theirs.parameters),
        (ours.stepper.arrays, theirs.stepper.arrays),
    ):
        assert [name for name in other if not np.array_equal(mine[name], other[name])] == []
    assert [e["loss"] for e in events(folder, "train")] == [
        e["loss"] for e in events(together, "train")
    ]
    assert events(folder, "evaluation")[0]["AP"] == events(together, "evaluation")[0]["AP"]


def test_one_process_takes_a_run_of_two_over_only_if_asked_to_adapt(by_each_engine, tmp_path):
    folder = tmp_path / "two"
    shutil.copytree(by_each_engine, folder)
    command = [*MINDSSD, "train", "--resume", str(folder), "epochs=4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 1
    assert "number of devices 2 → 1; epochs 3 → 4" in done.stderr and "--adapt" in done.stderr
    assert last(folder).step == 9
    done = subprocess.run(
        [*command, "--adapt"], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "going on with another number of devices 2 → 1" in done.stdout
    # Three epochs of six steps each are done, and the fourth's are taken.
    assert events(folder, "start")[-1]["step"] == 18
    assert last(folder).step == 24
    assert [event["change"] for event in events(folder, "adapted")] == [
        "number of devices 2 → 1",
        "epochs 3 → 4",
    ]


def test_whatever_ends_one_process_ends_all_names_it_and_the_run_goes_on(
    new_run, data, tmp_path, start
):
    """Its data worker killed, the process killed, then stopped; three restarts see to it.

    Before that, an image can no longer be read in a later epoch.
    """
    folder = tmp_path / "run"
    shutil.copytree(data, tmp_path / "data")
    job = start(
        *MINDSSD,
        *new_run,
        *(f"data_dir={tmp_path}/data", LONG, "evaluation.every_epochs=0"),
        *("--devices", "2", "--restarts", "3"),
    )

    def steps_of_start(count: int) -> bool:
        return len(events(folder, "start")) == count and (
            events(folder, "train")[-1:]
            and events(folder, "train")[-1]["time"] > events(folder, "start")[-1]["time"]
        )

    job.wait_until(lambda: len(events(folder, "train")) > 3)
    readable = int(_epoch_order(12, 0, 0, True)[0])
    (tmp_path / "data" / "train2017" / f"{readable}.png").write_bytes(b"no image")
    job.wait_until(lambda: readable + 1 in [e["image_id"] for e in events(folder, "unreadable")])
    os.kill(children(job.rank(1))[-1], signal.SIGKILL)
    job.wait_until(lambda: steps_of_start(2))
    os.kill(job.rank(1), signal.SIGKILL)
    job.wait_until(lambda: steps_of_start(3))
    os.kill(job.rank(1), signal.SIGSTOP)
    job.wait_until(lambda: steps_of_start(4))
    job.launcher.terminate()
    assert job.wait() == 143, job.output
    assert "rank 1 of 2 ended with status 1: Worker process was terminated unexpectedly" in (
        job.output
    )
    assert "restart 1 of 3" in job.output
    assert "rank 1 of 2 was killed by SIGKILL; restart 2 of 3" in job.output
    assert "rank 1 of 2 has been stopped for 30 s; restart 3 of 3" in job.output
    starts = [event["step"] for event in events(folder, "start")]
    assert starts == sorted(starts) and starts[-1] < last(folder).step


def test_pytorchs_processes_are_watched_and_saved_alike(new_run, tmp_path, start):
    """Killed, begun again, asked to end, and gone on with."""
    folder = tmp_path / "run"
    long = ["engine=torch", LONG, "evaluation.every_epochs=0", "num_workers=0"]
    job = start(*MINDSSD, *new_run, *long, "--devices", "2", "--restarts", "1")
    job.wait_until(lambda: len(events(folder, "train")) > 3)
    os.kill(job.rank(1), signal.SIGKILL)
    job.wait_until(lambda: len(events(folder, "start")) == 2)
    processes = list(job.processes())
    job.launcher.terminate()
    assert job.wait() == 143, job.output
    assert "rank 1 of 2 was killed by SIGKILL; restart 1 of 1" in job.output
    assert "Traceback" not in job.output
    wait_for_end(processes)
    (stopped,) = events(folder, "stopped")
    assert last(folder).step == stopped["step"] > 3
    resume = ["--resume", str(folder), "epochs=1", "--adapt", "--devices", "2"]
    assert start(*MINDSSD, "train", *resume).wait() == 0
    assert len(events(folder, "evaluation")) == 1


def test_torchrun_starts_a_run_which_saves_when_it_is_ended(new_run, tmp_path, start):
    folder = tmp_path / "run"
    torchrun = [str(BIN / "torchrun"), "--nproc_per_node=2", "--master_port", str(free_port())]
    job = start(*torchrun, "-m", "mindssd", *new_run, LONG, "evaluation.every_epochs=0")
    job.wait_until(lambda: len(events(folder, "train")) > 3)
    assert "2 processes" in job.output
    assert load_config(str(folder / "config.yaml")).engine == "torch"
    processes = list(job.processes())
    job.launcher.terminate()
    assert job.wait() != 0
    wait_for_end(processes)
    (stopped,) = events(folder, "stopped")
    assert stopped["status"] == 143 and last(folder).step == stopped["step"] > 3


def test_mpirun_starts_a_run_which_saves_when_it_is_ended_and_goes_on(new_run, tmp_path, start):
    assert Path(MPIRUN[0]).exists(), "OpenMPI's mpirun comes with the extra `test`"
    folder = tmp_path / "run"
    job = start(*MPIRUN, *new_run, LONG, "evaluation.every_epochs=0")
    job.wait_until(lambda: len(events(folder, "train")) > 3)
    processes = list(job.processes())
    assert len(processes) > 6  # mpirun; three and a data worker of each rank; the scheduler
    job.launcher.terminate()
    assert job.wait() != 0
    wait_for_end(processes)
    (stopped,) = events(folder, "stopped")
    assert stopped["status"] == 143 and last(folder).step == stopped["step"]
    epochs = stopped["step"] // 3 + 2
    job = start(*MPIRUN, "train", "--resume", str(folder), f"epochs={epochs}", "--adapt")
    assert job.wait() == 0, job.output
    assert "2 processes" in job.output
    assert last(folder).step == 3 * epochs and len(events(folder, "evaluation")) == 1


def test_msrun_starts_a_run_which_saves_when_it_is_ended_and_goes_on(new_run, tmp_path, start):
    """On SIGTERM msrun itself ends at once; what it leaves behind is `tail` on its logs alone."""
    folder = tmp_path / "run"
    launcher = msrun(tmp_path / "logs", free_port())
    job = start(*launcher, *new_run, LONG, "evaluation.every_epochs=0")
    job.wait_until(lambda: len(events(folder, "train")) > 3)
    processes = list(job.processes())
    assert len(processes) > 7  # msrun, the scheduler; each worker, its data worker and `tail`
    job.launcher.terminate()
    assert job.wait() != 0
    wait_for_end([process for process in processes if not is_tail(process)])
    (stopped,) = events(folder, "stopped")
    assert stopped["status"] == 143 and last(folder).step == stopped["step"]
    # As MindSpore's documents have it, without `python`.
    *launcher, _, _, _ = msrun(tmp_path / "logs", free_port())
    epochs = stopped["step"] // 3 + 2
    resume = ["--resume", str(folder), f"epochs={epochs}", "--adapt"]
    job = start(*launcher, "--", "-m", "mindssd", "train", *resume)
    assert job.wait() == 0, job.output
    assert last(folder).step == 3 * epochs and len(events(folder, "evaluation")) == 1


def test_where_the_port_for_mpiruns_ranks_is_taken_one_line_says_so(new_run, start):
    """Between the moment when it was free and that when the scheduler takes it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        program = (
            "from mindssd.engines.mindspore import mpi; from mindssd.cli.main import main; "
            f"mpi.free_port = lambda: {port}; main()"
        )
        job = start(*MPIRUN[:-2], "-c", program, *new_run)
        assert job.wait() != 0
    assert f"mindssd: the processes cannot meet at 127.0.0.1:{port}: another" in job.output


@pytest.mark.parametrize(
    ("size", "options"),
    [("64k", ["--devices", "2"]), ("1m", ["batch_size=8"])],
    ids=["no room at all", "no room for a batch"],
)
def test_too_small_a_dev_shm_is_an_error_and_not_a_hang(new_run, start, size, options):
    private = ["unshare", "--mount", "sh", "-c"]
    small = f"mount -t tmpfs -o size={size} tmpfs /dev/shm"
    if subprocess.run([*private, small], capture_output=True, check=False).returncode:
        pytest.skip("no right to a /dev/shm of its own")
    job = start(*private, f'{small} && exec "$@"', "sh", *MINDSSD, *new_run, *options)
    assert job.wait() == 1, job.output
    assert "/dev/shm is too small" in job.output and "num_workers=0" in job.output
