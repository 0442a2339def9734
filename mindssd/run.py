"""A training run from its configuration to its report: new, or resumed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import msgspec

from mindssd import build
from mindssd.config.effects import remarks
from mindssd.config.load import load_config, override, to_tree, to_yaml
from mindssd.config.schema import Config
from mindssd.data.classes import with_classes
from mindssd.data.dataset import DetectionDataset
from mindssd.data.splits import paired, require_boxes
from mindssd.engines.base import Engine, Parameters
from mindssd.errors import ConfigError, DatasetError, TrainingError
from mindssd.evaluation.report import print_report, write_json
from mindssd.images import counted_remarks
from mindssd.training.checkpoint import Checkpoint, read_newest
from mindssd.training.loop import TrainingLoop
from mindssd.training.plan import WAY_OUT, Actions, Metrics, Outcome
from mindssd.training.progress import SteadyConsole, display
from mindssd.training.resume import carry_over
from mindssd.training.run_folder import Log, NoLog, RunFolder, RunLog
from mindssd.training.signals import Stopped, StopSignals
from mindssd.types import Array
from mindssd.validation import Validation
from mindssd.weights.progress import show_progress
from mindssd.weights.safetensors_file import write_model

FILES_OF_A_RUN = 4
"""The last checkpoint, the one before, the next while it is written, and the best model."""


def start_run(config: Config, recipe: str) -> Outcome:
    """Train a new detector into its own folder."""
    folder = RunFolder(run_folder(config, recipe))
    folder.require_free()
    with _entered(config, folder) as run:
        run.begin()
        return run.train(None)


def run_folder(config: Config, recipe: str) -> Path:
    """Where a run is kept: under `runs_dir` by its name, or by recipe, data and time."""
    return Path(config.runs_dir).expanduser() / (config.name or _default_name(config, recipe))


def resume_run(path: Path, overrides: Sequence[str] = (), adapt: bool = False) -> Outcome:
    """Go on with a run where its last checkpoint stands.

    `overrides` are laid over its configuration, and kept. What they, the data or the number of
    devices change in training is refused unless asked to `adapt`.
    """
    saved = saved_config(path)
    folder = RunFolder(path)
    config = override(saved, overrides)
    for key in ("name", "runs_dir"):
        if getattr(config, key) != getattr(saved, key):
            raise ConfigError(f"--resume {path} stays in its folder; leave {key}=… out")
    for key in ("backbone_ckpt_path", "initial_weights"):
        if getattr(config, key) != getattr(saved, key):
            raise ConfigError(
                f"--resume {path} goes on with the run's own weights; leave {key}=… out, or start "
                "a new run with it"
            )
    checkpoint, damage = read_newest(folder.last_file)
    with _entered(config, folder, tuple(checkpoint.origin.class_names)) as run:
        return run.train(*run.go_on(checkpoint, damage, adapt))


def saved_config(path: Path) -> Config:
    """The configuration that a run's folder keeps."""
    folder = RunFolder(path)
    folder.require_existing()
    return load_config(str(folder.config_file))


def with_absolute_paths(config: Config) -> Config:
    """The same configuration with `data_dir` and existing weight files as absolute paths."""
    changes: dict[str, str] = {}
    for key in ("data_dir", "backbone_ckpt_path", "initial_weights"):
        value = getattr(config, key)
        if value is not None and Path(value).expanduser().exists():
            changes[key] = str(Path(value).expanduser().resolve())
    return msgspec.structs.replace(config, **changes)


def _default_name(config: Config, recipe: str) -> str:
    data = Path(config.data_dir or ".").resolve().name
    return f"{recipe}-{data}-{time.strftime('%Y%m%d-%H%M%S')}"


def _read_datasets(
    config: Config, class_names: tuple[str, ...] | None = None
) -> tuple[DetectionDataset, DetectionDataset]:
    """Training and validation images, with the classes that a resumed run has, if they fit."""
    train, val = build.build_dataset(config, "train"), build.build_dataset(config, "val")
    if class_names is not None:
        with suppress(DatasetError):  # told by `carry_over`, with the way out of a resume
            train = with_classes(train, class_names, "the run", "")
    require_boxes(train)
    return train, paired(train, val)


@contextmanager
def _entered(
    config: Config, folder: RunFolder, class_names: tuple[str, ...] | None = None
) -> Iterator["_Run"]:
    """A run with its data read, its processes met and its folder locked by rank 0."""
    datasets = _read_datasets(config, class_names)
    engine = build.build_engine(config, training=True)
    # Known from now on, so that a resume goes on with the same one.
    config = msgspec.structs.replace(config, engine=engine.name)
    group = engine.group
    with folder.locked() if group.rank == 0 else nullcontext():
        group.any(False)  # the others come behind the lock
        yield _Run(config, folder, engine, datasets)


