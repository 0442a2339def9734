"""Models on the same validation images: what is better, for which objects, and is it chance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from mindssd.build.evaluation import Detected, detect_with_model
from mindssd.data.classes import only_classes
from mindssd.data.dataset import DetectionDataset
from mindssd.errors import DatasetError
from mindssd.evaluation.coco import score
from mindssd.evaluation.curves import score_curve
from mindssd.evaluation.detections import DetectionTable
from mindssd.evaluation.outcomes import Outcomes, outcomes, rows_of_table
from mindssd.evaluation.paired import Differences, differences
from mindssd.evaluation.scores import Evaluation
from mindssd.evaluation.truths import Truths, read_truths
from mindssd.explain.candidates import Candidate, candidates, data_of, shared_classes
from mindssd.explain.compare_log import Curves, read_curves
from mindssd.types import Array

IOU = 0.5
"""An object is found if a detection above the model's threshold overlaps it by so much."""


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
    outcomes'. `lines` say what was left out.
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
            one.path,
            None,
            [*data_of(one, overrides), *overrides],
            "coco",
            console,
            names,
            command="compare",
        )
        for one in found
    ]
    lines = []
    left_out = {n for one in found for n in one.class_names} - set(names)
    if left_out:
        lines.append(f"compared by the {len(names)} classes that all models have: {_some(names)}")
    return compared(found, detected, names, lines, seed)


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
        if not _same(only_classes(each.dataset, names), theirs, base, truths):
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


def _same(theirs: DetectionDataset, places: list[int], base: DetectionDataset, own: Truths) -> bool:
    """Whether the same boxes of the same classes are annotated, whatever the classes' numbers."""
    truths = read_truths(theirs, places)
    if len(truths) != len(own) or not np.array_equal(truths.boxes_xywh, own.boxes_xywh):
        return False
    names, own_names = np.array(theirs.class_names), np.array(base.class_names)
    return np.array_equal(names[truths.class_ids], own_names[own.class_ids])


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


def _some(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
