"""MLflow (https://mlflow.org): a server, or by default a database beside the runs."""

import os
from collections.abc import Mapping

from mindssd.training.trackers.base import PROJECT, Begun, Status, TrackedRun

LONGEST_VALUE = 6000
"""Of a parameter, as MLflow's stores take it."""

STATES = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class MLflowTracker:
    """Reports to `MLFLOW_TRACKING_URI`, or else to `mlflow.db` in the folder of all runs."""

    def begin(self, run: TrackedRun) -> Begun:
        # Nothing leaves this machine that nobody asked for.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient
        from mlflow.entities import Param

        asked = os.environ.get("MLFLOW_TRACKING_URI")
        runs_dir = run.folder.resolve().parent
        address = asked or f"sqlite:///{runs_dir / 'mlflow.db'}"
        self._client = MlflowClient(tracking_uri=address)
        if run.id is not None:
            self._run_id = run.id
            self._client.update_run(run.id, "RUNNING")
            return Begun(run.id, address)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self._client.get_experiment_by_name(name)
        experiment_id = (
            experiment.experiment_id
            if experiment is not None
            else self._client.create_experiment(
                name, artifact_location=None if asked else (runs_dir / "mlartifacts").as_uri()
            )
        )
        self._run_id = self._client.create_run(experiment_id, run_name=run.name).info.run_id
        settings = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in run.settings.items()]
        for start in range(0, len(settings), 100):  # so many it takes at once
            self._client.log_batch(self._run_id, params=settings[start : start + 100])
        return Begun(self._run_id, address)

    def scalars(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(name, x, int(seconds * 1000), step) for name, x in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def end(self, status: Status) -> None:
        self._client.set_terminated(self._run_id, STATES[status])
