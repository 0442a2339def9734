"""Fit a checkpoint to a network by exact name and shape, with every tensor accounted for.

`read_weights` opens any file that mindssd knows and gives canonical names; `fit`, `load_detector`,
`start_from_detector` and `load_backbone` compare them with the network's shapes. Nothing here
touches the network: the caller hands what fits to `Network.load_parameters`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindssd.errors import ConfigError, WeightsError
from mindssd.types import Array
from mindssd.weights.class_rows import CLASS_PREDICTION, NO_MAP, class_rows, move_rows, some
from mindssd.weights.mindspore_checkpoint import read_checkpoint
from mindssd.weights.names import Kind, detect_kind, to_canonical, without_training_state
from mindssd.weights.safetensors_file import (
    FORMAT,
    ModelMetadata,
    is_safetensors,
    read_metadata,
    read_raw_metadata,
    read_tensors,
)

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class FitReport:
    """What becomes of every tensor of the network and of the checkpoint."""

    loaded: tuple[str, ...]
    left_at_initial_values: tuple[str, ...] = ()
    """Of the network, not taken from the checkpoint: class layers."""
    left_out: tuple[str, ...] = ()
    """Of the checkpoint, with no place in the network by design: a backbone's classifier."""
    classes: str = ""
    """What became of the rows of the class layers."""

    def summary(self) -> str:
        """One line for the log."""
        parts = [f"{len(self.loaded)} tensors loaded"]
        if self.left_at_initial_values:
            parts.append(f"left at initial values: {_examples(self.left_at_initial_values)}")
        if self.classes:
            parts.append(self.classes)
        if self.left_out:
            parts.append(f"not part of this network: {_examples(self.left_out)}")
        return "; ".join(parts)


def read_weights(path: str | Path) -> tuple[dict[str, Array], Kind, ModelMetadata | None]:
    """Read any checkpoint under canonical names, float32: (parameters, kind, description).

    The file is a mindssd model (then it has a description), or a `.ckpt` or plain safetensors with
    mindssd's names, MindCV's backbone names or those of MindCV's SSD example. The content decides,
    not the suffix. Optimizer state and counters beside the parameters are set aside.
    """
    path = Path(path).expanduser()
    metadata = read_description(path)
    tensors = read_tensors(path) if is_safetensors(path) else read_checkpoint(path)
    parameters, kind = canonical_parameters(path, tensors)
    return parameters, kind, metadata


def canonical_parameters(path: Path, tensors: Mapping[str, Array]) -> tuple[dict[str, Array], Kind]:
    """A checkpoint's parameters under canonical names, float32, and what its names were.

    Training state is left out. WeightsError, with `path`, for names of no one kind, and values that
    are no numbers or not finite.
    """
    names = without_training_state(tensors)
    try:
        kind = detect_kind(names)
        mapped = to_canonical(names, kind)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    return {mapped[name]: _as_float32(path, name, tensors[name]) for name in names}, kind


def read_description(path: str | Path) -> ModelMetadata | None:
    """Read what a model file says of itself, not its tensors; None of one of another origin."""
    path = Path(path).expanduser()
    if is_safetensors(path) and read_raw_metadata(path).get("format") == FORMAT:
        return read_metadata(path)
    return None


def _as_float32(path: Path, name: str, array: Array) -> Array:
    if not np.issubdtype(array.dtype, np.floating):
        raise WeightsError(
            f"{path}: {name!r} has type {array.dtype}, which no network parameter has; it is not "
            "training state that mindssd knows either"
        )
    array = array.astype(np.float32)
    num_bad = int(array.size - np.isfinite(array).sum())
    if num_bad:
        raise WeightsError(
            f"{path}: {name!r} has {num_bad} of {array.size} values that are not finite: the run "
            "that wrote it had diverged; take an earlier checkpoint"
        )
    return array


