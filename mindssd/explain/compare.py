"""Models on the same validation images: what is better, for which objects, and is it chance."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from mindssd.build.evaluation import Detected, detect_with_model
from mindssd.build.published import find_model
from mindssd.config.load import load_config
from mindssd.data.classes import only_classes
from mindssd.data.dataset import DetectionDataset
from mindssd.deploy.sessions.opening import is_deployed, open_session
from mindssd.errors import ConfigError, DatasetError
from mindssd.evaluation.coco import score
from mindssd.evaluation.curves import score_curve
from mindssd.evaluation.detections import DetectionTable
from mindssd.evaluation.outcomes import Outcomes, outcomes, rows_of_table
from mindssd.evaluation.paired import Differences, differences
from mindssd.evaluation.scores import Evaluation
from mindssd.evaluation.truths import Truths, read_truths
from mindssd.explain.compare_log import Curves, read_curves
from mindssd.types import Array
from mindssd.weights.transfer import read_description

IOU = 0.5
"""An object is found if a detection above the model's threshold overlaps it by so much."""


@dataclass(frozen=True)
class Candidate:
    """A model to compare: what it is called, its file, and the folder of its run, if it has one."""

    name: str
    path: Path
    run: Path | None
    class_names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Scored:
    """One of the models, scored on the images and classes that all have.

    `threshold` is the score of its highest F1 here; `found` (m,) bool says which truths it finds
    above that, crowds never.
    """

    name: str
    detected: Detected
    evaluation: Evaluation
    outcomes: Outcomes
    threshold: float
    found: Array
    curves: Curves | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two models or more, each against the first.

    `places` (I,) are the compared images in the first model's data set, in the order of the
    outcomes'. `lines` say what was left
    out.
    """

    models: tuple[Scored, ...]
    differences: tuple[Differences, ...]
    class_names: tuple[str, ...]
    places: Array
    lines: tuple[str, ...]

    @property
    def truths(self) -> Truths:
        return self.models[0].outcomes.truths

    def only(self, model: int, other: int = 0) -> Array:
        """Rows of the truths that one model finds and the other misses, the largest first."""
        rows = np.flatnonzero(self.models[model].found & ~self.models[other].found)
        return rows[np.argsort(-self.truths.areas[rows], kind="stable")]

    def both(self, model: int) -> int:
        """How many truths this model and the first one find."""
        return int((self.models[model].found & self.models[0].found).sum())

    def neither(self, model: int) -> int:
        """How many truths both miss."""
        missed = ~self.models[model].found & ~self.models[0].found
        return int((missed & ~self.truths.is_crowd).sum())

    def file_name(self, truth: int) -> str:
        """The image of a truth."""
        first = self.models[0]
        place = int(first.outcomes.truth_images[truth])
        return first.detected.dataset.file_names[int(self.places[place])]


def candidates(words: Sequence[str], console: Console) -> list[Candidate]:
    """The models that words name: files, run folders, published names.

    ConfigError for fewer than two, for one given twice, and for what does not describe itself.
    """

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    if len(words) < 2:
        raise ConfigError("compare takes two models or more: mindssd compare runs/a runs/b")
    found: list[Candidate] = []
    for word in words:
        named = Path(word).expanduser()
        path = named / "best.safetensors" if named.is_dir() else find_model(word, say)
        if named.is_dir() and not path.is_file():
            raise ConfigError(f"{word} has no best.safetensors: it is no run, or has no model yet")
        if any(path.resolve() == other.path.resolve() for other in found):
            raise ConfigError(f"{word} is given twice")
        run = path.parent if (path.parent / "config.yaml").is_file() else None
        found.append(Candidate(word, path, run, _class_names(path)))
    names = _short([word.rstrip("/") for word in words])
    return [replace(one, name=name) for one, name in zip(found, names, strict=True)]


def _short(words: Sequence[str]) -> list[str]:
    """The last parts of paths, as few as tell them apart."""
    parts = [Path(word).parts for word in words]
    for count in range(1, max(map(len, parts))):
        tails = [str(Path(*part[-count:])) for part in parts]
        if len(set(tails)) == len(tails):
            return tails
    return list(words)


def _class_names(path: Path) -> tuple[str, ...]:
    if is_deployed(path):
        return open_session(path).manifest.metadata.class_names
    metadata = read_description(path)
    if metadata is None:
        raise ConfigError(f"{path} does not describe itself; convert it first (docs/weights.md)")
    return metadata.class_names


def shared_classes(found: Sequence[Candidate]) -> tuple[str, ...]:
    """The classes that all have by name, as the first one orders them; ConfigError for none."""
    first, *others = found
    names = tuple(n for n in first.class_names if all(n in other.class_names for other in others))
    if not names:
        listed = "; ".join(f"{one.name}: {', '.join(one.class_names[:5])}" for one in found)
        raise ConfigError(f"the models share no class by name ({listed})")
    return names


def compare(
    words: Sequence[str], overrides: Sequence[str], console: Console, seed: int = 0
) -> Comparison:
    """Detect with each model in its validation images, and score those that all of them have.

    Without data_dir in `overrides` each run's own configuration says where they are.
    """
    found = candidates(words, console)
    names = shared_classes(found)
    detected = [
        detect_with_model(
            one.path, None, [*_data_of(one, overrides), *overrides], "coco", console, names
        )
        for one in found
    ]
    lines = []
    left_out = {n for one in found for n in one.class_names} - set(names)
    if left_out:
        lines.append(f"compared by the {len(names)} classes that all models have: {_some(names)}")
    return compared(found, detected, names, lines, seed)


def _data_of(one: Candidate, overrides: Sequence[str]) -> list[str]:
    """Where the validation images of a run are, where that is not said."""
    if any(word.startswith("data_dir=") for word in overrides):
        return []
    if one.run is None:
        raise ConfigError(f"{one.name} is no run, which would know its images: give data_dir=PATH")
    config = load_config(str(one.run / "config.yaml"))
    settings = {
        key: getattr(config, key) for key in ("data_dir", "format", "val_share", "group_by")
    }
    return [f"{key}={value}" for key, value in settings.items() if value is not None]


def compared(
    found: Sequence[Candidate],
    detected: Sequence[Detected],
    names: tuple[str, ...],
    lines: Sequence[str] = (),
    seed: int = 0,
) -> Comparison:
    """Score what was detected, by the classes `names`, on the images that all models were given."""
    paths = [[str(Path(one.dataset[i].path).resolve()) for i in one.indices] for one in detected]
    common = set(paths[0]).intersection(*paths[1:])
    said = list(lines)
    if not common:
        raise DatasetError(
            "the models have no validation image in common: give the data_dir=PATH of one data set"
        )
    for one, own in zip(found, paths, strict=True):
        if len(own) > len(common):
            said.append(
                f"{one.name}: {len(common)} of its {len(own)} validation images are all models'; "
                "these are compared"
            )
    images = [_by_path(one, own) for one, own in zip(detected, paths, strict=True)]
    order = [path for path in paths[0] if path in common]
    # What counts are the first model's images and boxes; of the shared classes it has the order.
    base = only_classes(detected[0].dataset, names)
    places = np.array([images[0][path] for path in order], np.int64)
    truths = read_truths(base, places.tolist())
    models = []
    for one, each, known in zip(found, detected, images, strict=True):
        theirs = [known[path] for path in order]
        if not _same(read_truths(only_classes(each.dataset, names), theirs), truths):
            said.append(f"{one.name}: other boxes are annotated; those of {found[0].name} count")
        image_ids = dict(
            zip(
                each.dataset.image_ids[theirs].tolist(),
                base.image_ids[places].tolist(),
                strict=True,
            )
        )
        table = _in_terms_of(base, each, image_ids)
        models.append(_scored(one, each, table, base, places, truths))
    return Comparison(
        models=tuple(models),
        differences=tuple(
            differences([model.outcomes for model in models], np.random.default_rng(seed))
        ),
        class_names=names,
        places=places[np.argsort(base.image_ids[places])],
        lines=tuple(said),
    )


def _by_path(one: Detected, paths: Sequence[str]) -> dict[str, int]:
    """Places in the model's data set."""
    return dict(zip(paths, one.indices, strict=True))


