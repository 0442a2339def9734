"""A training run from its configuration to its report: new, or resumed."""

import pickle
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import msgspec
from rich.console import Console

from mindssd import build
from mindssd.config.load import load_config, to_tree, to_yaml
from mindssd.config.schema import Config
from mindssd.data.dataset import DetectionDataset
from mindssd.engines.base import Engine, Group, Network, Parameters
from mindssd.errors import ConfigError, DatasetError
from mindssd.evaluation.coco import (
    DetectionTable,
    Evaluation,
    chosen_images,
    detect_images,
    score,
)
from mindssd.evaluation.protocol import PROTOCOLS
from mindssd.evaluation.report import print_report, write_json
from mindssd.images import read_image
from mindssd.training.checkpoint import Checkpoint, read_newest
from mindssd.training.loop import Actions, Metrics, Outcome, TrainingLoop
from mindssd.training.progress import display
from mindssd.training.run_folder import NoLog, RunFolder, RunLog
from mindssd.training.signals import Stopped, StopRequest, StopSignals
from mindssd.types import Array
from mindssd.visualize import compare, contact_sheet
from mindssd.weights.progress import show_progress
from mindssd.weights.safetensors_file import write_model

SAMPLE_IMAGES = 6
"""TensorBoard shows so many validation images with what is found in them."""
SAMPLE_SCORE = 0.3
FILES_OF_A_RUN = 4
"""The last checkpoint, the one before, the next while it is written, and the best model."""


def start_run(config: Config, recipe: str) -> Outcome:
    """Train a new detector into its own folder."""
    folder = RunFolder(run_folder(config, recipe))
    folder.require_free()
    datasets = _read_datasets(config)
    engine = build.build_engine(config)
    with _owned(folder, engine.group):
        return _train(config, folder, engine, datasets, resume=False)


def run_folder(config: Config, recipe: str) -> Path:
    """Where a run is kept: under `runs_dir` by its name, or by recipe, data and time."""
    return Path(config.runs_dir).expanduser() / (config.name or _default_name(config, recipe))


def resume_run(path: Path, overrides: Sequence[str] = ()) -> Outcome:
    """Go on with a run where its last checkpoint stands."""
    if overrides:
        raise ConfigError(
            f"--resume goes on with the run's own settings; {overrides[0]} would make it another "
            "run. To start a new one from its weights: initial_weights="
            f"{path / 'best.safetensors'}"
        )
    folder = RunFolder(path)
    folder.require_existing()
    config = load_config(str(folder.config_file))
    datasets = _read_datasets(config)
    engine = build.build_engine(config)
    with _owned(folder, engine.group):
        return _train(config, folder, engine, datasets, resume=True)


@contextmanager
def _owned(folder: RunFolder, group: Group) -> Iterator[None]:
    """The folder locked by rank 0; the others come behind."""
    with folder.locked() if group.rank == 0 else nullcontext():
        group.any(False)
        yield


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


def _read_datasets(config: Config) -> tuple[DetectionDataset, DetectionDataset]:
    train, val = build.build_dataset(config, "train"), build.build_dataset(config, "val")
    if train.class_names != val.class_names:
        raise DatasetError(
            f"{train.annotation_file} and {val.annotation_file} name different classes: "
            f"{list(train.class_names)} and {list(val.class_names)}"
        )
    return train, val


def _train(
    config: Config,
    folder: RunFolder,
    engine: Engine,
    datasets: tuple[DetectionDataset, DetectionDataset],
    resume: bool,
) -> Outcome:
    group = engine.group
    leads = group.rank == 0  # alone writes and speaks
    console = Console(quiet=not leads)
    train, val = datasets
    for line in (*train.report.lines(), *val.report.lines()):
        console.print(line, highlight=False, soft_wrap=True)
    network = build.build_network(config, engine, len(train.class_names))
    checkpoint = _read_last(folder, console) if resume else None
    if checkpoint is None:
        with show_progress("backbone") as progress:
            said = build.load_initial_weights(config, network, progress)
        for line in said:
            console.print(line, highlight=False, soft_wrap=True)
        # A run is resumed from any folder, so what it reads is saved with its whole path.
        if leads:
            folder.create(to_yaml(with_absolute_paths(config)))
    elif checkpoint.dataset != train.fingerprint():
        raise DatasetError(
            f"{train.annotation_file} has changed since this run began (its images or classes); "
            f"start a new run from it: initial_weights={folder.best_file}"
        )
    samples = build.build_samples(config, train, build.build_default_boxes(config, network.grids))
    loader = build.build_loader(config, samples, group)
    stepper = engine.build_stepper(network, build.step_spec(config, list(network.parameters())))
    plan = build.build_plan(config, loader.steps_per_epoch, train)
    validation = _Validation(config, network, val, group)
    folder.require_room(FILES_OF_A_RUN * _num_bytes(network.parameters(), stepper.state().arrays))
    group.any(False)  # the folder is there
    log = RunLog(folder) if leads else NoLog()
    with display(console, plan.total_steps) as shown, StopSignals(shown.say, group) as stop:
        validation.stop = stop
        loop = TrainingLoop(
            network=network,
            stepper=stepper,
            schedule=build.build_schedule(config, loader.steps_per_epoch),
            plan=plan,
            folder=folder if leads else None,
            log=log,
            display=shown,
            actions=Actions(
                evaluate=validation.evaluate,
                save_model=_ModelWriter(config, network, train, folder).save,
                sample_picture=validation.picture,
            ),
            stop=stop,
            group=group,
        )
        if checkpoint is not None:
            loop.restore(checkpoint)
        shown.say(
            f"{folder.path}: {', '.join(engine.describe().values())}; {len(train)} images, "
            f"{loader.steps_per_epoch} steps an epoch, from step {loop.step} of {plan.total_steps}"
            + (f"; {group.size} processes" if group.size > 1 else "")
        )
        log.event("start", loop.step, **engine.describe())
        state = checkpoint.loader_state if checkpoint is not None else None
        try:
            with loader.batches(0, config.epochs, state) as batches:
                outcome = loop.run(batches)
        except Stopped as stopped:
            log.event("stopped", loop.step, status=stopped.code)
            log.close()
            shown.say(
                f"stopped after step {loop.step} of {plan.total_steps}, saved. "
                f"To go on:  mindssd train --resume {folder.path}"
            )
            raise
    log.event("end", loop.step, elapsed_s=outcome.elapsed_s, best=outcome.best)
    log.close()
    if leads:
        _report(console, folder, validation, outcome)
    return outcome


