"""A training run of one process: its steps, its log, its files and its report.

The process may be one of a group; then rank 0 alone speaks and writes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mindssd.data.loader import TrainingLoader
from mindssd.engines.base import Engine, Network, Parameters, Stepper
from mindssd.errors import DivergedError
from mindssd.evaluation.report import print_report, write_json
from mindssd.images import counted_remarks
from mindssd.platform import as_typed
from mindssd.training.callbacks import NO_CALLBACKS, Callbacks, RunEnd
from mindssd.training.checkpoint import Checkpoint, Origin
from mindssd.training.loop import TrainingLoop
from mindssd.training.plan import WAY_OUT, Actions, Metrics, Outcome, Plan
from mindssd.training.progress import Display, SteadyConsole, Watch, display
from mindssd.training.run_folder import Log, NoLog, RunFolder, RunLog
from mindssd.training.schedule import Schedule
from mindssd.training.signals import Stopped, StopSignals
from mindssd.training.trackers.base import Status, TrackedRun
from mindssd.training.trackers.reporting import Reporters, build_trackers
from mindssd.training.validation import Validation
from mindssd.types import Array
from mindssd.weights.safetensors_file import ModelMetadata, write_model

FILES_OF_A_RUN = 4
"""The last checkpoint, the one before, the next while it is written, and the best model."""


@dataclass(frozen=True)
class Run:
    """A run, put together."""

    folder: RunFolder
    config_text: str
    engine: Engine
    network: Network
    stepper: Stepper
    loader: TrainingLoader
    plan: Plan
    schedule: Schedule
    origin: Origin
    validation: Validation
    describe: Callable[[Metrics], ModelMetadata]
    """The description that the best model's file carries, with its metrics."""
    console: SteadyConsole
    settings: Mapping[str, Any]
    """The configuration by key, for the trackers."""
    trackers: Sequence[str] = ()
    """The names of those that are told of the run."""
    callbacks: Callbacks = NO_CALLBACKS
    report: bool = True
    """Whether to print the tables, and what to do next."""
    deadline: float | None = None
    """In seconds of `time.monotonic`: the run stops then, saved, with OutOfTime."""
    watch: Watch | None = None
    """Told of every step."""

    @property
    def leads(self) -> bool:
        return self.engine.group.rank == 0

    def train(self, checkpoint: Checkpoint | None, changed: Sequence[str] = ()) -> Outcome:
        """Take the steps that are left, and report; `changed` is what differs from before."""
        try:
            outcome = self._train(checkpoint, changed)
        except Stopped:
            self._tell_end("stopped")
            raise
        except BaseException as error:
            self._tell_end("failed", error=error)
            raise
        self._tell_end("finished", outcome)
        return outcome

    def _tell_end(
        self, status: Status, outcome: Outcome | None = None, error: BaseException | None = None
    ) -> None:
        if self.leads and self.callbacks.on_end is not None:
            self.callbacks.on_end(RunEnd(self.folder.path, status, outcome, error))

    def _train(self, checkpoint: Checkpoint | None, changed: Sequence[str]) -> Outcome:
        with (
            display(self.console, self.plan.total_steps, self.watch) as shown,
            StopSignals(shown.say, self.engine.group, self.deadline) as stop,
            counted_remarks() as of_images,
        ):
            self.validation.stop = stop
            loop = self._loop(shown, stop)
            if checkpoint is not None:
                loop.restore(checkpoint)
            # Nothing is written before all that is read has been found to fit.
            num_bytes = _num_bytes(self.network.parameters(), self.stepper.state().arrays)
            self.folder.require_room(FILES_OF_A_RUN * num_bytes)
            log = self._open_log(shown, new=checkpoint is None)
            status: Status = "failed"
            for change in changed:
                shown.say(f"going on with another {change}")
                log.event("adapted", loop.step, change=change)
            shown.say(self._beginning(loop.step))
            log.event("start", loop.step, **self.engine.describe())
            try:
                outcome = self._take_steps(loop, log, shown)
                status = "finished"
            except Stopped:
                status = "stopped"
                raise
            finally:
                log.close(status)
        if self.report:
            self.console.say(*of_images.lines())
        if self.leads:
            if self.validation.last is not None:
                write_json(self.validation.last, self.folder.report_file)
            if self.report:
                self._report(outcome)
        if outcome.learnt_nothing:
            raise DivergedError(
                f"{self.folder.path}: nothing was learnt: {outcome.losses}; {WAY_OUT}"
            )
        return outcome

    def _loop(self, shown: Display, stop: StopSignals) -> TrainingLoop:
        return TrainingLoop(
            network=self.network,
            stepper=self.stepper,
            schedule=self.schedule,
            plan=self.plan,
            origin=self.origin,
            folder=self.folder if self.leads else None,
            display=shown,
            actions=Actions(
                evaluate=self.validation.evaluate,
                save_model=self._save_model,
                sample_picture=self.validation.picture,
            ),
            stop=stop,
            group=self.engine.group,
            callbacks=self.callbacks if self.leads else NO_CALLBACKS,
        )

    def _beginning(self, step: int) -> str:
        size = self.engine.group.size
        return (
            f"{self.folder.path}: {', '.join(self.engine.describe().values())}; "
            f"{self.origin.num_images} images, {self.plan.steps_per_epoch} steps an epoch, "
            f"from step {step} of {self.plan.total_steps}"
            + (f"; {size} processes" if size > 1 else "")
        )

    def _take_steps(self, loop: TrainingLoop, log: Log, shown: Display) -> Outcome:
        try:
            with self.loader.batches(loop.step, self.plan.total_steps) as batches:
                outcome = loop.run(batches, log)
        except Stopped as stopped:
            log.event("stopped", loop.step, status=stopped.code)
            if self.report:
                shown.say(
                    f"stopped after step {loop.step} of {self.plan.total_steps}, saved. "
                    f"To go on:  mindssd train --resume {as_typed(self.folder.path)}"
                )
            raise
        log.event("end", loop.step, elapsed_s=outcome.elapsed_s, best=outcome.best)
        return outcome

    def _open_log(self, shown: Display, new: bool) -> Log:
        if not self.leads:
            return NoLog()
        if new:
            self.folder.create(self.config_text)
        else:
            self.folder.save_config(self.config_text)
        if not self.trackers:
            return RunLog(self.folder)
        trackers = build_trackers(self.trackers)
        reporters = Reporters(trackers, self.folder.trackers_file, shown.say)
        path = self.folder.path
        reporters.start(TrackedRun(path.resolve().name, path, self.settings))
        return RunLog(self.folder, reporters)

    def _save_model(self, parameters: Parameters, metrics: Metrics) -> None:
        write_model(self.folder.best_file, parameters, self.describe(metrics))

    def _report(self, outcome: Outcome) -> None:
        say, last = self.console.say, self.validation.last
        if last is not None:
            print_report(last, self.console)
        if outcome.skipped_steps:
            say(f"{outcome.skipped_steps} steps were skipped: not finite")
        if outcome.unreadable_images:
            say(f"{len(outcome.unreadable_images)} training images could not be read")
        undefined = last is not None and last.ap is None
        best = "AP undefined without truths" if undefined else f"best AP {outcome.best:.4f}"
        if self.plan.smoothing > 1 and not undefined:
            best += f" as the mean of {self.plan.smoothing} evaluations"
        say(
            f"{best}, after {outcome.elapsed_s:.0f} s: {self.folder.best_file}",
            f"try it:  mindssd predict {as_typed(self.folder.best_file)} PHOTO",
        )
        if outcome.losses.exploded and not outcome.learnt_nothing:
            say(f"warning: {outcome.losses} since that model; {WAY_OUT}")
        elif outcome.found_nothing and not outcome.learnt_nothing:
            say(
                f"nothing is found yet, while {outcome.losses}: train longer (epochs), begin with "
                "pretrained weights (backbone_ckpt_path), and look at what the run was fed with "
                "(mindssd doctor data_dir=PATH)"
            )


def _num_bytes(*groups: Mapping[str, Array]) -> int:
    return sum(array.nbytes for group in groups for array in group.values())
