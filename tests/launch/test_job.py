"""Our launcher, with programs of a few lines in the place of training.

`distributed/` has it start real trainings.
"""

import inspect
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mindssd.cli.train import train
from mindssd.errors import ConfigError, TrainingError
from mindssd.launch import job
from mindssd.launch.heartbeat import HEARTBEAT, Heartbeat, beat

WORKER = """
import os, signal, sys, time
from pathlib import Path
from mindssd.launch.heartbeat import beat
rank, folder, resumes = os.environ["RANK"], Path(sys.argv[1]), "again" in sys.argv
with (folder / "starts").open("a") as file:
    file.write(f"{rank} {os.getpid()} {sys.argv[2]}\\n")
"""
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@dataclass
class Processes:
    """A cluster whose processes need not meet."""

    helpers: list[list[str]]

    def worker_environment(self, rank: int) -> dict[str, str]:
        return {"RANK": str(rank)}

    def helper(self) -> tuple[list[str], dict[str, str]]:
        return self.helpers.pop(0) if len(self.helpers) > 1 else self.helpers[0], {}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Launch two processes of that program; its argument says whether they begin `again`."""

    def start(program: str, helpers: list[list[str]] | None = None, **options) -> int:
        cluster = Processes(helpers or [SLEEP])
        monkeypatch.setattr(job, "build_cluster", lambda size, engine: cluster)
        monkeypatch.setattr(job, "PROGRAM", [sys.executable, "-c", WORKER + program])
        folder = tmp_path / "run"
        command = [str(tmp_path), "first"]
        return job.launch(command, [str(tmp_path), "again"], folder, 2, **options)

    return start


def _starts(tmp_path: Path) -> list[tuple[str, int, str]]:
    lines = (tmp_path / "starts").read_text().splitlines()
    return [(rank, int(number), how) for rank, number, how in map(str.split, lines)]


@pytest.fixture(autouse=True)
def _leaves_no_process(tmp_path):
    yield
    if (tmp_path / "starts").exists():
        assert [n for _, n, _ in _starts(tmp_path) if Path(f"/proc/{n}").exists()] == []


def test_all_end_well_together(run, tmp_path):
    assert run("") == 0
    assert sorted(rank for rank, _, _ in _starts(tmp_path)) == ["0", "1"]


@pytest.mark.parametrize(
    ("end", "how"),
    [
        ("sys.exit(3)", "ended with status 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL"),
        ("raise ValueError('no such thing')", "ended with status 1: ValueError: no such thing"),
        ("sys.exit('mindssd: the disk is full')", "ended with status 1: the disk is full"),
    ],
)
def test_a_process_that_ends_badly_ends_the_others_and_is_named(run, monkeypatch, end, how):
    monkeypatch.setattr(job, "GRACE_S", 0.1)
    with pytest.raises(TrainingError) as caught:
        run(f"if rank == '1': {end}\ntime.sleep(60)")
    assert str(caught.value) == f"rank 1 of 2 {how}"


def test_who_was_killed_is_named_although_another_ended_because_of_it(run, monkeypatch):
    monkeypatch.setattr(job, "GRACE_S", 120.0)
    program = """
if rank == "0":
    sys.exit(1)
starts = []
while "0" not in starts or Path("/proc", starts[starts.index("0") + 1], "cwd").exists():
    time.sleep(0.01)  # until the other has ended
    starts = (folder / "starts").read_text().split()
os.kill(os.getpid(), signal.SIGKILL)
"""
    with pytest.raises(TrainingError, match=r"rank 1 of 2 was killed by SIGKILL"):
        run(program)


def test_of_two_that_ended_since_it_looked_the_first_is_named(run, monkeypatch):
    monkeypatch.setattr(job, "POLL_S", 1.0)
    program = """
if rank == "1":
    sys.exit("mindssd: no disk")
others = []
while not others or Path("/proc", others[0], "cwd").exists():
    time.sleep(0.1)
    starts = (folder / "starts").read_text().splitlines()
    others = [start.split()[1] for start in starts if start.startswith("1 ")]
sys.exit("mindssd: rank 1 has gone")
"""
    with pytest.raises(TrainingError, match=r"rank 1 of 2 ended with status 1: no disk$"):
        run(program)


def test_a_stopped_process_is_named(run, monkeypatch):
    monkeypatch.setattr(job, "FROZEN_S", 1.0)
    with pytest.raises(TrainingError, match=r"rank 1 of 2 has been stopped for 1 s"):
        run("if rank == '1': os.kill(os.getpid(), signal.SIGSTOP)\ntime.sleep(60)")


def test_a_process_that_hangs_is_named(run):
    """Both take steps; then one of them spins, and the other waits for it a moment longer."""
    program = """
hangs = folder / "hangs"
for step in range(3):
    beat()