def fit(
    parameters: Mapping[str, Array], expected_shapes: Shapes, *, source: str = "the checkpoint"
) -> tuple[dict[str, Array], FitReport]:
    """Take from `parameters` what the network expects, in the network's order.

    Both under canonical names. Every name must be on both sides with one shape, or WeightsError
    says how many are missing, unexpected and wrongly shaped, with the first of each.
    """
    mismatch = _compare(parameters, expected_shapes)
    if mismatch:
        hint = "is it of another recipe, backbone or image size?"
        other_classes = [
            name for name in mismatch.wrongly_shaped if _is_other_width(name, mismatch)
        ]
        if other_classes:
            hint = (
                f"{_describe_classes(parameters, expected_shapes)}; in training, "
                "initial_weights=FILE takes the classes that are in both; evaluation needs the same"
            )
            if mismatch.without(other_classes):
                hint += "; but more than these differ: is it of another recipe?"
        raise WeightsError(f"{source} does not fit the network: {mismatch.describe()}; {hint}")
    to_load = {name: parameters[name] for name in expected_shapes}
    return to_load, FitReport(tuple(to_load))


@dataclass(frozen=True)
class _Mismatch:
    """Names that stand on one side alone, or on both with unlike shapes (found, expected)."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrongly_shaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.wrongly_shaped)

    def without(self, names: Sequence[str]) -> "_Mismatch":
        return _Mismatch(
            tuple(name for name in self.missing if name not in names),
            tuple(name for name in self.unexpected if name not in names),
            {name: shapes for name, shapes in self.wrongly_shaped.items() if name not in names},
        )

    def describe(self) -> str:
        shapes = [
            f"{name} {found} instead of {expected}"
            for name, (found, expected) in self.wrongly_shaped.items()
        ]
        groups: list[tuple[str, Sequence[str]]] = [
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("wrongly shaped", shapes),
        ]
        return "; ".join(f"{len(names)} {kind} ({some(names)})" for kind, names in groups if names)


def _compare(parameters: Mapping[str, Array], expected_shapes: Shapes) -> _Mismatch:
    return _Mismatch(
        missing=tuple(name for name in expected_shapes if name not in parameters),
        unexpected=tuple(name for name in parameters if name not in expected_shapes),
        wrongly_shaped={
            name: (tuple(parameters[name].shape), tuple(shape))
            for name, shape in expected_shapes.items()
            if name in parameters and tuple(parameters[name].shape) != tuple(shape)
        },
    )


def _is_other_width(name: str, mismatch: _Mismatch) -> bool:
    found, expected = mismatch.wrongly_shaped[name]
    return CLASS_PREDICTION.fullmatch(name) is not None and found[1:] == expected[1:]


def _examples(names: Sequence[str]) -> str:
    return f"{len(names)} ({some(names)})"


def num_classes(shapes: Shapes) -> int | None:
    """Classes without background that a detector's shapes tell; None without a whole head.

    A level with k default boxes at each cell has 4·k box outputs and (C + 1)·k class outputs.
    """
    found = set()
    for name, shape in shapes.items():
        if CLASS_PREDICTION.fullmatch(name) and name.endswith(".bias"):
            boxes = shapes.get(name.replace("head.classes.", "head.boxes."))
            if boxes is None or boxes[0] % 4 or not boxes[0] or shape[0] * 4 % boxes[0]:
                return None
            found.add(shape[0] * 4 // boxes[0] - 1)
    return found.pop() if len(found) == 1 else None


def shapes_of(parameters: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    """Name to shape, as `fit` expects it of a network: `shapes_of(network.parameters())`."""
    return {name: tuple(array.shape) for name, array in parameters.items()}


def _describe_classes(parameters: Mapping[str, Array], expected_shapes: Shapes) -> str:
    theirs, ours = num_classes(shapes_of(parameters)), num_classes(expected_shapes)
    if theirs is None or ours is None:
        return "the class predictions have other widths"
    return f"the checkpoint has {theirs} classes, this network {ours}"


def load_detector(path: str | Path, expected_shapes: Shapes) -> tuple[dict[str, Array], FitReport]:
    """Read a whole detector's checkpoint and fit it to a network; see `read_weights` and `fit`."""
    parameters, _ = _read_detector(path)
    return fit(parameters, expected_shapes, source=str(path))


