"""SwanLab (https://swanlab.cn): by default into the run's folder, to be sent or not."""

import os
from collections.abc import Mapping

from mindssd.training.trackers.base import PROJECT, Begun, Status, TrackedRun

STATES = {"finished": "success", "stopped": "aborted", "failed": "crashed"}


class SwanLabTracker:
    """Reports as `SWANLAB_MODE` says, by default `offline`: nothing is sent before `swanlab sync`.

    SwanLab goes on with a run online alone; offline a resumed run is another one.
    """

    def begin(self, run: TrackedRun) -> Begun:
        import swanlab

        mode = os.environ.get("SWANLAB_MODE", "offline")
        goes_on = {"id": run.id, "resume": "allow"} if mode == "online" and run.id else {}
        settings = swanlab.Settings(
            # It is asked for no key in the middle of a training, and the log is ours.
            interactive=False,
            terminal={"proxy_type": "none"},
            probe={"hardware": False, "monitor": False, "requirements": False, "git": False},
        )
        self._run = swanlab.init(
            project=os.environ.get("SWANLAB_PROJ_NAME", PROJECT),
            name=run.name,
            log_dir=str(run.folder / "swanlog"),
            mode=mode,
            config=dict(run.settings),
            settings=settings,
            reinit=True,
            **goes_on,
        )
        return Begun(self._run.id, f"{run.folder / 'swanlog'} ({mode})")

    def scalars(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def end(self, status: Status) -> None:
        error = None if status == "finished" else status
        self._run.finish(state=STATES[status], error=error)
