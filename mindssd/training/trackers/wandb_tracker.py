"""Weights & Biases (https://wandb.ai): by default into the run's folder, to be sent or not."""

import os
from collections.abc import Mapping

from mindssd.training.trackers.base import PROJECT, Begun, Status, TrackedRun


class WandbTracker:
    """Reports as `WANDB_MODE` says, by default `offline`: nothing is sent before `wandb sync`."""

    def begin(self, run: TrackedRun) -> Begun:
        # Nothing leaves this machine that nobody asked for: no reports of its errors either.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        settings = wandb.Settings(silent=True, console="off", disable_git=True, save_code=False)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.name,
            id=run.id,
            resume="allow",
            dir=str(run.folder),
            mode=None if "WANDB_MODE" in os.environ else "offline",
            config=dict(run.settings),
            settings=settings,
        )
        where = self._run.url or f"{self._run.settings.sync_dir} (wandb sync sends it)"
        return Begun(self._run.id, where)

    def scalars(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        self._run.log({**values, "_timestamp": seconds}, step=step)

    def end(self, status: Status) -> None:
        self._run.finish(exit_code=0 if status == "finished" else 1)
