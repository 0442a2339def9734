"""A training run from its configuration: new, or resumed."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import msgspec

from mindssd.build.data import (
    SPLIT_FILE,
    build_datasets,
    build_loader,
    build_samples,
    sampling_lines,
)
from mindssd.build.engine import build_engine
from mindssd.build.fit import fit
from mindssd.build.initial_weights import load_initial_weights
from mindssd.build.network import build_default_boxes, build_network
from mindssd.build.predictor import build_predictor, model_metadata
from mindssd.build.reach import reach_line
from mindssd.build.training import build_origin, build_plan, build_schedule, read_origin, step_spec
from mindssd.config.effects import remarks
from mindssd.config.keys import flatten
from mindssd.config.load import load_config, override, to_tree, to_yaml
from mindssd.config.schema import Config
from mindssd.data.classes import classes_line, with_classes
from mindssd.data.dataset import DetectionDataset
from mindssd.data.splits import paired, require_boxes
from mindssd.data.splitting import Split
from mindssd.engines.base import Engine
from mindssd.errors import ConfigError, DatasetError
from mindssd.evaluation.protocol import PROTOCOLS
from mindssd.files import write_file
from mindssd.training.callbacks import NO_CALLBACKS, Callbacks
from mindssd.training.checkpoint import read_newest
from mindssd.training.plan import Metrics, Outcome
from mindssd.training.progress import SteadyConsole, Watch
from mindssd.training.resume import carry_over
from mindssd.training.run import Run
from mindssd.training.run_folder import RunFolder
from mindssd.training.trackers.reporting import require_installed
from mindssd.training.validation import Validation
from mindssd.weights.safetensors_file import ModelMetadata

Datasets = tuple[DetectionDataset, DetectionDataset]
"""Training and validation images."""


def start_run(
    config: Config, recipe: str, path: Path | None = None, callbacks: Callbacks = NO_CALLBACKS
) -> Outcome:
    """Train a new detector into its own folder: `path`, or as `run_folder` says."""
    folder = RunFolder(path or run_folder(config, recipe))
    folder.require_free()
    datasets, split = read_parts(config)
    with _entered(config, folder, datasets) as parts:
        parts.console.say(*parts.load_initial_weights())
        if split is not None and parts.engine.group.rank == 0:
            write_file(folder.path / SPLIT_FILE, split.to_json())
        return replace(parts.run(), callbacks=callbacks).train(None)


def resume_run(
    path: Path,
    overrides: Sequence[str] = (),
    adapt: bool = False,
    callbacks: Callbacks = NO_CALLBACKS,
) -> Outcome:
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
    for key in ("backbone_ckpt_path", "initial_weights", "class_map"):
        if getattr(config, key) != getattr(saved, key):
            raise ConfigError(
                f"--resume {path} goes on with the run's own weights; leave {key}=… out, or start "
                "a new run with it"
            )
    checkpoint, damage = read_newest(folder.last_file)
    class_names = tuple(checkpoint.origin.class_names)
    datasets, _ = read_parts(config, class_names, split_file=path / SPLIT_FILE)
    with _entered(config, folder, datasets) as parts:
        if damage is not None:
            parts.console.say(
                f"warning: {damage}; going on from the one before, of step {checkpoint.step}"
            )
        origin = read_origin(checkpoint, str(folder.last_file))
        checkpoint, changed = carry_over(replace(checkpoint, origin=origin), parts.origin, adapt)
        return replace(parts.run(), callbacks=callbacks).train(checkpoint, changed)


def train_quietly(
    config: Config,
    path: Path,
    datasets: Datasets,
    deadline: float | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """Train on other images than data_dir's, or go on there where a run stands; say little.

    `datasets` are training and validation images, of the same classes. Raises OutOfTime, with all
    saved, where `deadline` comes first, in seconds of `time.monotonic`. `watch` is told of steps.
    """
    folder = RunFolder(path)
    checkpoint = read_newest(folder.last_file)[0] if folder.can_be_resumed else None
    if checkpoint is not None:
        config = saved_config(path)
    with _entered(config, folder, datasets, quiet=True) as parts:
        if checkpoint is None:
            parts.load_initial_weights()
        else:
            origin = read_origin(checkpoint, str(folder.last_file))
            checkpoint, _ = carry_over(replace(checkpoint, origin=origin), parts.origin, False)
        run = replace(parts.run(), report=False, deadline=deadline, watch=watch)
        return run.train(checkpoint)


def run_folder(config: Config, recipe: str) -> Path:
    """Where a run is kept: under `runs_dir` by its name, or by recipe, data and time."""
    return Path(config.runs_dir).expanduser() / (config.name or _default_name(config, recipe))


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
        path = None if value is None else Path(value).expanduser()
        # A folder that is called as published weights are is not what is meant.
        if path is not None and (path.is_file() or (path.is_dir() and key == "data_dir")):
            changes[key] = str(path.resolve())
    return msgspec.structs.replace(config, **changes)


def _default_name(config: Config, recipe: str) -> str:
    data = Path(config.data_dir or ".").resolve().name
    return f"{recipe}-{data}-{time.strftime('%Y%m%d-%H%M%S')}"


def read_parts(
    config: Config,
    class_names: tuple[str, ...] | None = None,
    all_sizes: bool = False,
    split_file: Path | None = None,
) -> tuple[Datasets, Split | None]:
    """Training and validation images, with the classes that a resumed run has, if they fit.

    With how they were split, if the data set has no parts. `all_sizes` and `split_file` as in
    `build_datasets`.
    """
    train, val, split = build_datasets(config, all_sizes, split_file)
    if class_names is not None:
        with suppress(DatasetError):  # told by `carry_over`, with the way out of a resume
            train = with_classes(train, class_names, "the run", "")
    require_boxes(train)
    return (train, paired(train, val)), split


@contextmanager
def _entered(
    config: Config, folder: RunFolder, datasets: Datasets, quiet: bool = False
) -> Iterator["_Parts"]:
    """A run's parts, with its processes met and its folder locked by rank 0."""
    require_installed(config.trackers)
    engine = build_engine(config, training=True)
    # Known from now on, so that a resume goes on with the same one.
    config = msgspec.structs.replace(config, engine=engine.name)
    group = engine.group
    with folder.locked() if group.rank == 0 else nullcontext():
        group.any(False)  # the others come behind the lock
        yield _Parts(config, folder, engine, datasets, quiet)


