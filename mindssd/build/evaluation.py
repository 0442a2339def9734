"""Evaluate a trained model's file on a data set, for the command line and for Python."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from mindssd.build.data import build_dataset, training_classes, with_classes_of
from mindssd.build.model import deployed_predictor, described_config, load_model
from mindssd.build.predictor import build_predictor
from mindssd.build.published import find_model
from mindssd.config.commands import (
    EVAL_EXPORTED,
    EVAL_TRAINED,
    EVAL_UNDESCRIBED,
    require_taken,
)
from mindssd.config.load import load_config, override
from mindssd.config.schema import Config
from mindssd.data.classes import only_classes
from mindssd.data.dataset import DetectionDataset
from mindssd.deploy.sessions.opening import is_deployed, open_session
from mindssd.deploy.sessions.session import RuntimeSettings, Session
from mindssd.errors import ConfigError
from mindssd.evaluation.coco import score
from mindssd.evaluation.detections import DetectionTable, detect_images
from mindssd.evaluation.protocol import PROTOCOLS, Protocol, chosen_images
from mindssd.evaluation.scores import Evaluation
from mindssd.geometry.default_boxes import Grid
from mindssd.images import counted_remarks
from mindssd.inference.predictor import Predictor
from mindssd.weights.safetensors_file import ModelMetadata
from mindssd.weights.transfer import read_description, read_weights


@dataclass(frozen=True, eq=False)
class Detected:
    """What a model found in validation images, and all that it can be scored from.

    `path` is the model's file, `metadata` its description, None where it has none, and `config`
    that with the settings laid over it.
    `table` holds the detections in the images of `dataset` at `indices`, which `protocol` scores;
    `build.reach` makes default boxes of `config` and `grids`.
    """

    path: Path
    metadata: ModelMetadata | None
    config: Config
    dataset: DetectionDataset
    indices: list[int]
    protocol: Protocol
    predictor: Predictor
    grids: tuple[Grid, ...]
    table: DetectionTable

    def evaluation(self) -> Evaluation:
        """Score what was found."""
        return score(self.table, self.dataset, self.indices, self.protocol)


def evaluate_model(
    path: Path,
    recipe: str | None,
    overrides: Sequence[str],
    protocol_name: str | None,
    console: Console,
) -> Evaluation:
    """Score a model on validation images; the arguments are those of `detect_with_model`."""
    return detect_with_model(path, recipe, overrides, protocol_name, console).evaluation()


def detect_with_model(
    path: Path,
    recipe: str | None,
    overrides: Sequence[str],
    protocol: Protocol | str | None,
    console: Console,
    classes: Sequence[str] | None = None,
    command: str = "eval",
) -> Detected:
    """Run the model at `path` on the validation images of `data_dir` (in `overrides`).

    `path` may be a published detector's name. `overrides` may set what an evaluation depends on,
    and what the model is only where its file does not say it: see `config.commands`. `recipe` is
    for files that do not describe their network; a model's own description wins. Without a
    `protocol`, or the name of one, the config's `evaluation.protocol` decides. With `classes` those
    alone are looked for, and scored. `command` is who asks, for messages.
    """

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    path = find_model(path, say)
    asked = _Asked(recipe, overrides, command)
    session = _session(path, asked) if is_deployed(path) else None
    metadata = read_description(path) if session is None else session.manifest.metadata
    config = _config(path, session, metadata, asked)
    dataset = build_dataset(config, "val", model=path)
    if classes is not None:
        dataset = only_classes(dataset, classes)
    if not isinstance(protocol, Protocol):
        protocol = PROTOCOLS[protocol or config.evaluation.protocol]
    class_names = dataset.class_names
    if metadata is None:
        # Its classes are in the order of the annotations that it was trained on.
        class_names = training_classes(config) or class_names
    predictor, grids = _predictor(path, session, config, class_names, protocol)
    dataset = with_classes_of(dataset, predictor.class_names, path)
    if classes is not None:
        chosen = tuple(i for i, name in enumerate(predictor.class_names) if name in classes)
        postprocess = replace(predictor.postprocess, class_ids=chosen)
        predictor = replace(predictor, postprocess=postprocess)
    for line in dataset.report.lines():
        say(line)
    indices = chosen_images(dataset, protocol)
    with counted_remarks() as remarks:
        table = _detect_with_bar(predictor, dataset, indices, protocol, console)
    for line in remarks.lines():
        say(line)
    return Detected(path, metadata, config, dataset, indices, protocol, predictor, grids, table)


def evaluate_with_bar(
    predictor: Predictor, dataset: DetectionDataset, protocol: Protocol, console: Console
) -> Evaluation:
    """Evaluate, and show on a terminal how far it is."""
    indices = chosen_images(dataset, protocol)
    table = _detect_with_bar(predictor, dataset, indices, protocol, console)
    return score(table, dataset, indices, protocol)


def _detect_with_bar(
    predictor: Predictor,
    dataset: DetectionDataset,
    indices: Sequence[int],
    protocol: Protocol,
    console: Console,
) -> DetectionTable:
    disable = not console.is_terminal
    with Progress(console=console, transient=True, disable=disable) as progress:
        task = progress.add_task("evaluating", total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        return detect_images(predictor, dataset, indices, protocol, show)


@dataclass(frozen=True)
class _Asked:
    """The recipe and settings beside a model, and who asks."""

    recipe: str | None
    overrides: Sequence[str]
    command: str

    def require_taken(self, taken: Sequence[str], of_what: str = "") -> None:
        """ConfigError for a setting that would change nothing."""
        if self.command != "eval":  # the others have a protocol of their own
            taken = [key for key in taken if key != "evaluation.protocol"]
        require_taken(self.overrides, taken, f"`mindssd {self.command}`{of_what}")

    def require_no_recipe(self, path: Path) -> None:
        """ConfigError for a recipe beside a model that describes itself."""
        if self.recipe is not None:
            raise ConfigError(f"{path} describes its own network; leave --config out")


def _session(path: Path, asked: _Asked) -> Session:
    """An exported model, opened on the device and in the precision that are asked for."""
    asked.require_taken(EVAL_EXPORTED, " of an exported model")
    asked.require_no_recipe(path)
    config = override(Config(), asked.overrides)
    device, precision = (
        None if value == "auto" else value for value in (config.device, config.precision)
    )
    return open_session(path, RuntimeSettings(device=device, precision=precision))


def _predictor(
    path: Path,
    session: Session | None,
    config: Config,
    class_names: tuple[str, ...],
    protocol: Protocol,
) -> tuple[Predictor, tuple[Grid, ...]]:
    """The predictor, and the grids of its default boxes."""
    batch_size = config.evaluation.batch_size
    if session is not None:
        predictor = deployed_predictor(session, protocol.selection, batch_size)
        return predictor, session.manifest.metadata.grids
    model = load_model(path, config, class_names)
    predictor = build_predictor(
        config, model.network, model.class_names, protocol.selection, batch_size
    )
    return predictor, model.network.grids


def _config(
    path: Path, session: Session | None, metadata: ModelMetadata | None, asked: _Asked
) -> Config:
    if metadata is not None:
        asked.require_no_recipe(path)
        if session is None:
            asked.require_taken(EVAL_TRAINED)
        return override(described_config(metadata, path), asked.overrides)
    if asked.recipe is None:
        read_weights(path)  # what is no checkpoint at all is told so instead
        way_out = "give --config RECIPE, such as --config ssd_mobilenetv2"
        if asked.command != "eval":
            way_out = "convert it first (docs/weights.md)"
        raise ConfigError(f"{path} does not say what network it is for; {way_out}")
    asked.require_taken(EVAL_UNDESCRIBED, f" with --config {asked.recipe}")
    return load_config(asked.recipe, asked.overrides)
