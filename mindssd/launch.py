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
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from mindssd import build
from mindssd.errors import TrainingError
from mindssd.processes import LifeSign, die_with_parent
from mindssd.training.run_folder import RunFolder

POLL_S = 0.2
FROZEN_S = 30.0
"""A process that is stopped (SIGSTOP) for so long counts as dead."""
GRACE_S = 5.0
"""After a failure the others have so long to say why they end."""
PATIENCE_S = 900.0
"""A process that neither takes a step nor evaluates a batch for so long counts as hanging. The
graph of a large network compiles for minutes."""


def launch(
    command: Sequence[str],
    resume: Sequence[str],
    folder: Path,
    num_processes: int,
    restarts: int = 0,
    patience_s: float = PATIENCE_S,
) -> int:
    """Run `command`, mindssd's arguments for one process, in `num_processes`; the exit status.

    After a failure it begins again, up to `restarts` times, by `resume` if the run in `folder` has
    a checkpoint. TrainingError, which names the rank, where that does not help.
    """
    for attempt in range(restarts + 1):
        job = _Job(command, num_processes, patience_s)
        try:
            return job.run()
        except TrainingError as error:
            if attempt == restarts:
                raise
            print(f"mindssd: {error}; restart {attempt + 1} of {restarts}", file=sys.stderr)
        if RunFolder(folder).last_file.exists():
            command = resume
    raise AssertionError("the last attempt returns or raises")


class _Job:
    """A scheduler and its workers."""

    def __init__(self, command: Sequence[str], num_processes: int, patience_s: float) -> None:
        self.command = command
        self.size = num_processes
        self.patience_s = patience_s
        self.life: list[LifeSign] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self.outputs: list[IO[bytes]] = []
        self.signals: list[int] = []
        self._stopped_since: dict[int, float] = {}

    def run(self) -> int:
        cluster = build.build_cluster(self.size)
        before = {n: signal.signal(n, self._forward) for n in (signal.SIGINT, signal.SIGTERM)}
        scheduler = self._start(*cluster.helper())
        try:
            for rank in range(self.size):
                own = [sys.executable, "-m", "mindssd", *self.command]
                self.life.append(LifeSign())
                variables = cluster.worker_environment(rank) | self.life[rank].environment
                self.workers.append(self._start(own, variables, speaks=rank == 0))
            return self._watch()
        finally:
            for process in (*self.workers, scheduler):
                process.kill()
                process.wait()
            for output in self.outputs:
                output.close()
            for sign in self.life:
                sign.close()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start(
        self, command: list[str], environment: dict[str, str], speaks: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start a process of a session of its own, so that Ctrl-C reaches it through us alone."""
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
            pass_fds=[sign.descriptor for sign in self.life[-1:]],
            preexec_fn=die_with_parent,
        )

    def _watch(self) -> int:
        """Wait for the workers; their common status, or TrainingError that names a failed one."""
        while True:
            time.sleep(POLL_S)
            statuses = [worker.poll() for worker in self.workers]
            if all(status is not None for status in statuses):
                failed = [rank for rank, status in enumerate(statuses) if status]
                if not failed:
                    return 0
                if self.signals and all(s == 128 + self.signals[0] for s in statuses):
                    return 128 + self.signals[0]
                self._fail(failed[0], f"ended with status {statuses[failed[0]]}")
            for rank, status in enumerate(statuses):
                if status and not self.signals:
                    self._wait_for_words()
                    self._fail(rank, _how_it_ended(status))
                if status is None and self._is_frozen(rank):
                    self._fail(rank, f"has been stopped for {FROZEN_S:.0f} s")
            self._check_life(statuses)
            if len(self.signals) > 1:
                return 128 + self.signals[1]

    def _is_frozen(self, rank: int) -> bool:
        try:
            state = Path(f"/proc/{self.workers[rank].pid}/stat").read_text().rpartition(")")[2]
        except OSError:
            return False
        if state.split()[0] not in ("T", "t"):
            self._stopped_since.pop(rank, None)
            return False
        return time.monotonic() - self._stopped_since.setdefault(rank, time.monotonic()) > FROZEN_S

    def _check_life(self, statuses: Sequence[int | None]) -> None:
        """Fail where a process has shown no life for too long; it, or the one it waits for."""
        shown = {
            rank: self.life[rank].last() for rank in range(self.size) if statuses[rank] is None
        }
        if shown and time.monotonic() - min(shown.values()) > self.patience_s:
            rank = min(shown, key=lambda rank: shown[rank])
            self._fail(rank, f"has hung for {self.patience_s:.0f} s")

    def _wait_for_words(self) -> None:
        end = time.monotonic() + GRACE_S
        while time.monotonic() < end and any(worker.poll() is None for worker in self.workers):
            time.sleep(POLL_S)

    def _fail(self, rank: int, how: str) -> None:
        words = ""
        if rank > 0:
            output = self.outputs[rank]  # the scheduler's comes first, rank 0 has none
            output.seek(0)
            lines = output.read().decode(errors="replace").strip().splitlines()
            lines = [line for line in lines if not line.startswith(("[INFO]", "[WARNING]"))]
            words = f": {lines[-1].removeprefix('mindssd: ')}" if lines else ""
        raise TrainingError(f"rank {rank} of {self.size} {how}{words}")

    def _forward(self, number: int, frame: FrameType | None) -> None:
        self.signals.append(number)
        for worker in self.workers:
            worker.send_signal(number)


def _how_it_ended(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