class _Parts:
    """What a run is put together from: the network is built, and has its initial values."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        engine: Engine,
        datasets: Datasets,
        quiet: bool,
    ) -> None:
        self.folder = folder
        self.engine = engine
        self.console = SteadyConsole(quiet=engine.group.rank != 0)
        self.train_set, self.val_set = datasets
        said = SteadyConsole(quiet=quiet or engine.group.rank != 0)
        for dataset in datasets:
            said.say(*dataset.report.lines())
        said.say(classes_line(self.train_set))
        self.network = build_network(config, engine, len(self.train_set.class_names))
        self.config, fitted = fit(config, self.train_set, self.network.grids, engine.group.size)
        said.say(*fitted, reach_line(self.config, self.network.grids, self.train_set))
        said.say(*remarks(self.config, engine.name, len(self.train_set), engine.group.size))
        said.say(*sampling_lines(self.config, self.train_set))
        self.origin = build_origin(self.config, self.train_set, engine.group)

    def load_initial_weights(self) -> list[str]:
        return load_initial_weights(self.config, self.network, self.train_set.class_names)

    def run(self) -> Run:
        config, network, group = self.config, self.network, self.engine.group
        boxes = build_default_boxes(config, network.grids)
        loader = build_loader(config, build_samples(config, self.train_set, boxes), group)
        plan = build_plan(config, loader.steps_per_epoch)
        protocol = PROTOCOLS[config.evaluation.protocol]
        predictor = build_predictor(
            config,
            network,
            self.val_set.class_names,
            protocol.selection,
            config.evaluation.batch_size,
        )
        spec = step_spec(config, list(network.parameters()))
        return Run(
            folder=self.folder,
            # A run is resumed from any folder, so what it reads is saved with its whole path.
            config_text=to_yaml(with_absolute_paths(config)),
            engine=self.engine,
            network=network,
            stepper=self.engine.build_stepper(network, spec),
            loader=loader,
            plan=plan,
            schedule=build_schedule(config, loader.steps_per_epoch),
            origin=self.origin,
            validation=Validation(predictor, self.val_set, protocol, group),
            describe=self._describe,
            settings=dict(flatten(to_tree(config))),
            trackers=config.trackers,
            console=self.console,
        )

    def _describe(self, metrics: Metrics) -> ModelMetadata:
        return model_metadata(
            to_tree(self.config),
            self.config,
            self.network,
            self.train_set.class_names,
            self.train_set.category_ids,
            metrics,
        )