def _same(one: Truths, other: Truths) -> bool:
    """Whether the same boxes are annotated, whatever the images' and classes' numbers are."""
    return len(one) == len(other) and np.array_equal(one.boxes_xywh, other.boxes_xywh)


def _in_terms_of(
    base: DetectionDataset, one: Detected, image_ids: dict[int, int]
) -> DetectionTable:
    """A model's detections in the compared images, by `base`'s numbers of images and classes."""
    known = {name: place for place, name in enumerate(base.class_names)}
    places = np.array([known.get(name, -1) for name in one.dataset.class_names], np.int64)
    class_ids = places[one.table.class_ids]
    rows = np.flatnonzero(np.isin(one.table.image_ids, list(image_ids)) & (class_ids >= 0))
    return replace(
        rows_of_table(one.table, rows),
        image_ids=np.array([image_ids[i] for i in one.table.image_ids[rows].tolist()], np.int64),
        class_ids=class_ids[rows].astype(np.int32),
    )


def _scored(
    one: Candidate,
    detected: Detected,
    table: DetectionTable,
    base: DetectionDataset,
    places: Array,
    truths: Truths,
) -> Scored:
    result = outcomes(table, truths, base.image_ids[places], base.class_names)
    curve = score_curve(result, IOU)
    threshold = 0.0 if curve.best_f1 is None else curve.threshold(curve.best_f1)
    detection_of = result.detection_of[result.at(IOU)]
    scores = np.append(result.table.scores, -np.inf)  # row -1: none
    return Scored(
        name=one.name,
        detected=detected,
        evaluation=score(table, base, places.tolist(), detected.protocol),
        outcomes=result,
        threshold=threshold,
        found=scores[detection_of] > threshold,
        curves=None if one.run is None else read_curves(one.run),
    )