if rank == "1":
    hangs.touch()
    while True: pass
while not hangs.exists():
    beat()
    time.sleep(0.01)
time.sleep(0.3)
beat()
time.sleep(60)
"""
    with pytest.raises(TrainingError, match=r"rank 1 of 2 has hung for 2 s, the longest of all"):
        run(program, patience_s=2)


def test_a_process_whose_heart_never_beats_hangs_too(run):
    with pytest.raises(TrainingError, match=r"rank . of 2 has hung for 1 s"):
        run("time.sleep(60)", patience_s=1)


def test_a_restart_goes_on_from_the_checkpoint_if_there_is_one(run, tmp_path):
    program = """
if resumes: sys.exit(0)
if rank == "1": sys.exit(1)
checkpoint = folder / "run" / "last" / "checkpoint.safetensors"
if len((folder / "starts").read_text().splitlines()) > 2:
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.touch()
sys.exit(1)
"""
    assert run(program, restarts=2) == 0
    assert [how for _, _, how in _starts(tmp_path)] == ["first"] * 4 + ["again"] * 2


def test_restarts_end_at_last(run, tmp_path, capsys):
    with pytest.raises(TrainingError, match=r"rank \d of 2 ended with status 1"):
        run("sys.exit(1)", restarts=1)
    assert "restart 1 of 1" in capsys.readouterr().err
    assert len(_starts(tmp_path)) == 4


def test_another_run_in_the_folder_is_not_gone_on_with(run, tmp_path):
    (tmp_path / "run" / "last").mkdir(parents=True)
    (tmp_path / "run" / "last" / "checkpoint.safetensors").touch()
    with pytest.raises(TrainingError, match="holds a run already"):
        run("", restarts=1)
    assert not (tmp_path / "starts").exists()


@pytest.mark.parametrize("variable", ["OMPI_COMM_WORLD_RANK", "MS_ROLE", "TORCHELASTIC_RUN_ID"])
def test_under_another_launcher_there_is_nothing_to_launch(run, monkeypatch, variable):
    monkeypatch.setenv(variable, "0")
    with pytest.raises(ConfigError, match="leave it out under mpirun, msrun or torchrun"):
        run("")


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_reaches_all_and_its_status_comes_back(run, tmp_path, number, status):
    program = """
def end(number, frame): sys.exit(128 + number)
if rank == "0":
    signal.signal(signal.SIGTERM, end)
# The other does not heed signals yet.
(folder / f"ready{rank}").touch()
time.sleep(60)
"""
    _signal_when_ready(tmp_path, number)
    assert run(program) == status


def test_what_fails_once_it_was_asked_to_end_is_not_begun_again(run, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "GRACE_S", 0.1)
    program = """
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("mindssd: the disk is full"))
(folder / f"ready{rank}").touch()
time.sleep(60)
"""
    _signal_when_ready(tmp_path, signal.SIGTERM)
    with pytest.raises(TrainingError, match=r"rank . of 2 ended with status 1"):
        run(program, restarts=3)
    assert len(_starts(tmp_path)) == 2


def test_a_second_signal_ends_all_at_once(run, tmp_path):
    program = """
signal.signal(signal.SIGTERM, lambda *_: (folder / f"asked{rank}").touch())
signal.signal(signal.SIGINT, signal.SIG_IGN)
(folder / f"ready{rank}").touch()
time.sleep(60)
"""
    _signal_when_ready(tmp_path, signal.SIGTERM, signal.SIGINT)
    assert run(program) == 130


def _signal_when_ready(tmp_path: Path, *numbers: int) -> None:
    """Send this process, which is the launcher, signals once both of its own are ready.

    The second waits until the first has reached both.
    """

    def send() -> None:
        for number, file in zip(numbers, ("ready", "asked"), strict=False):
            _wait_for(lambda file=file: all((tmp_path / f"{file}{k}").exists() for k in (0, 1)))
            os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_where_a_port_was_taken_the_processes_meet_at_another(run, tmp_path):
    both_have_started = f"""
import pathlib, sys, time
starts = pathlib.Path({str(tmp_path / "starts")!r})
while not starts.exists() or len(starts.read_text().splitlines()) < 2:
    time.sleep(0.01)
sys.exit("Address already in use")
"""
    taken = [sys.executable, "-c", both_have_started]
    program = """
first = len((folder / "starts").read_text().splitlines()) <= 2
time.sleep(60 if first else 0)
"""
    assert run(program, [taken, SLEEP]) == 0
    assert len(_starts(tmp_path)) == 4


def test_processes_that_can_never_meet_say_why(run):
    taken = [sys.executable, "-c", "import sys; sys.exit('Address already in use')"]
    expected = (
        "the processes could not meet, 3 times: the process that lets them meet ended with "
        "status 1: Address already in use"
    )
    with pytest.raises(TrainingError, match=expected):
        run("time.sleep(60)", [taken])


def test_a_helper_that_dies_amid_training_is_a_failure(run, tmp_path):
    dies = """
