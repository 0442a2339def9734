"""Choose a model's score thresholds on validation images, and write them into its file."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from mindssd.build.evaluation import Detected, detect_with_model
from mindssd.deploy.manifest import FOR_PEOPLE
from mindssd.deploy.sessions.opening import is_deployed
from mindssd.errors import ConfigError, MindSSDError, printable
from mindssd.evaluation.detections import detect_images
from mindssd.evaluation.outcomes import Outcomes, outcomes
from mindssd.evaluation.protocol import COCO
from mindssd.evaluation.thresholds import (
    NUM_SPLITS,
    Choice,
    Figures,
    Goal,
    Interval,
    choose,
    figures_of_thresholds,
)
from mindssd.evaluation.truths import read_truths
from mindssd.explain.calibrate import rescored
from mindssd.files import require_writable
from mindssd.types import Array
from mindssd.weights.class_rows import divide_logits
from mindssd.weights.safetensors_file import ModelMetadata, read_model, write_model

SHOWN = replace(
    COCO,
    name="shown",
    selection=replace(FOR_PEOPLE, score_threshold=COCO.selection.score_threshold),
)
"""What people are shown, down to scores that no threshold will be below: a threshold then keeps of
these detections what it keeps in `mindssd predict`."""

IOU = 0.5
"""A detection is right if it overlaps its truth by so much."""

FEW_IMAGES = 100


@dataclass(frozen=True)
class Wish:
    """What thresholds are chosen by."""

    goal: Goal
    words: str
    """As `precision 0.95`."""
    per_class: bool = False


@dataclass(frozen=True, eq=False)
class Chosen:
    """One threshold for all classes or one for each, and what they give."""

    wish: Wish
    class_names: tuple[str, ...]
    num_images: int
    choices: dict[str, Choice]
    """By the class's name; "" where there is one for all."""
    thresholds: dict[str, float]
    """Of each class, those that can be saved: of one without any choice that of all together."""
    together: Figures
    """What all of them give on the images that they were chosen on."""

    @property
    def by(self) -> str:
        """What they were chosen by, in a model's description."""
        return f"{self.wish.words} on {self.num_images} images"

    def require_reached(self) -> None:
        """MindSSDError, before anything is saved, where no threshold meets the goal for all."""
        one = self.choices.get("")
        if one is None or one.threshold is not None or one.figures is None:
            return
        precision, recall = _number(one.figures.precision), _number(one.figures.recall)
        raise MindSSDError(
            f"{self.wish.words} is reached by no threshold; the nearest, {one.nearest:.3f}, has "
            f"precision {precision} and recall {recall}; nothing was saved: ask for less"
        )

    def unreached(self) -> list[str]:
        """A line for each goal that is not met where it was chosen."""
        return [
            f"{_name(name)}: {self.wish.words} is reached by no threshold; the nearest is taken"
            if choice.nearest is not None
            else f"{_name(name)}: no truths or no detections to choose by; taken from all together"
            for name, choice in self.choices.items()
            if choice.threshold is None
        ]

    def as_dict(self) -> dict[str, Any]:
        """In plain JSON types."""
        return {
            "goal": self.wish.words,
            "iou": IOU,
            "num_images": self.num_images,
            "thresholds": self.thresholds,
            "choices": {name or "all": asdict(choice) for name, choice in self.choices.items()},
            "together": asdict(self.together),
        }


def choose_thresholds(found: Outcomes, wish: Wish, seed: int = 0) -> Chosen:
    """Choose on all scored images; MindSSDError without any truth or detection to choose by."""
    names = found.class_names
    one = choose(found, wish.goal, np.random.default_rng(seed), IOU)
    if one.nearest is None:
        what = "detections" if len(found.truths) else "truths"
        raise MindSSDError(f"the validation images have no {what} to choose a threshold by")
    choices = {"": one}
    if wish.per_class:
        choices = {
            name: choose(found, wish.goal, np.random.default_rng(seed), IOU, class_id)
            for class_id, name in enumerate(names)
        }
    nearest = {name: choices.get(name, one).nearest for name in names}
    thresholds = {name: one.nearest if x is None else x for name, x in nearest.items()}
    together, _ = figures_of_thresholds(found, np.array(list(thresholds.values())), IOU)
    return Chosen(wish, names, len(found.image_ids), choices, thresholds, together)


def detect_as_shown(
    path: Path, overrides: Sequence[str], console: Console
) -> tuple[Detected, Outcomes]:
    """Detect in the validation images with a model of any kind, and match."""
    detected = detect_with_model(path, None, overrides, SHOWN, console, command="threshold")
    return detected, outcomes_of(detected)