class _Run:
    """A run of this process, one of the engine's group; rank 0 alone speaks and writes."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        engine: Engine,
        datasets: tuple[DetectionDataset, DetectionDataset],
    ) -> None:
        self.config = config
        self.folder = folder
        self.engine = engine
        self.group = engine.group
        self.leads = engine.group.rank == 0
        self.console = SteadyConsole(quiet=not self.leads)
        self.train_set, self.val_set = datasets
        for dataset in datasets:
            self._print(*dataset.report.lines())
        self._print(*remarks(config, engine.name, engine.group.size))
        self.network = build.build_network(config, engine, len(self.train_set.class_names))
        self.origin = build.build_origin(config, self.train_set, self.group)

    def begin(self) -> None:
        """Start from the weights that the configuration names."""
        with show_progress("backbone") as progress:
            names = self.train_set.class_names
            self._print(*build.load_initial_weights(self.config, self.network, names, progress))

    def go_on(
        self, checkpoint: Checkpoint, damage: str | None, adapt: bool
    ) -> tuple[Checkpoint, list[str]]:
        """The last checkpoint, as this run goes on from it, and what has changed since.

        `damage` says why it is the one before the last.
        """
        if damage is not None:
            self._print(
                f"warning: {damage}; going on from the one before, of step {checkpoint.step}"
            )
        origin = build.read_origin(checkpoint.origin, str(self.folder.last_file))
        return carry_over(replace(checkpoint, origin=origin), self.origin, adapt)

    def train(self, checkpoint: Checkpoint | None, changed: Sequence[str] = ()) -> Outcome:
        """Take the steps that are left, and report."""
        config, network = self.config, self.network
        boxes = build.build_default_boxes(config, network.grids)
        samples = build.build_samples(config, self.train_set, boxes)
        loader = build.build_loader(config, samples, self.group)
        spec = build.step_spec(config, list(network.parameters()))
        stepper = self.engine.build_stepper(network, spec)
        plan = build.build_plan(config, loader.steps_per_epoch)
        validation = Validation(config, network, self.val_set, self.group)
        with (
            display(self.console, plan.total_steps) as shown,
            StopSignals(shown.say, self.group) as stop,
            counted_remarks() as of_images,
        ):
            validation.stop = stop
            loop = TrainingLoop(
                network=network,
                stepper=stepper,
                schedule=build.build_schedule(config, loader.steps_per_epoch),
                plan=plan,
                origin=self.origin,
                folder=self.folder if self.leads else None,
                display=shown,
                actions=Actions(
                    evaluate=validation.evaluate,
                    save_model=self._save_model,
                    sample_picture=validation.picture,
                ),
                stop=stop,
                group=self.group,
            )
            if checkpoint is not None:
                loop.restore(checkpoint)
            # Nothing is written before all that is read has been found to fit.
            num_bytes = _num_bytes(network.parameters(), stepper.state().arrays)
            self.folder.require_room(FILES_OF_A_RUN * num_bytes)
            log = self._open_log(new=checkpoint is None)
            for change in changed:
                shown.say(f"going on with another {change}")
                log.event("adapted", loop.step, change=change)
            shown.say(
                f"{self.folder.path}: {', '.join(self.engine.describe().values())}; "
                f"{len(self.train_set)} images, {loader.steps_per_epoch} steps an epoch, "
                f"from step {loop.step} of {plan.total_steps}"
                + (f"; {self.group.size} processes" if self.group.size > 1 else "")
            )
            log.event("start", loop.step, **self.engine.describe())
            try:
                with loader.batches(loop.step, plan.total_steps) as batches:
                    outcome = loop.run(batches, log)
                log.event("end", loop.step, elapsed_s=outcome.elapsed_s, best=outcome.best)
            except Stopped as stopped:
                log.event("stopped", loop.step, status=stopped.code)
                shown.say(
                    f"stopped after step {loop.step} of {plan.total_steps}, saved. "
                    f"To go on:  mindssd train --resume {self.folder.path}"
                )
                raise
            finally:
                log.close()
        self._print(*of_images.lines())
        self._report(validation, outcome)
        if outcome.learnt_nothing:
            raise TrainingError(
                f"{self.folder.path}: nothing was learnt: {outcome.losses}; {WAY_OUT}"
            )
        return outcome

    def _open_log(self, new: bool) -> Log:
        if not self.leads:
            return NoLog()
        # A run is resumed from any folder, so what it reads is saved with its whole path.
        text = to_yaml(with_absolute_paths(self.config))
        if new:
            self.folder.create(text)
        else:
            self.folder.save_config(text)
        return RunLog(self.folder)

    def _save_model(self, parameters: Parameters, metrics: Metrics) -> None:
        metadata = build.model_metadata(
            to_tree(self.config),
            self.config,
            self.network,
            self.train_set.class_names,
            self.train_set.category_ids,
            metrics,
        )
        write_model(self.folder.best_file, parameters, metadata)

    def _report(self, validation: Validation, outcome: Outcome) -> None:
        if not self.leads:
            return
        if validation.last is not None:
            print_report(validation.last, self.console)
            write_json(validation.last, self.folder.report_file)
        if outcome.skipped_steps:
            self._print(f"{outcome.skipped_steps} steps were skipped: not finite")
        if outcome.unreadable_images:
            self._print(f"{len(outcome.unreadable_images)} training images could not be read")
        undefined = validation.last is not None and validation.last.ap is None
        best = "AP undefined without truths" if undefined else f"best AP {outcome.best:.4f}"
        self._print(
            f"{best}, after {outcome.elapsed_s:.0f} s: {self.folder.best_file}",
            f"try it:  mindssd predict {self.folder.best_file} PHOTO",
        )
        if outcome.losses.exploded and not outcome.learnt_nothing:
            self._print(f"warning: {outcome.losses} since that model; {WAY_OUT}")
        elif outcome.found_nothing and not outcome.learnt_nothing:
            self._print(
                f"nothing is found yet, while {outcome.losses}: train longer (epochs), begin with "
                "pretrained weights (backbone_ckpt_path), and look at what the run was fed with "
                "(mindssd doctor data_dir=PATH)"
            )

    def _print(self, *lines: str) -> None:
        for line in lines:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)


def _num_bytes(*groups: Mapping[str, Array]) -> int:
    return sum(array.nbytes for group in groups for array in group.values())