import sys, time
from pathlib import Path
while len(list(Path(sys.argv[1]).glob("beaten*"))) < 2: time.sleep(0.02)
sys.exit(1)
"""
    with pytest.raises(TrainingError, match=r"^the process that lets them meet ended"):
        run(
            "beat(); (folder / f'beaten{rank}').touch(); time.sleep(60)",
            [[sys.executable, "-c", dies, str(tmp_path)]],
        )
    assert len(_starts(tmp_path)) == 2


def test_a_killed_launcher_leaves_no_process(tmp_path):
    program = f"""
import sys
from pathlib import Path
from mindssd.launch import job
from tests.launch.test_job import SLEEP, WORKER, Processes
job.build_cluster = lambda size, engine: Processes([SLEEP])
job.PROGRAM = [sys.executable, "-c", WORKER + "time.sleep(60)"]
job.launch([{str(tmp_path)!r}, "first"], [], Path({str(tmp_path)!r}) / "run", 2)
"""
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen([sys.executable, "-c", program], cwd=root) as launcher:
        _wait_for(lambda: (tmp_path / "starts").exists() and len(_starts(tmp_path)) == 2)
        launcher.kill()
    _wait_for(lambda: not any(Path(f"/proc/{n}").exists() for _, n, _ in _starts(tmp_path)))


def test_the_commands_patience_is_the_launchers():
    assert inspect.signature(train).parameters["patience"].default == job.PATIENCE_S


def _beat(environment: dict[str, str], *descriptors: int) -> None:
    """In another process, which has these open files as well."""
    program = "from mindssd.launch.heartbeat import beat; beat()"
    subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        pass_fds=descriptors,
        check=True,
        timeout=30,
    )


def test_a_heartbeat_is_the_time_it_was_given(tmp_path):
    before = time.monotonic()
    heartbeat = Heartbeat(tmp_path, "rank0")
    assert not heartbeat.begun and before <= heartbeat.last() <= time.monotonic()
    began = time.monotonic()
    _beat(heartbeat.environment)
    assert heartbeat.begun and began <= heartbeat.last() <= time.monotonic()


def test_without_a_launcher_that_listens_a_heartbeat_goes_unheard(monkeypatch):
    monkeypatch.delenv(HEARTBEAT, raising=False)
    beat()


def test_into_what_is_not_a_heartbeats_file_nothing_is_written(tmp_path, monkeypatch):
    """The variable may be stale, or another program's, or a descriptor's number."""
    heartbeat = Heartbeat(tmp_path, "rank0")
    other, link = tmp_path / "thesis.tex", tmp_path / "link"
    other.write_text("many words of a thesis")
    link.symlink_to(tmp_path / "rank0")
    os.mkfifo(tmp_path / "pipe")
    for path in (other, link, tmp_path / "pipe", tmp_path, tmp_path / "gone" / "rank0", "", "7"):
        monkeypatch.setenv(HEARTBEAT, str(path))
        beat()
    assert other.read_text() == "many words of a thesis"
    assert not heartbeat.begun
    with other.open("r+b") as file:
        _beat({HEARTBEAT: str(file.fileno())}, file.fileno())
    assert other.read_text() == "many words of a thesis"


def test_a_job_leaves_no_file_in_the_temporary_folder(run, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run("beat()") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["starts"]


def test_a_signal_amid_the_start_of_the_last_process_reaches_it_too(run, tmp_path, monkeypatch):
    last = []

    class Noting(Processes):
        def worker_environment(self, rank: int) -> dict[str, str]:
            last[:] = [rank == 1]
            return super().worker_environment(rank)

    def signal_launcher(*arguments, **options) -> None:
        if last == [True]:  # in the new process, before it becomes the worker
            os.kill(os.getppid(), signal.SIGTERM)

    monkeypatch.setattr(sys.modules[__name__], "Processes", Noting)
    monkeypatch.setattr(job, "die_with_parent", signal_launcher)
    program = """
time.sleep(20)
sys.exit(5)
"""
    assert run(program) == 143


def test_a_signal_amid_the_end_of_an_attempt_is_the_last_ones_end(monkeypatch, tmp_path):
    attempts = []

    def fail(*arguments) -> int:
        attempts.append(arguments)
        os.kill(os.getpid(), signal.SIGTERM)
        raise TrainingError("rank 1 of 2 ended with status 1")

    monkeypatch.setattr(job, "_run", fail)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TrainingError, match="rank 1 of 2"):
        job.launch(["first"], ["again"], tmp_path / "run", 2, restarts=3)
    assert len(attempts) == 1
    assert signal.getsignal(signal.SIGTERM) is before
