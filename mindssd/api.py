"""`mindssd.train`, `mindssd.evaluate` and `mindssd.export`: what the commands of these names do.

A command's options are keywords, its `KEY=VALUE` are `settings`, as such words or as a mapping.
What is at fault is a MindSSDError. What does the work is imported when it is called.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mindssd.errors import ConfigError

if TYPE_CHECKING:
    from mindssd.config.settings import Settings
    from mindssd.evaluation.scores import Evaluation
    from mindssd.training.callbacks import Callbacks, EpochDone, EvaluationDone, RunEnd, StepDone

DEFAULT_RECIPE = "small_data"


@dataclass(frozen=True)
class Training:
    """A run as `train` leaves it."""

    folder: Path
    status: Literal["finished", "stopped"]
    """Stopped where a function of the caller's wished it; `train(resume=folder)` goes on."""
    model: Path | None
    """The best model; None where the run stopped before its first evaluation."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """COCO's numbers of the best model, as `AP`; NaN where there are no truths."""


def train(
    settings: "Settings" = (),
    *,
    config: str | Path | None = None,
    resume: str | Path | None = None,
    adapt: bool = False,
    devices: int = 1,
    restarts: int = 0,
    patience: float = 1800.0,
    on_step: "Callable[[StepDone], bool | None] | None" = None,
    on_epoch: "Callable[[EpochDone], bool | None] | None" = None,
    on_evaluation: "Callable[[EvaluationDone], bool | None] | None" = None,
    on_end: "Callable[[RunEnd], object] | None" = None,
) -> Training:
    """Train a detector, or go on with a run: `mindssd train`.

    `config` is a recipe's name or a YAML file, by default small_data. The functions are called in
    this process, between its steps; see `mindssd.training.callbacks`. Of several processes that a
    launcher has started the first one calls them, and it alone is sure to get model and metrics
    back, which it writes; with `devices` above 1 the processes are others, and ConfigError says so.
    A signal ends the run, saved, as SystemExit.
    """
    from mindssd.config.settings import as_overrides
    from mindssd.training.callbacks import Callbacks

    changes = as_overrides(settings)
    if resume is not None and config is not None:
        raise ConfigError("--resume goes on with the run's own config; leave --config out")
    for word in changes if config is None and resume is None else ():
        if "=" not in word:
            raise ConfigError(f"{word!r} is not key=value; did you mean --config {word}?")
    if adapt and resume is None:
        raise ConfigError("--adapt is for --resume: a new run has nothing to adapt to")
    for name, value, least in (("devices", devices, 1), ("restarts", restarts, 0)):
        if value < least:
            raise ConfigError(f"--{name} is {value}: expected at least {least}")
    if not patience >= 1:  # so is NaN
        raise ConfigError(f"--patience is {patience}: expected seconds, at least 1")
    if restarts and devices == 1:
        raise ConfigError("--restarts is for --devices 2 and more")
    callbacks = Callbacks(on_step, on_epoch, on_evaluation, on_end)
    recipe = DEFAULT_RECIPE if config is None else str(config)
    run = None if resume is None else Path(resume)
    if devices == 1:
        return _train_here(recipe, run, changes, adapt, callbacks)
    if callbacks:
        raise ConfigError(
            "on_step and its like are called in the process that trains, and devices start others: "
            "leave devices out, or start this program itself by a launcher (docs/distributed.md)"
        )
    return _launch(recipe, run, changes, adapt, devices, restarts, patience)


def _train_here(
    recipe: str, resume: Path | None, changes: list[str], adapt: bool, callbacks: "Callbacks"
) -> Training:
    from mindssd.build.run import resume_run, run_folder, start_run
    from mindssd.config.load import load_config
    from mindssd.training.signals import StoppedByCallback

    try:
        if resume is not None:
            folder = resume
            resume_run(resume, changes, adapt, callbacks)
        else:
            loaded = load_config(recipe, changes)
            folder = run_folder(loaded, recipe=Path(recipe).stem)
            start_run(loaded, Path(recipe).stem, folder, callbacks)
    except StoppedByCallback:
        return _training(folder, "stopped")
    return _training(folder, "finished")