def _read_last(folder: RunFolder, console: Console) -> Checkpoint:
    checkpoint, damage = read_newest(folder.last_file)
    if damage is not None:
        console.print(
            f"warning: {damage}; going on from the one before, of step {checkpoint.step}",
            highlight=False,
            soft_wrap=True,
        )
    return checkpoint


def _num_bytes(*groups: Mapping[str, Array]) -> int:
    return sum(array.nbytes for group in groups for array in group.values())


class _EvaluationStoppedError(Exception):
    """Leaves an evaluation; whether the run ends, its processes then agree on."""


class _Validation:
    """Evaluates the network on the validation images; the predictor is built once."""

    def __init__(
        self, config: Config, network: Network, dataset: DetectionDataset, group: Group
    ) -> None:
        self.dataset = dataset
        self.group = group
        self.protocol = PROTOCOLS[config.evaluation.protocol]
        self.predictor = build.build_predictor(
            config, network, dataset.class_names, self.protocol, config.evaluation.batch_size
        )
        self.last: Evaluation | None = None
        self.stop: StopRequest | None = None

    def evaluate(self) -> Metrics:
        """Score the validation images, each process its share, all processes the whole.

        Raises Stopped in all of them where that is asked of one.
        """
        indices = chosen_images(self.dataset, self.protocol)
        table = None
        with suppress(_EvaluationStoppedError):
            share = indices[self.group.rank :: self.group.size]
            table = detect_images(
                self.predictor, self.dataset, share, self.protocol, self._interrupt
            )
        if self.stop is not None:
            self.stop.check()
        assert table is not None
        parts = [pickle.loads(part) for part in self.group.gather(pickle.dumps(table))]
        self.last = score(DetectionTable.merge(parts), self.dataset, indices, self.protocol)
        if self.last.num_images and len(self.last.unreadable) == self.last.num_images:
            raise DatasetError(
                f"none of the {self.last.num_images} validation images can be read "
                f"({self.last.unreadable[0]} and others); check data_dir's val2017/"
            )
        return self.last.twelve_numbers()

    def _interrupt(self, done: int, total: int) -> None:
        if self.stop is not None and self.stop.requested:
            raise _EvaluationStoppedError

    def picture(self) -> Array | None:
        """Some validation images, their truths dashed beside what is found."""
        count = min(SAMPLE_IMAGES, len(self.dataset))
        drawn = []
        for index in range(count):
            record = self.dataset[index * len(self.dataset) // count]
            try:
                image = read_image(record.path, (record.height, record.width))
            except Exception:  # counted by the evaluation already
                continue
            (found,) = self.predictor.detect([image])
            drawn.append(
                compare(image, record.boxes, record.labels - 1, found, score_threshold=SAMPLE_SCORE)
            )
        return contact_sheet(drawn) if drawn else None


class _ModelWriter:
    def __init__(
        self, config: Config, network: Network, dataset: DetectionDataset, folder: RunFolder
    ) -> None:
        self.config, self.network, self.dataset, self.folder = config, network, dataset, folder

    def save(self, parameters: Parameters, metrics: Metrics) -> None:
        metadata = build.model_metadata(
            to_tree(self.config),
            self.config,
            self.network,
            self.dataset.class_names,
            self.dataset.category_ids,
            metrics,
        )
        write_model(self.folder.best_file, parameters, metadata)


def _report(console: Console, folder: RunFolder, validation: _Validation, outcome: Outcome) -> None:
    if validation.last is not None:
        print_report(validation.last, console)
        write_json(validation.last, folder.report_file)
    if outcome.skipped_steps:
        console.print(f"{outcome.skipped_steps} steps were skipped: not finite")
    if outcome.unreadable_images:
        console.print(f"{len(outcome.unreadable_images)} training images could not be read")
    console.print(
        f"best AP {outcome.best:.4f}, after {outcome.elapsed_s:.0f} s: {folder.best_file}\n"
        f"try it:  mindssd predict {folder.best_file} PHOTO",
        highlight=False,
        soft_wrap=True,
    )