def with_divided_logits(detected: Detected, found: Outcomes, temperature: float) -> Outcomes:
    """What the model finds once its logits are divided, as saved it will.

    It looks at the images again: which boxes are suppressed, and what several agree on, depends on
    how far scores lie apart. An exported file gives scores alone, into which nothing can be saved;
    there its detections have other scores.
    """
    if is_deployed(detected.path):
        return rescored(found, temperature)
    forward = detected.predictor.forward

    def divided(images: Array) -> tuple[Array, ...]:
        offsets, logits = forward(images)
        return offsets, logits / np.float32(temperature)

    predictor = replace(detected.predictor, forward=divided)
    dataset, indices = detected.dataset, detected.indices
    table = detect_images(predictor, dataset, indices, detected.protocol)
    return outcomes_of(replace(detected, table=table))


def outcomes_of(detected: Detected) -> Outcomes:
    """What became of a model's detections."""
    dataset, indices = detected.dataset, detected.indices
    image_ids = np.array([dataset[index].image_id for index in indices], np.int64)
    truths = read_truths(dataset, indices)
    return outcomes(detected.table, truths, image_ids, dataset.class_names)


def lines(chosen: Chosen) -> list[str]:
    """What to know of the table."""
    said = chosen.unreached()
    right = f"right: IoU of {IOU:g} or more"
    were_tried = any(choice.elsewhere is not None for choice in chosen.choices.values())
    if were_tried:
        right += f"; other images: halved {NUM_SPLITS} times, each half chose for the other"
    said.append(right)
    if not were_tried:
        said.append("so few images cannot tell what to expect on new ones; validate on more")
    elif chosen.num_images < FEW_IMAGES:
        said.append(
            f"chosen on {chosen.num_images} images: on new ones expect the figures on other images"
        )
    return said


def table(chosen: Chosen) -> Table:
    """Three rows for each choice, and one for all classes together where there are several."""
    result = Table(title=f"Thresholds by {chosen.wish.words}", title_justify="left")
    result.add_column("class", overflow="fold")
    for heading in ("score >", "precision", "recall", "F1"):
        result.add_column(heading, justify="right", no_wrap=True)
    for name, choice in chosen.choices.items():
        for row in _rows(printable(_name(name)), choice):
            result.add_row(*row)
        result.add_section()
    if chosen.wish.per_class:
        result.add_row("all classes", "", *_figures(chosen.together))
    return result


def _rows(name: str, choice: Choice) -> list[list[str]]:
    """The threshold with its figures, those on other images, and their intervals."""
    if choice.nearest is None or choice.figures is None:
        return [[name, *"––––"]]
    rows = [[name, f"{choice.nearest:.3f}", *_figures(choice.figures)]]
    there = choice.elsewhere
    if there is not None:
        intervals = (there.precision_interval, there.recall_interval, there.f1_interval)
        rows.append(["  on other images", "", *_figures(there.figures)])
        rows.append(["  95 % of halves", "", *map(_interval, intervals)])
    return rows


def _figures(figures: Figures) -> list[str]:
    return [_number(x) for x in (figures.precision, figures.recall, figures.f1)]


def _interval(interval: Interval) -> str:
    return "–" if interval is None else f"{interval[0]:.3f}–{interval[1]:.3f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _name(name: str) -> str:
    return name or "all classes"


def require_saveable(model: Path, out: Path | None) -> None:
    """ConfigError, before any work, where no thresholds can be written."""
    path = model.expanduser()
    if is_deployed(path):
        raise ConfigError(
            f"{model} is an exported file: save into the model that it was made from, and export it"
            " again"
        )
    if not path.is_file() and out is None:
        raise ConfigError(f"{model} is published, and shared by all: give --out FILE for a copy")
    require_writable(path if out is None else out)


def save(
    source: Path, target: Path, thresholds: dict[str, float], by: str, temperature: float = 1.0
) -> None:
    """Write a model with these thresholds, by its classes' names, whole or not at all.

    `temperature` divides its logits. ConfigError where it has classes without a threshold, as those
    that the validation images do not know: they get the highest.
    """
    parameters, metadata = read_model(source)
    write_model(
        target,
        parameters if temperature == 1 else divide_logits(parameters, temperature),
        with_thresholds(metadata, thresholds, by, temperature),
    )


def with_thresholds(
    metadata: ModelMetadata, thresholds: dict[str, float], by: str, temperature: float = 1.0
) -> ModelMetadata:
    """A description with thresholds; classes that were not looked at get the highest of them."""
    highest = max(thresholds.values())
    return replace(
        metadata,
        thresholds={name: thresholds.get(name, highest) for name in metadata.class_names},
        thresholds_by=by,
        temperature=metadata.temperature * temperature,
    )
