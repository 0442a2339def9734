"""A run's folder: `config.yaml`, `log.jsonl`, TensorBoard's events, `best.safetensors`, `last/`."""

import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from mindssd.errors import TrainingError
from mindssd.files import remove_left_behind
from mindssd.platform import HAS_LOCKS, as_typed, lock
from mindssd.training.checkpoint import has_checkpoint
from mindssd.training.trackers.base import Status
from mindssd.training.trackers.reporting import Reporters
from mindssd.types import Array
from mindssd.weights.atomic import atomic_writer


class RunFolder:
    """Where one run keeps all that it makes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.yaml"
        self.log_file = path / "log.jsonl"
        self.best_file = path / "best.safetensors"
        self.last_file = path / "last" / "checkpoint.safetensors"
        self.report_file = path / "evaluation.json"
        self.trackers_file = path / "trackers.json"

    @property
    def can_be_resumed(self) -> bool:
        """Whether there is a checkpoint."""
        return has_checkpoint(self.last_file)

    def require_free(self) -> None:
        """Raise TrainingError if there is a run already: none is ever overwritten."""
        if self.can_be_resumed or self.best_file.exists():
            raise TrainingError(
                f"{self.path} holds a run already; choose another name=…, "
                f"or go on with it: mindssd train --resume {as_typed(self.path)}"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the folder to this process; TrainingError where another one trains into it.

        The system lets go of the lock when the process ends, however it ends.
        """
        lock_file = self.path / ".lock"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = lock_file.open("a+", encoding="utf-8")
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        with file:
            try:
                lock(file.fileno(), wait=False)
            except BlockingIOError:
                file.seek(0)
                raise TrainingError(
                    f"{self.path}: another process ({file.read().strip() or 'of another machine'}) "
                    "trains into this folder; wait for it, or choose another name=…"
                ) from None
            except OSError:
                pass  # a network file system without locks
            else:
                self._remove_leftovers()
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            try:
                yield
            finally:
                if list(self.path.iterdir()) == [lock_file]:  # it ended before it made anything
                    if not HAS_LOCKS:
                        file.close()
                    lock_file.unlink()
                    self.path.rmdir()

    def _remove_leftovers(self) -> None:
        """Remove what a process that was killed had half written."""
        for folder in (self.path, self.last_file.parent):
            remove_left_behind(folder)
            for leftover in folder.glob(".*.[0-9]*.tmp"):  # as 0.1.0 named them
                leftover.unlink(missing_ok=True)

    def require_room(self, num_bytes: int) -> None:
        """Raise TrainingError unless the disk has so much room."""
        free = shutil.disk_usage(self.path).free
        if free < num_bytes:
            raise TrainingError(
                f"{self.path}: a run of this network needs about {num_bytes / 1e6:.0f} MB, and the "
                f"disk has {free / 1e6:.0f} MB free; make room or choose another runs_dir=…"
            )

    def create(self, config_yaml: str) -> None:
        """Make the folder and save the resolved configuration."""
        self.require_free()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # What a run left that ended before its first epoch would mix with this one's.
            events = self.path.glob("events.out.tfevents.*")
            for stale in (self.log_file, self.trackers_file, *events):
                stale.unlink(missing_ok=True)
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        self.save_config(config_yaml)

    def save_config(self, config_yaml: str) -> None:
        """Save the resolved configuration, whole or not at all."""
        with atomic_writer(self.config_file) as file:
            file.write(config_yaml.encode())

    def require_existing(self) -> None:
        """Raise TrainingError unless a run can be resumed here."""
        if not self.path.is_dir():
            raise TrainingError(f"{self.path}: no such folder; runs are kept under runs/")
        if not self.config_file.is_file():
            raise TrainingError(f"{self.path} is not a run's folder: it has no config.yaml")
        if not self.can_be_resumed:
            raise TrainingError(
                f"{self.path} has no last/checkpoint.safetensors yet: it ended before its first "
                "epoch; start it again with the same name"
            )


def _cannot_write(path: Path, error: OSError) -> TrainingError:
    return TrainingError(f"{path} cannot be written ({error.strerror}); choose another runs_dir=…")


class Log(Protocol):
    """Takes down what happens in a run."""

    def event(self, kind: str, step: int, **values: Any) -> None: ...

    def metrics(self, step: int, metrics: Mapping[str, float | None]) -> None: ...

    def picture(self, name: str, image: Array, step: int) -> None: ...

    def close(self, status: Status) -> None: ...


class NoLog:
    """Of the processes that train together, one alone keeps the log."""

    def event(self, kind: str, step: int, **values: Any) -> None: ...

    def metrics(self, step: int, metrics: Mapping[str, float | None]) -> None: ...

    def picture(self, name: str, image: Array, step: int) -> None: ...

    def close(self, status: Status) -> None: ...


class RunLog:
    """Writes `log.jsonl`, a line an event, and TensorBoard's event file, and tells the trackers."""

    def __init__(self, folder: RunFolder, trackers: Reporters | None = None) -> None:
        # TensorBoard's writer takes 0.3 s to import.
        from tensorboardX import SummaryWriter

        # Without a buffer: what a full disk refused would be in it, and refused again at the end.
        self._file = folder.log_file.open("ab", buffering=0)
        self._board = SummaryWriter(str(folder.path))
        self._trackers = trackers

    def event(self, kind: str, step: int, **values: Any) -> None:
        """Write one line; numbers also go to TensorBoard and the trackers as `kind/name`."""
        seconds = round(time.time(), 3)
        line = {"event": kind, "time": seconds, "step": step, **values}
        try:
            rest = (json.dumps(line) + "\n").encode()
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise TrainingError(
                f"{self._file.name} cannot be written ({error.strerror})"
            ) from error
        numbers = {
            f"{kind}/{name}": value
            for name, value in values.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        for name, value in numbers.items():
            self._board.add_scalar(name, value, step)
        if self._trackers is not None:
            self._trackers.scalars(step, seconds, numbers)

    def metrics(self, step: int, metrics: Mapping[str, float | None]) -> None:
        self.event("evaluation", step, **metrics)

    def picture(self, name: str, image: Array, step: int) -> None:
        """`image` (H, W, 3) uint8 RGB."""
        self._board.add_image(name, image, step, dataformats="HWC")

    def close(self, status: Status) -> None:
        self._file.close()
        self._board.close()
        if self._trackers is not None:
            self._trackers.end(status)