def verdicts(comparison: Comparison) -> list[str]:
    """A sentence for each model beside the first: how much better, and whether it may be chance."""
    first, *others = comparison.models
    said = []
    for other, difference in zip(others, comparison.differences, strict=True):
        ap = difference.ap
        value, low, high = ap.estimate.value, ap.estimate.low, ap.estimate.high
        if value is None:
            said.append(f"{other.name}: no truths, so no AP to compare")
            continue
        between = "" if low is None or high is None else f" ({low:+.3f} to {high:+.3f})"
        what = "better" if value > 0 else "worse" if value < 0 else "the same"
        end = "more than chance" if ap.is_more_than_chance else "which may be chance"
        said.append(
            f"{other.name} against {first.name}: AP {value:+.3f}{between}, "
            + (f"{what}, {end}" if value else what)
        )
    return said


def tree(comparison: Comparison) -> dict[str, Any]:
    """Everything in plain JSON types."""
    truths, first = comparison.truths, comparison.models[0]
    objects = np.flatnonzero(~truths.is_crowd)
    return {
        "kind": "mindssd comparison",
        "num_images": len(comparison.places),
        "class_names": list(comparison.class_names),
        "notes": list(comparison.lines),
        "verdicts": verdicts(comparison),
        "models": [
            {
                "name": model.name,
                "path": str(model.detected.path),
                "evaluation": model.evaluation.as_dict(),
                "threshold": model.threshold,
                "num_found": int(model.found.sum()),
                "curves": None if model.curves is None else asdict(model.curves),
            }
            for model in comparison.models
        ],
        "differences": [
            {"name": model.name, "from": first.name, **asdict(difference)}
            for model, difference in zip(comparison.models[1:], comparison.differences, strict=True)
        ],
        "objects": [
            {
                "image": comparison.file_name(row),
                "class": comparison.class_names[int(truths.class_ids[row])],
                "bbox": truths.boxes_xywh[row].tolist(),
                "found_by": [model.name for model in comparison.models if model.found[row]],
            }
            for row in objects.tolist()
        ],
    }


def _some(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
