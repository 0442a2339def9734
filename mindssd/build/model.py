"""A model of any kind, from its file or by its name: `load` is the one entry."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mindssd.build.engine import build_engine, choose_engine
from mindssd.build.network import build_network
from mindssd.build.predictor import build_predictor
from mindssd.build.published import find_model
from mindssd.config.load import from_tree, with_values
from mindssd.config.schema import Config, GridBoxesConfig
from mindssd.deploy.manifest import Manifest, shown_by
from mindssd.deploy.sessions.opening import is_deployed, open_session
from mindssd.deploy.sessions.session import RuntimeSettings, Session
from mindssd.engines.base import Network
from mindssd.errors import ConfigError
from mindssd.geometry.selection import Selection
from mindssd.images import Normalization
from mindssd.inference.detector import Detector
from mindssd.inference.predictor import Predictor
from mindssd.inference.tiling import OVERLAP, TiledPredictor
from mindssd.weights.safetensors_file import ModelMetadata
from mindssd.weights.transfer import load_detector, read_description, read_weights, shapes_of


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network with its weights."""

    config: Config
    network: Network
    class_names: tuple[str, ...]


def load_model(
    path: str | Path,
    config: Config | None = None,
    class_names: tuple[str, ...] | None = None,
    device: str | None = None,
    engine: str | None = None,
) -> LoadedModel:
    """Build the network of a model file and load its weights.

    A mindssd model file needs nothing else, and its class names are its own. A `.ckpt` or plain
    safetensors has no description: give the config and class names that belong to it.
    """
    metadata = read_description(path)
    if metadata is not None:
        config = config or described_config(metadata, path)
        class_names = metadata.class_names
    if config is None or class_names is None:
        raise _without_description(path)
    asked = {"device": device, "engine": engine}
    config = with_values(config, {k: v for k, v in asked.items() if v}, where=str(path))
    boxes = config.default_boxes
    if isinstance(boxes, GridBoxesConfig) and boxes.grid_scale == "auto":
        raise ConfigError(
            f"{path}: default_boxes.grid_scale is auto, and a trained network's has a value: give "
            "--config CONFIG, the config.yaml of its run, or default_boxes.grid_scale=…"
        )
    network = build_network(config, build_engine(config), len(class_names))
    parameters, _ = load_detector(path, shapes_of(network.parameters()))
    network.load_parameters(parameters)
    return LoadedModel(config, network, class_names)


def described_config(metadata: ModelMetadata, path: str | Path) -> Config:
    """A model's own configuration, without the engine and device that it was trained on."""
    defaults = Config()
    machine = ("engine", "device", "precision", "deterministic", "sync_batch_norm")
    tree = {**metadata.config, **{key: getattr(defaults, key) for key in machine}}
    return from_tree(tree, str(path), metadata.format_version)


def _without_description(path: str | Path) -> ConfigError:
    read_weights(path)  # what is no checkpoint at all is told so instead
    return ConfigError(
        f"{path} does not say what network it is for: for `mindssd eval` give --config RECIPE and "
        "data_dir=PATH, for the rest convert it (docs/weights.md)"
    )


def load(
    path: str | Path,
    *,
    score_threshold: float | None = None,
    iou_threshold: float | None = None,
    max_detections: int | None = None,
    classes: Sequence[str] | None = None,
    device: str | None = None,
    engine: str | None = None,
    batch_size: int = 1,
    tile: int | None = None,
    overlap: float | None = None,
    runtime: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
) -> Detector:
    """Open a trained model: `detections = mindssd.load("best.safetensors")("photo.jpg")`.

    Instead of a file it may be named as a published detector is: `mindssd.load("ssd_mobilenetv2")`
    fetches MindCV's, trained on COCO, once.

    Detections are for people: of the `classes` named, or else of all, above `score_threshold`; then
    where two overlap by more than `iou_threshold` the better one alone, whatever its class; and of
    those that are left the best `max_detections` of each image. Unless said otherwise the model's
    own thresholds, which `mindssd threshold --save` writes, or else 0.3; 0.5 and 100, or less where
    an exported file has narrower NMS inside. With `tile`, an image is
    looked at in squares of so many pixels too, which overlap by the share `overlap` (0.2).
    `runtime`, `precision` and `threads` are for the files of `mindssd export`; see
    `RuntimeSettings`.

    ConfigError for a setting out of range, a class that the model does not know, or a file that
    does not describe its network.
    """
    _wanted(score_threshold, iou_threshold, max_detections)  # before the model is opened
    if overlap is not None and tile is None:
        raise ConfigError(f"overlap is {overlap} without tile; give both, or neither")
    opened = open_model(
        path,
        device=device,
        engine=engine,
        batch_size=batch_size,
        runtime=runtime,
        precision=precision,
        threads=threads,
    )
    return opened.detector(
        score_threshold=score_threshold,
        iou_threshold=iou_threshold,
        max_detections=max_detections,
        classes=classes,
        tile=tile,
        overlap=overlap,
    )


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model of any kind, opened once for detectors of any settings."""

    metadata: ModelMetadata
    predictor: Predictor
    """With the settings that are for people."""
    manifest: Manifest | None
    """Of a deployed file."""
    description: str
    """What runs it, for people."""
    side_by_side: Callable[[int], Predictor] | None = None
    """Opens it again for so many calls at once, each on its share of the cores, one image a call;
    None where they would wait for each other: on a GPU, in an engine."""

    def detector(
        self,
        *,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        max_detections: int | None = None,
        classes: Sequence[str] | None = None,
        tile: int | None = None,
        overlap: float | None = None,
    ) -> Detector:
        """A detector with these settings, which are `load`'s; all share what was opened."""
        wanted = _wanted(score_threshold, iou_threshold, max_detections)
        postprocess = self.predictor.postprocess
        selection = replace(postprocess.selection, **wanted)
        if self.manifest is not None:
            self.manifest.require_wider(selection)
        class_ids = None if classes is None else _class_ids(classes, self.metadata.class_names)
        predictor = replace(
            self.predictor,
            postprocess=replace(postprocess, selection=selection, class_ids=class_ids),
        )
        if tile is None:
            return Detector(predictor, self.metadata)
        shared = OVERLAP if overlap is None else overlap
        return Detector(TiledPredictor(predictor, tile, shared), self.metadata)


