"""What may be named where a model is asked for: published detectors, and those of runs here."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mindssd.build.network import image_size
from mindssd.build.published import model_path
from mindssd.config.load import load_config
from mindssd.deploy.manifest import threshold_line
from mindssd.errors import MindSSDError
from mindssd.types import ImageSize
from mindssd.weights.coco_categories import COCO_CATEGORIES
from mindssd.weights.download import address, cached_path
from mindssd.weights.published import PublishedDetector, published_detectors
from mindssd.weights.safetensors_file import ModelMetadata, read_metadata

RUNS = ("runs", "tunes")
"""Where commands keep what they train, unless told otherwise."""


@dataclass(frozen=True)
class NamedModel:
    """One model, as far as its description or the published table tells."""

    name: str
    """What to type: `ssd_mobilenetv2`, `runs/first/best.safetensors`."""
    kind: str
    """`published` or `run`."""
    path: str | None
    """Its file; None of what is not fetched yet."""
    num_bytes: int
    """Of the file, or about what will be fetched."""
    class_names: tuple[str, ...] = ()
    image_size: ImageSize | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)
    """Of the model's own validation images; of a published one as MindCV published them."""
    thresholds: str | None = None
    """The model's own, for people; None where it has none."""
    protocol: str | None = None
    """Which the metrics are by."""
    source: str | None = None
    """The address of a published one."""
    fault: str | None = None
    """Why a file cannot be used."""

    def as_dict(self) -> dict[str, Any]:
        """In plain JSON types."""
        return asdict(self)


def named_models(folders: Sequence[Path] | None = None) -> list[NamedModel]:
    """The published detectors, then the models in the folders of runs, newest first.

    A folder is one that runs are kept in, or a run's own; by default those of `RUNS` that there
    are. A file that cannot be read is listed with its fault. MindSSDError where a folder that is
    named is none.
    """
    if folders is None:
        folders = [path for path in map(Path, RUNS) if path.is_dir()]
    for folder in folders:
        if not folder.is_dir():
            raise MindSSDError(f"{folder}: no such folder; name one that runs are kept in")
    files = {path: path.stat().st_mtime for folder in folders for path in _models_in(folder)}
    in_order = sorted(files, key=lambda path: (-files[path], str(path)))
    return [*map(_published, published_detectors()), *map(_of_run, in_order)]


def _models_in(folder: Path) -> Iterator[Path]:
    """`best.safetensors` of the folder as a run, of runs in it, and of the winners of searches."""
    for pattern in ("best.safetensors", "*/best.safetensors", "*/final-*/best.safetensors"):
        yield from (path for path in folder.glob(pattern) if path.is_file())


def _published(detector: PublishedDetector) -> NamedModel:
    made, checkpoint = model_path(detector), cached_path(detector)
    path = next((path for path in (made, checkpoint) if path.is_file()), None)
    return NamedModel(
        name=detector.name,
        kind="published",
        path=None if path is None else str(path),
        num_bytes=detector.megabytes * 1_000_000 if path is None else path.stat().st_size,
        class_names=tuple(COCO_CATEGORIES.values()),
        image_size=image_size(load_config(detector.recipe)),
        metrics={"AP": detector.ap},
        protocol="mindcv",
        source=address(detector),
    )


def _of_run(path: Path) -> NamedModel:
    num_bytes = path.stat().st_size
    try:
        metadata = read_metadata(path)
    except MindSSDError as error:
        return NamedModel(str(path), "run", str(path), num_bytes, fault=str(error))
    return NamedModel(
        name=str(path),
        kind="run",
        path=str(path),
        num_bytes=num_bytes,
        class_names=metadata.class_names,
        image_size=metadata.image_size,
        metrics={k: v if math.isfinite(v) else None for k, v in metadata.metrics.items()},
        thresholds=threshold_line(metadata),
        protocol=_protocol(metadata),
    )


def _protocol(metadata: ModelMetadata) -> str | None:
    evaluation = metadata.config.get("evaluation", {})
    return evaluation.get("protocol") if isinstance(evaluation, dict) else None
