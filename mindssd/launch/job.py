"""`mindssd train --devices N`: N processes that train together, watched until the last has ended.

Any launcher does, mpirun or msrun; this one needs no installation, passes signals on, ends the
whole job when one process dies, is stopped or hangs, names that one, and can begin again from the
last checkpoint.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from mindssd.build.engine import build_cluster
from mindssd.errors import ConfigError, TrainingError
from mindssd.launch.heartbeat import Heartbeat
from mindssd.platform import ENDING_SIGNALS, die_with_parent, is_hangup
from mindssd.training.run_folder import RunFolder

POLL_S = 0.2
FROZEN_S = 30.0
"""A process that is stopped (SIGSTOP) for so long counts as dead."""
GRACE_S = 5.0
"""How long the other processes have after a failure to say why they end."""
PATIENCE_S = 1800.0
"""A process that neither takes a step nor evaluates an image for so long counts as hanging. The
graph of a large network compiles for minutes."""
RENDEZVOUS_TRIES = 3
"""Another program may take the free port before the processes meet: then another is tried."""
LAUNCHED = {"OMPI_COMM_WORLD_RANK", "MS_ROLE", "TORCHELASTIC_RUN_ID"}
"""Another launcher has set one of these."""
PROGRAM = [sys.executable, "-m", "mindssd"]


class _NoRendezvousError(Exception):
    """The processes cannot meet."""


def launch(
    command: Sequence[str],
    resume: Sequence[str],
    folder: Path,
    num_processes: int,
    restarts: int = 0,
    patience_s: float = PATIENCE_S,
    engine: str = "auto",
) -> int:
    """Run `command`, mindssd's arguments for one process, in `num_processes`; the exit status.

    After a failure it begins again, up to `restarts` times, by `resume` if the run in `folder` has
    a checkpoint. TrainingError, which names the rank, where that does not help.
    """
    if os.name == "nt":
        raise ConfigError("--devices starts processes as Linux does; on Windows leave it out")
    if LAUNCHED & os.environ.keys():
        raise ConfigError(
            "--devices starts the processes itself; leave it out under mpirun, msrun or torchrun"
        )
    if command != resume:
        RunFolder(folder).require_free()  # or a restart would go on with an older run
    with _noted_signals() as signals:
        for attempt in range(restarts + 1):
            try:
                return _run(command, num_processes, patience_s, engine, signals)
            except TrainingError as error:
                if attempt == restarts or signals:
                    raise
                print(f"mindssd: {error}; restart {attempt + 1} of {restarts}", file=sys.stderr)
            if RunFolder(folder).can_be_resumed:
                command = resume
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """Only note signals, in their order: the code that reads the list passes them on.

    So none is lost, whatever it breaks into: the start of a process, or the end of an attempt.
    """
    signals: list[int] = []
    before = {}
    try:
        for number in ENDING_SIGNALS:
            handler = signal.getsignal(number)
            if is_hangup(number) and handler == signal.SIG_IGN:  # under nohup
                continue
            before[number] = handler
            signal.signal(number, lambda number, frame: signals.append(number))
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(
    command: Sequence[str], num_processes: int, patience_s: float, engine: str, signals: list[int]
) -> int:
    for _ in range(RENDEZVOUS_TRIES):
        try:
            with tempfile.TemporaryDirectory(prefix="mindssd-") as folder:
                job = _Job(command, num_processes, patience_s, engine, signals, Path(folder))
                return job.run()
        except _NoRendezvousError as error:
            failure = error
    raise TrainingError(f"the processes could not meet, {RENDEZVOUS_TRIES} times: {failure}")


class _Job:
    """Workers, and the process that lets them meet."""

    def __init__(
        self,
        command: Sequence[str],
        num_processes: int,
        patience_s: float,
        engine: str,
        signals: list[int],
        folder: Path,
    ) -> None:
        self.command = command
        self.size = num_processes
        self.patience_s = patience_s
        self.engine = engine
        self.signals = signals
        self.folder = folder
        self.heartbeats: list[Heartbeat] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self.outputs: list[IO[bytes]] = []
        """The helper's first, then those of rank 1 and up; rank 0 speaks for itself."""
        self.ends: dict[int, int] = {}
        """The statuses of those that have ended, by rank, in the order of their ends."""
        self._stopped_since: dict[int, float] = {}

    def run(self) -> int:
        cluster = build_cluster(self.size, self.engine)
        started: list[subprocess.Popen[bytes]] = []
        watchers = [
            threading.Thread(target=self._note_end, args=(rank,), daemon=True)
            for rank in range(self.size)
        ]
        try:
            helper = self._start(*cluster.helper())
            started.append(helper)
            for rank in range(self.size):
                if self.signals:  # those that are not there yet would not hear of it
                    return 128 + self.signals[0]
                self.heartbeats.append(Heartbeat(self.folder, f"rank{rank}"))
                variables = cluster.worker_environment(rank) | self.heartbeats[rank].environment
                worker = self._start([*PROGRAM, *self.command], variables, speaks=rank == 0)
                started.append(worker)
                self.workers.append(worker)
            for watcher in watchers:  # after the last fork: beside threads it is not safe
                watcher.start()
            return self._watch(helper)
        finally:
            for process in started[::-1]:
                process.kill()
                process.wait()
            for watcher in watchers:
                if watcher.ident is not None:
                    watcher.join()
            for output in self.outputs:
                output.close()

    def _start(
        self, command: list[str], environment: dict[str, str], speaks: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start a process in its own session, so that Ctrl-C reaches it only through this one."""
        output: IO[bytes] | None = None
        if not speaks:
            output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the job
            self.outputs.append(output)
        return subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, signal.SIGKILL, os.getpid()),
        )

    def _note_end(self, rank: int) -> None:
        self.ends[rank] = self.workers[rank].wait()

    def _watch(self, helper: subprocess.Popen[bytes]) -> int:
        """Wait for the workers; their common status, or TrainingError that names a failed one."""
        passed_on = False
        helper_before: int | None = None
        while True:
            if self.signals and not passed_on:
                passed_on = True
                for worker in self.workers:
                    # For SIGINT too: a collective operation of MindSpore 2.10.0 makes it SIGTERM.
                    worker.send_signal(signal.SIGTERM)
            time.sleep(POLL_S)
            if len(self.signals) > 1:
                return 128 + self.signals[1]
            # It ends behind the workers, whose ends are known a moment after they are: so what
            # counts is how it was a look ago.
            met, helper_before = helper_before, helper.poll()
            asked_for = signal.SIGTERM if passed_on else 0
            ends = dict(self.ends)
            # A signal before the worker heeds it ends it as such.
            if any(status and abs(status) % 128 != asked_for for status in ends.values()):
                self._wait_for_words()
                self._fail(*self._first_to_fail(asked_for))
            if len(ends) == self.size:
                return 128 + self.signals[0] if any(ends.values()) else 0
            running = [rank for rank in range(self.size) if rank not in ends]
            for rank in running:
                if self._is_frozen(rank):
                    self._fail(rank, f"has been stopped for {FROZEN_S:.0f} s")
            if met and not self.signals and not ends:
                self._miss_helper(met)
            self._check_heartbeats(running)

    def _miss_helper(self, status: int) -> None:
        how = f"the process that lets them meet {_how_it_ended(status)}{self._last_words(0)}"
        if any(heartbeat.begun for heartbeat in self.heartbeats):
            raise TrainingError(how)
        raise _NoRendezvousError(how)

    def _is_frozen(self, rank: int) -> bool:
        try:
            state = Path(f"/proc/{self.workers[rank].pid}/stat").read_text().rpartition(")")[2]
        except OSError:
            return False
        if state.split()[0] not in ("T", "t"):
            self._stopped_since.pop(rank, None)
            return False
        return time.monotonic() - self._stopped_since.setdefault(rank, time.monotonic()) > FROZEN_S

    def _check_heartbeats(self, running: Sequence[int]) -> None:
        """Fail where a process's last heartbeat is too long ago.

        The others wait for it, but took their part of the step before they did.
        """
        last = {rank: self.heartbeats[rank].last() for rank in running}
        rank = min(last, key=lambda rank: last[rank])
        if time.monotonic() - last[rank] > self.patience_s:
            self._fail(rank, f"has hung for {self.patience_s:.0f} s, the longest of all")

    def _first_to_fail(self, asked_for: int) -> tuple[int, str]:
        """The first that was killed, for others end because of that; else the first that ended."""
        failed = [(r, s) for r, s in list(self.ends.items()) if s and abs(s) % 128 != asked_for]
        rank, status = min(failed, key=lambda end: end[1] >= 0)
        return rank, _how_it_ended(status)

    def _wait_for_words(self) -> None:
        end = time.monotonic() + GRACE_S
        while time.monotonic() < end and len(self.ends) < self.size:
            time.sleep(POLL_S)

    def _fail(self, rank: int, how: str) -> None:
        words = self._last_words(rank) if rank > 0 else ""
        raise TrainingError(f"rank {rank} of {self.size} {how}{words}")

    def _last_words(self, output: int) -> str:
        file = self.outputs[output]
        file.seek(0)
        lines = file.read().decode(errors="replace").strip().splitlines()
        lines = [line for line in lines if line and not line.startswith(("[INFO]", "[WARNING]"))]
        return f": {lines[-1].removeprefix('mindssd: ')}" if lines else ""


def _how_it_ended(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