def open_model(
    path: str | Path,
    *,
    device: str | None = None,
    engine: str | None = None,
    batch_size: int = 1,
    runtime: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
) -> OpenedModel:
    """Open a model by its file or name; settings and errors are `load`'s."""
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; expected at least 1")
    path = find_model(path)
    if is_deployed(path):
        if engine is not None:
            raise ConfigError(f"{path} runs on a runtime of its format; leave engine out")
        settings = RuntimeSettings(runtime, device, precision, threads)
        session = open_session(path, settings)
        manifest = session.manifest
        predictor = deployed_predictor(session, manifest.shown(), batch_size)

        def side_by_side(parallel: int) -> Predictor:
            again = open_session(path, replace(settings, parallel=parallel))
            return deployed_predictor(again, manifest.shown(), 1)

        is_shared = session.is_shared and manifest.batch in (None, 1)
        return OpenedModel(
            manifest.metadata,
            predictor,
            manifest,
            session.description,
            side_by_side if is_shared else None,
        )
    for name, setting in (("runtime", runtime), ("precision", precision), ("threads", threads)):
        if setting is not None:
            raise ConfigError(
                f"{name} is for files of `mindssd export`; {path} runs on MindSpore or PyTorch"
            )
    metadata = read_description(path)
    if metadata is None:
        raise _without_description(path)
    model = load_model(path, device=device, engine=engine)
    predictor = build_predictor(
        model.config, model.network, model.class_names, shown_by(metadata), batch_size
    )
    return OpenedModel(
        metadata, predictor, None, f"the engine {choose_engine(model.config.engine)}"
    )


def _wanted(
    score_threshold: float | None, iou_threshold: float | None, max_detections: int | None
) -> dict[str, Any]:
    """The fields of a `Selection` that are asked for; ConfigError for a value out of range."""
    for name, value in (("score_threshold", score_threshold), ("iou_threshold", iou_threshold)):
        if value is not None and not 0 <= value <= 1:
            raise ConfigError(f"{name} is {value}; expected 0 to 1")
    if max_detections is not None and max_detections < 1:
        raise ConfigError(f"max_detections is {max_detections}; expected at least 1")
    asked = {
        "score_threshold": score_threshold,
        "iou_threshold": iou_threshold,
        "across_classes_iou": iou_threshold,
        "max_detections": max_detections,
    }
    wanted: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if score_threshold is not None:
        wanted["class_thresholds"] = None  # the model's own
    return wanted


def _class_ids(names: Sequence[str], known: tuple[str, ...]) -> tuple[int, ...]:
    """The sorted indices of the named classes."""
    if isinstance(names, str) or len(names) == 0:
        raise ConfigError(f"classes is {names!r}; expected a list of names of {', '.join(known)}")
    for name in names:
        if name not in known:
            raise ConfigError(
                f"classes: the model has no class {name!r}; it has {', '.join(known)}"
            )
    return tuple(sorted({known.index(name) for name in names}))


def deployed_predictor(session: Session, selection: Selection, batch_size: int) -> Predictor:
    """A predictor on a deployed file.

    ConfigError where the file has NMS inside that leaves less than `selection`.
    """
    manifest = session.manifest
    manifest.require_wider(selection)
    metadata = manifest.metadata
    return Predictor(
        forward=session.forward,
        image_size=metadata.image_size,
        normalization=Normalization(metadata.mean, metadata.std),
        postprocess=manifest.postprocess(selection),
        class_names=metadata.class_names,
        batch_size=batch_size,
        keeps_aspect=manifest.keeps_aspect,
    )