def start_from_detector(
    path: str | Path,
    initial: Mapping[str, Array],
    class_names: Sequence[str],
    class_map: Mapping[str, str] = NO_MAP,
) -> tuple[dict[str, Array], FitReport]:
    """Fit a detector's checkpoint to a network that is to learn classes of its own.

    `initial` are the network's parameters, `class_names` its classes. Everything but the class
    layers must fit as in `fit`. Of these, classes that the checkpoint names too keep their rows,
    whatever their order and number, and so do those that `class_map` gives a name there; others
    stay as they are in `initial`. A checkpoint that does not name its classes, or has none of
    these, leaves the class layers as they are. ConfigError for a map that names what is not there.
    """
    parameters, metadata = _read_detector(path)
    layers = [name for name in initial if CLASS_PREDICTION.fullmatch(name)]
    expected = {name: shape for name, shape in shapes_of(initial).items() if name not in layers}
    others = {name: array for name, array in parameters.items() if name not in layers}
    to_load, _ = fit(others, expected, source=str(path))
    absent = [name for name in layers if name not in parameters]
    if absent:
        raise WeightsError(f"{path} does not fit the network: {_examples(absent)} missing")
    if metadata is None:
        if class_map:
            raise ConfigError(
                f"class_map: {path} does not name its classes; converted, it does (docs/weights.md)"
            )
        reason = "it does not name its classes; converted, it does (docs/weights.md)"
        return to_load, FitReport(tuple(to_load), tuple(layers), classes=reason)
    classes = class_rows(metadata.class_names, class_names, class_map, str(path))
    if not classes.taken:
        return to_load, FitReport(tuple(to_load), tuple(layers), classes=classes.summary())
    try:
        moved = move_rows(parameters, initial, metadata.class_names, class_names, classes.taken)
    except WeightsError as error:
        raise WeightsError(f"{path} does not fit the network: {error}") from error
    to_load = {name: moved.get(name, to_load.get(name, array)) for name, array in initial.items()}
    same = tuple(metadata.class_names) == tuple(class_names)
    said = f"all {len(class_names)} classes taken from it" if same else classes.summary()
    return to_load, FitReport(tuple(to_load), classes=said)


def _read_detector(path: str | Path) -> tuple[dict[str, Array], ModelMetadata | None]:
    parameters, kind, metadata = read_weights(path)
    if kind == "mindcv_backbone":
        raise WeightsError(
            f"{path}: holds only a backbone, not a detector; to train a detector from it, set "
            f"backbone_ckpt_path={path}"
        )
    return parameters, metadata


def load_backbone(path: str | Path, expected_shapes: Shapes) -> tuple[dict[str, Array], FitReport]:
    """Read a backbone, MindCV's or a detector's, and fit it to a network's `backbone.…`.

    `expected_shapes` may be the whole network's. MindCV's extractor keeps a model's layers up to
    the last map asked for; what the file has beyond them (later layers, the classifier, the
    neck and head of a detector) is left out by design, and listed. A tensor within a layer that the
    network does have must fit.
    """
    parameters, _, _ = read_weights(path)
    shapes = {name: shape for name, shape in expected_shapes.items() if _in_backbone(name)}
    layers = {_layer(name) for name in shapes}
    left_out = tuple(name for name in parameters if _layer(name) not in layers)
    wanted = {name: array for name, array in parameters.items() if _layer(name) in layers}
    to_load, report = fit(wanted, shapes, source=str(path))
    return to_load, FitReport(report.loaded, left_out=left_out)


def _in_backbone(name: str) -> bool:
    return name.startswith("backbone.")


def _layer(name: str) -> str:
    """`backbone.features_3.layers.0.weight` to `backbone.features_3`: kept whole or not at all."""
    return ".".join(name.split(".")[:2])