def _launch(
    recipe: str,
    resume: Path | None,
    changes: list[str],
    adapt: bool,
    devices: int,
    restarts: int,
    patience: float,
) -> Training:
    from mindssd.build.run import run_folder, saved_config
    from mindssd.config.load import load_config, override
    from mindssd.launch.job import launch

    if resume is None:
        loaded = load_config(recipe, changes)
        folder = run_folder(loaded, recipe=Path(recipe).stem)
        first = ["train", "--config", recipe, *changes, f"name={folder.name}"]
        again = ["train", "--resume", str(folder)]
    else:
        folder = resume
        loaded = override(saved_config(folder), changes)
        adapted = ["--adapt"] if adapt else []
        # Said again, settings and --adapt change nothing that they have changed already.
        first = again = ["train", "--resume", str(folder), *changes, *adapted]
    status = launch(first, again, folder, devices, restarts, patience, loaded.engine)
    if status:
        raise SystemExit(status)  # of a signal, as of a run in one process
    return _training(folder, "finished")


def _training(folder: Path, status: Literal["finished", "stopped"]) -> Training:
    from mindssd.training.run_folder import RunFolder
    from mindssd.weights.safetensors_file import read_metadata

    best = RunFolder(folder).best_file
    if not best.is_file():
        return Training(folder, status, None)
    return Training(folder, status, best, read_metadata(best).metrics)


def evaluate(
    model: str | Path,
    settings: "Settings" = (),
    *,
    config: str | Path | None = None,
    protocol: str | None = None,
    quiet: bool = False,
) -> "Evaluation":
    """Score a model on the validation images of `data_dir`: `mindssd eval`.

    `settings` has `data_dir`. `config` is for a .ckpt, which does not say what network it is;
    `protocol` is coco or mindcv, by default the model's own. Prints what is dropped or cannot be
    read, and on a terminal how far it is, unless `quiet`.
    """
    from rich.console import Console

    from mindssd.build.evaluation import evaluate_model
    from mindssd.config.settings import as_overrides
    from mindssd.evaluation.protocol import PROTOCOLS

    if protocol is not None and protocol not in PROTOCOLS:
        raise ConfigError(f"protocol {protocol}: expected {', '.join(PROTOCOLS)}")
    recipe = None if config is None else str(config)
    words = as_overrides(settings)
    return evaluate_model(Path(model), recipe, words, protocol, Console(quiet=quiet))


def export(
    model: str | Path,
    settings: "Settings" = (),
    *,
    format: str = "onnx",
    out: str | Path | None = None,
    nms: bool = False,
    nms_score: float = 0.01,
    nms_iou: float = 0.6,
    nms_detections: int = 300,
    batch: int | None = None,
    int8: bool = False,
    float16: bool = False,
    max_loss: float = 0.01,
    force: bool = False,
    runtime_archive: str | Path | None = None,
    quiet: bool = False,
) -> Path:
    """Write a model for other machines, verified before it gets its name: `mindssd export`.

    Returns the file, or for web the folder. `settings` may have `data_dir`, to compare mAP and to
    calibrate int8. Prints what was compared, unless `quiet`.
    """
    from rich.console import Console

    from mindssd.config.settings import as_overrides
    from mindssd.deploy.export import export_model
    from mindssd.deploy.manifest import InGraphNMS
    from mindssd.deploy.settings import ExportSettings

    asked = ExportSettings(
        format=format,
        out=None if out is None else Path(out),
        nms=InGraphNMS(nms_score, nms_iou, nms_detections) if nms else None,
        batch=batch,
        int8=int8,
        float16=float16,
        max_loss=max_loss,
        force=force,
        runtime_archive=None if runtime_archive is None else Path(runtime_archive),
    )
    return export_model(Path(model), asked, as_overrides(settings), Console(quiet=quiet))
