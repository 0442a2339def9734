"""What is known of a model: by its own file, and by an evaluation's file beside or given."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mindssd.build.model import described_config
from mindssd.build.network import recipe_of
from mindssd.build.published import find_model
from mindssd.config.schema import Config
from mindssd.deploy.sessions.opening import is_deployed, open_session
from mindssd.errors import ConfigError, MindSSDError
from mindssd.evaluation.protocol import PROTOCOLS, Protocol
from mindssd.weights.hub import is_hub_address, read_address
from mindssd.weights.safetensors_file import DAMAGE, ModelMetadata
from mindssd.weights.transfer import read_description

NUMBERS = (
    *("AP", "AP50", "AP75", "APs", "APm", "APl"),
    *("AR1", "AR10", "AR100", "ARs", "ARm", "ARl"),
)


@dataclass(frozen=True)
class Figures:
    """COCO's numbers, and what is known of how they were measured."""

    values: dict[str, float]
    """By name, as `AP`; those that are defined."""
    protocol: Protocol | None = None
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    covered: float | None = None
    """The share of resamples that the intervals hold."""
    num_images: int | None = None
    num_truths: int | None = None
    per_class: tuple[tuple[str, float | None, int], ...] = ()
    """Name, AP and truths of each class."""
    source: str | None = None
    """Where they come from, if not from this model's own evaluation here."""


@dataclass(frozen=True)
class Facts:
    """A model, as far as it is known; None and empty are unknown."""

    path: Path
    name: str
    metadata: ModelMetadata
    config: Config
    recipe: str | None
    figures: Figures
    is_deployed: bool

    @property
    def dataset(self) -> str | None:
        """The data set's name: its folder's, without where that lies on somebody's machine."""
        if self.metadata.origin:
            return "COCO 2017" if "COCO 2017" in self.metadata.origin.get("licence", "") else None
        return None if self.config.data_dir is None else Path(self.config.data_dir).name


def read_facts(model: str | Path, evaluation: Path | None = None) -> Facts:
    """Gather what is known of a model that is named by its file, a published name or hf://…

    `evaluation` is what `mindssd eval --json` or a report's JSON says of it; without one that of
    the model's run is taken, if it is of this very model. ConfigError for a file that does not
    describe itself.
    """
    path = find_model(model)
    deployed = is_deployed(path)
    if deployed:
        metadata = open_session(path).manifest.metadata
    else:
        found = read_description(path)
        if found is None:
            raise ConfigError(
                f"{path} does not describe itself; convert it first (docs/weights.md)"
            )
        metadata = found
    config = described_config(metadata, path)
    return Facts(
        path=path,
        name=_name(model, path),
        metadata=metadata,
        config=config,
        recipe=recipe_of(config),
        figures=_figures(path, metadata, config, evaluation),
        is_deployed=deployed,
    )


def _name(model: str | Path, path: Path) -> str:
    """What people may call it: a run's folder, a file's name, a published one."""
    if is_hub_address(model):
        return read_address(model).name
    if path != Path(model).expanduser():
        return str(model)  # a published name
    return path.resolve().parent.name if path.stem == "best" else path.stem


def _figures(
    path: Path, metadata: ModelMetadata, config: Config, evaluation: Path | None
) -> Figures:
    own = {name: value for name, value in metadata.metrics.items() if math.isfinite(value)}
    protocol = PROTOCOLS[config.evaluation.protocol]
    if evaluation is not None:
        return _of_file(evaluation, _tree(evaluation), protocol)
    if metadata.origin:
        return Figures(own, protocol, source=metadata.origin.get("metrics"))
    beside = path.parent / "evaluation.json"
    try:
        found = _of_file(beside, _tree(beside), protocol)
    except MindSSDError:
        return Figures(own, protocol)
    # A run's file is of its last evaluation, whose model need not be the best.
    same = found.values.keys() == own.keys() and all(
        math.isclose(found.values[name], own[name], abs_tol=1e-6) for name in own
    )
    return found if same and own else Figures(own, protocol)


def _tree(file: Path) -> dict[str, Any]:
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{file}: cannot be read as an evaluation's JSON: {reason}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: is no evaluation's JSON, as `mindssd eval --json` writes")
    return tree


def _of_file(file: Path, tree: dict[str, Any], protocol: Protocol) -> Figures:
    numbers = tree.get("evaluation", tree)
    intervals = tree.get("intervals", {})
    try:
        found_values = {name: _number(numbers[name]) for name in NUMBERS}
        values = {name: value for name, value in found_values.items() if value is not None}
        return Figures(
            values=values,
            protocol=PROTOCOLS.get(numbers["protocol"]["name"], protocol),
            intervals={
                name: (float(intervals[name]["low"]), float(intervals[name]["high"]))
                for name in ("AP", "AP50")
                if name in intervals and intervals[name]["low"] is not None
            },
            covered=_number(intervals.get("covered")),
            num_images=int(numbers["num_images"]),
            num_truths=int(numbers["num_truths"]),
            per_class=tuple(
                (str(found["name"]), _number(found["ap"]), int(found["num_truths"]))
                for found in numbers["per_class"]
            ),
        )
    except DAMAGE as error:
        raise ConfigError(
            f"{file}: is no evaluation's JSON, as `mindssd eval --json` writes ({error!r})"
        ) from error


def _number(value: Any) -> float | None:
    """A number of JSON, None where it is not known; ValueError for one that is not finite."""
    if value is None:
        return None
    if not math.isfinite(number := float(value)):
        raise ValueError("a number that is not finite")
    return number
