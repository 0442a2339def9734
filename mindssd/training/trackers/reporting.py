"""Reports a run to trackers from threads of their own: none of them holds it up or ends it."""

import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from queue import Full, Queue

from mindssd.errors import TrainingError
from mindssd.files import write_file
from mindssd.training.trackers.base import Status, TrackedRun, Tracker
from mindssd.training.trackers.mlflow_tracker import MLflowTracker
from mindssd.training.trackers.swanlab_tracker import SwanLabTracker
from mindssd.training.trackers.wandb_tracker import WandbTracker

TRACKERS: dict[str, Callable[[], Tracker]] = {
    "mlflow": MLflowTracker,
    "wandb": WandbTracker,
    "swanlab": SwanLabTracker,
}
"""By the name of the package, which is the extra's too."""

MOST_WAITING = 10_000
"""So many reports wait for a tracker that is slow; what comes on top is dropped, and counted."""

END_WAIT_S = 60.0
"""A run's end waits so long for what is not reported yet."""

Say = Callable[[str], None]


def require_installed(names: Sequence[str]) -> None:
    """TrainingError for a tracker whose package is not there, before a run begins.

    A folder of its name, which some leave where they are called, is no package.
    """
    for name in names:
        found = find_spec(name)
        if found is None or found.origin is None:
            raise TrainingError(
                f"trackers: {name} is not installed; pip install 'mindssd[{name}]', or leave it out"
            )


@dataclass(frozen=True)
class _Scalars:
    step: int
    seconds: float
    values: Mapping[str, float]


class Reporter:
    """Hands on what it is told to one tracker, in a thread, and warns once where that fails."""

    def __init__(self, name: str, tracker: Tracker, say: Say) -> None:
        self.name = name
        self._tracker = tracker
        self._say = say
        self._waiting: Queue[_Scalars | Status] = Queue(MOST_WAITING)
        self._num_dropped = 0
        self._failed = False
        self._thread = threading.Thread(target=lambda: None, daemon=True)

    def start(self, run: TrackedRun, keep_id: Callable[[str, str], None]) -> None:
        """Begin to report; `keep_id` is given the tracker's name and what it calls the run."""

        def work() -> None:
            try:
                begun = self._tracker.begin(run)
                keep_id(self.name, begun.id)
                self._say(f"{self.name}: {begun.where}")
                while isinstance(item := self._waiting.get(), _Scalars):
                    self._tracker.scalars(item.step, item.seconds, item.values)
                self._tracker.end(item)
            # Whatever a foreign program raises, SystemExit too, is no reason to end a training.
            except BaseException as error:
                self._failed = True
                self._say(f"warning: {self.name} is told no more: {_in_a_line(error)}")

        name = f"mindssd-{self.name}"
        self._thread = threading.Thread(target=work, name=name, daemon=True)
        self._thread.start()

    def scalars(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """Report numbers soon; at once it only takes them down."""
        if self._failed:
            return
        try:
            self._waiting.put_nowait(_Scalars(step, seconds, values))
        except Full:
            self._num_dropped += 1

    def end(self, status: Status, wait_s: float) -> None:
        """Close the tracker's run, if it does that in time."""
        if not self._failed:
            try:
                self._waiting.put(status, timeout=wait_s)
                self._thread.join(wait_s)
            except Full:
                pass
            if self._thread.is_alive():
                self._say(
                    f"warning: {self.name} has not taken all after {wait_s:g} s; the rest is in "
                    "log.jsonl alone"
                )
        if self._num_dropped:
            self._say(f"warning: {self.name} was too slow for {self._num_dropped} reports")


class Reporters:
    """All trackers of a run; what each calls the run is kept in `file`, for a resume."""

    def __init__(self, trackers: Mapping[str, Tracker], file: Path, say: Say) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._reporters = [Reporter(name, tracker, say) for name, tracker in trackers.items()]

    def start(self, run: TrackedRun) -> None:
        known = self._known_ids()
        for reporter in self._reporters:
            reporter.start(replace(run, id=known.get(reporter.name)), self._keep_id)

    def scalars(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """Report those that are numbers; nothing where there are none."""
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        for reporter in self._reporters if finite else ():
            reporter.scalars(step, seconds, finite)

    def end(self, status: Status, wait_s: float = END_WAIT_S) -> None:
        for reporter in self._reporters:
            reporter.end(status, wait_s)

    def _known_ids(self) -> dict[str, str]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            return {str(name): str(id) for name, id in found.items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def _keep_id(self, name: str, id: str) -> None:
        with self._lock:
            write_file(self._file, json.dumps({**self._known_ids(), name: id}).encode())


def build_trackers(names: Sequence[str]) -> dict[str, Tracker]:
    """Each of them once, by name."""
    return {name: TRACKERS[name]() for name in dict.fromkeys(names)}


def _in_a_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
