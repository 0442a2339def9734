"""The training loop: steps, log, evaluation, best and last. It knows no framework and no config."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple

from mindssd.engines.base import Group, Network, SingleProcessGroup, Stepper, StepResult
from mindssd.errors import DivergedError, TrainingError
from mindssd.launch.heartbeat import beat
from mindssd.training.callbacks import (
    NO_CALLBACKS,
    Callbacks,
    Caller,
    EpochDone,
    EvaluationDone,
    StepDone,
)
from mindssd.training.checkpoint import Checkpoint, Origin, write_checkpoint
from mindssd.training.losses import Losses
from mindssd.training.plan import WAY_OUT, Actions, Metrics, Outcome, Plan
from mindssd.training.progress import Display
from mindssd.training.run_folder import Log, NoLog, RunFolder
from mindssd.training.schedule import Schedule, ema_decay
from mindssd.training.scores import Scores
from mindssd.training.signals import Stopped, StopRequest
from mindssd.training.stretch import Stretch
from mindssd.training.unreadable import Unreadable
from mindssd.types import Batch

LOGS_AN_EPOCH = 20
"""log.jsonl has the mean of so many stretches of each epoch."""


class TrainingLoop:
    """Runs the steps of a plan from wherever the last checkpoint left it."""

    def __init__(
        self,
        network: Network,
        stepper: Stepper,
        schedule: Schedule,
        plan: Plan,
        origin: Origin,
        folder: RunFolder | None,
        display: Display,
        actions: Actions,
        stop: StopRequest,
        group: Group | None = None,
        callbacks: Callbacks = NO_CALLBACKS,
    ) -> None:
        """`folder` None: another process of the `group` keeps checkpoints, model and pictures."""
        self.network = network
        self.stepper = stepper
        self.schedule = schedule
        self.plan = plan
        self.origin = origin
        self.folder = folder
        self.log: Log = NoLog()
        self.display = display
        self.actions = actions
        self.stop = stop
        self.group = group or SingleProcessGroup()
        self.caller = Caller(callbacks, self._save_last, stop.request)
        self.unreadable = Unreadable(self.group, display.say)
        self.step = 0
        self.scores = Scores()
        self.skipped_steps = 0
        self.elapsed_s = 0.0
        self.losses = Losses()
        self._compiled_steps = 0
        self._evaluation_due = False
        self._bad_in_a_row = 0
        self._stretch = Stretch()
        self._is_best = False
        self._started = 0.0

    def restore(self, checkpoint: Checkpoint) -> None:
        """Stand where the checkpoint stood."""
        self.network.load_parameters(checkpoint.parameters)
        self.stepper.load_state(checkpoint.stepper)
        self.step = checkpoint.step
        self.scores = Scores(list(checkpoint.aps), checkpoint.best, checkpoint.since_best)
        self.skipped_steps = checkpoint.skipped_steps
        self.elapsed_s = checkpoint.elapsed_s
        self._evaluation_due = checkpoint.evaluation_due
        self.losses = Losses(**checkpoint.losses)
        self._stretch.results = [StepResult(*values) for values in checkpoint.unlogged]

    def run(self, batches: Iterator[Batch], log: Log) -> Outcome:
        """Train to the end of the plan; `batches` must start at the step where this stands.

        Raises Stopped, with all saved that a resume needs, where `stop` asks for it.
        """
        self.log = log
        self._started = time.monotonic() - self.elapsed_s
        metrics: Metrics = {}
        while True:
            if self._evaluation_due:
                metrics = self._evaluate(self.scores.add)
                self._evaluation_due = False
                self._save_last()
                self.caller.evaluation(self._evaluation_done(metrics))
                if self.step < self.plan.total_steps:
                    self.stop.check()
            if self.step >= self.plan.total_steps or self._waited_enough():
                break
            self._run_epoch(batches)
            self._evaluation_due = self.plan.evaluates_after(self.step // self.plan.steps_per_epoch)
            # Saved before the evaluation too, so that its failure loses no epoch.
            self._save_last()
            self.caller.epoch(EpochDone(self._epoch, self.plan.epochs, self.step))
            self.stop.check()
        if not metrics:
            metrics = self._evaluate(self.scores.add_again)
            self.caller.evaluation(self._evaluation_done(metrics))
        return Outcome(
            metrics=metrics,
            best=self.scores.best or 0.0,
            skipped_steps=self.skipped_steps,
            unreadable_images=self.unreadable.image_ids,
            elapsed_s=time.monotonic() - self._started,
            losses=self.losses,
        )

    def _waited_enough(self) -> bool:
        """Whether to end before the last step, as no score has been better for long; then say it.

        The processes of a group have the same scores, and so come to the same.
        """
        patience, waited = self.plan.patience, self.scores.since_best
        if patience is None or waited < patience:
            return False
        epoch, best = self.step // self.plan.steps_per_epoch, self.scores.best
        self.log.event("stopped_early", self.step, best=best, since_best=waited)
        self.display.say(
            f"ends after epoch {epoch} of {self.plan.epochs}: no score of the last {waited} "
            f"evaluations was better than {_number(best)} (evaluation.patience={patience})"
        )
        return True

    def _run_epoch(self, batches: Iterator[Batch]) -> None:
        """Run up to the next epoch's end."""
        stretch = max(1, self.plan.steps_per_epoch // LOGS_AN_EPOCH)
        epoch, done = divmod(self.step, self.plan.steps_per_epoch)
        end = (epoch + 1) * self.plan.steps_per_epoch
        readable = done > 0  # what came before a resume in mid-epoch was
        while self.step < end:
            batch = next(batches)
            beat()
            self.unreadable.note(batch.image_ids[batch.unreadable].tolist(), self.step, self.log)
            # Every process takes a step that any of them has images for.
            if not self.group.any(bool(batch.weights.any())):
                self.step += 1
                continue
            readable = True
            rate = self.schedule.learning_rate(self.step)
            decay = ema_decay(self.step, self.plan.ema_decay) if self.plan.ema_decay else 0.0
            if not self.stepper.compiles or self._compiled_steps >= self.plan.accumulate_steps:
                result = self.stepper.step(batch, rate, decay)
            else:
                # The first, middle and last of accumulated steps compile each for itself.
                self.display.say("compiling the training step: takes a while, once")
                with self.display.waiting("compiling the training step"):
                    result = self.stepper.step(batch, rate, decay)
                self._compiled_steps += 1
            self.step += 1
            self._check_finite(result)
            self.losses.add(result)
            self._stretch.add(result, int(batch.weights.sum()))
            if len(self._stretch.results) >= stretch or self.step == end:
                self._log_stretch(rate)
            epoch = (self.step - 1) // self.plan.steps_per_epoch + 1
            self.display.step(
                self.step,
                f"epoch {epoch}/{self.plan.epochs}  loss {result.loss:.3f} (class "
                f"{result.class_loss:.3f}, box {result.box_loss:.3f})  lr {rate:.4g}  "
                f"{self._stretch.images_per_s():.1f} images/s",
            )
            facts = self._step_done(result, rate)
            if self.step < end:  # an epoch's end is saved anyway
                self.caller.step(facts)
                self._check_stop()
            else:
                self.caller.step_once_saved(facts)

        self._end_losses()
        self.unreadable.share(self.step, self.log)
        if not readable:
            raise TrainingError(
                f"none of the training images of epoch {self.step // self.plan.steps_per_epoch} "
                f"could be read ({len(self.unreadable)} so far); look at the data set with "
                "`mindssd doctor data_dir=PATH`"
            )

    def _end_losses(self) -> None:
        """Say it, once, where an epoch's loss shows that training has gone astray."""
        before = self.losses.exploded
        self.losses.end_epoch()
        if self.losses.exploded and not before:
            self.log.event("exploded", self.step, first=self.losses.first, loss=self.losses.last)
            self.display.say(f"warning: {self.losses}: this training diverges; {WAY_OUT}")

    def _step_done(self, result: StepResult, rate: float) -> StepDone:
        return StepDone(
            step=self.step,
            total_steps=self.plan.total_steps,
            epoch=(self.step - 1) // self.plan.steps_per_epoch + 1,
            loss=result.loss,
            class_loss=result.class_loss,
            box_loss=result.box_loss,
            gradient_norm=result.gradient_norm,
            learning_rate=rate,
            finite=result.finite,
            images_per_s=self._stretch.images_per_s(),
        )

    def _evaluation_done(self, metrics: Metrics) -> EvaluationDone:
        best = self.scores.best or 0.0
        return EvaluationDone(self._epoch, self.step, metrics, self._is_best, best)

    @property
    def _epoch(self) -> int:
        """How many epochs are whole."""
        return self.step // self.plan.steps_per_epoch

    def _check_stop(self) -> None:
        """Raise Stopped if that is asked for, once the run is saved."""
        try:
            self.stop.check()
        except Stopped:
            self._save_last()
            raise

    def _check_finite(self, result: StepResult) -> None:
        if result.finite:
            self._bad_in_a_row = 0
            return
        self.skipped_steps += 1
        self._bad_in_a_row += 1
        self.log.event("skipped", self.step, loss=str(result.loss))
        if self._bad_in_a_row >= self.plan.max_bad_steps:
            raise DivergedError(
                f"step {self.step}: the loss or its gradient was not finite in "
                f"{self._bad_in_a_row} steps in a row (loss {result.loss}); {WAY_OUT}"
            )

    def _log_stretch(self, rate: float) -> None:
        means = self._stretch.end()
        if means:
            epoch = self.step / self.plan.steps_per_epoch
            self.log.event("train", self.step, epoch=epoch, learning_rate=rate, **means)

    def _evaluate(self, add_score: Callable[[float | None, int], bool]) -> Metrics:
        """Evaluate the weights as they stand, and keep them if that makes the best score."""
        epoch, smoothing = self.step // self.plan.steps_per_epoch, self.plan.smoothing
        with self._averaged_parameters():
            with self.display.waiting("evaluating"):
                metrics = self.actions.evaluate()
            self.log.metrics(self.step, metrics)
            is_best = self._is_best = add_score(metrics["AP"], smoothing)
            said = f"epoch {epoch}: AP {_number(metrics['AP'])}, AP50 {_number(metrics['AP50'])}"
            if smoothing > 1:
                said += f", mean AP of the last {smoothing}: {self.scores.last(smoothing):.4f}"
            self.display.say(said)
            picture = None if self.folder is None else self.actions.sample_picture()
            if picture is not None:
                self.log.picture("detections", picture, self.step)
            if is_best and self.folder is not None:
                self.actions.save_model(self.network.parameters(), metrics)
        self._stretch.pause()
        return metrics

    @contextmanager
    def _averaged_parameters(self) -> Iterator[None]:
        """The network with its averaged parameters, where the plan averages.

        In a group, all evaluate rank 0's: BatchNorm's statistics differ between processes.
        """
        if self.plan.ema_decay is None:
            if self.group.size > 1:
                self.network.load_parameters(self.group.broadcast(self.network.parameters()))
            yield
            return
        current = self.network.parameters()
        self.network.load_parameters(self.group.broadcast(self.stepper.ema_parameters()))
        try:
            yield
        finally:
            self.network.load_parameters(current)

    def _save_last(self) -> None:
        self.elapsed_s = time.monotonic() - self._started
        if self.folder is None:
            return
        write_checkpoint(
            self.folder.last_file,
            Checkpoint(
                parameters=self.network.parameters(),
                stepper=self.stepper.state(),
                step=self.step,
                origin=self.origin,
                best=self.scores.best,
                skipped_steps=self.skipped_steps,
                elapsed_s=self.elapsed_s,
                evaluation_due=self._evaluation_due,
                unlogged=[astuple(result) for result in self._stretch.results],
                losses=asdict(self.losses),
                aps=self.scores.aps,
                since_best=self.scores.since_best,
            ),
        )


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
