"""What to do first, in sentences that follow from the figures by stated rules.

Each rule gives a sentence with its weight, the AP that is at stake; the heaviest are told, and at
last how far the figures can be trusted, if that is not far.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mindssd.explain.measured import Measured

SENTENCES = 3

LEAST = 0.005
"""What costs less AP is not told."""

MANY_UNREACHABLE = 0.25
"""From such a share of the missed truths on, the default boxes are what is wrong with them."""

WIDE = 0.05
"""An interval of mAP that reaches further to either side is told."""


@dataclass(frozen=True)
class Sentence:
    """Something to do, and the AP at stake."""

    weight: float
    words: str


def sentences(measured: Measured) -> list[str]:
    """At most SENTENCES, the most pressing first; never none."""
    result = measured.outcomes
    if not int(result.num_truths.sum()):
        return ["There are no truths to score against: annotate the validation images."]
    if not len(result.table):
        return [
            "The model detects nothing at all: see whether its training went on long enough "
            "(its log, `mAP` of the last epochs), and whether these images are like its own."
        ]
    losses = [s for rule in RULES for s in rule(measured) if s.weight >= LEAST]
    losses.sort(key=lambda sentence: -sentence.weight)
    told = [sentence.words for sentence in losses]
    if not told:
        told = [f"No kind of error stands out: each costs less than {LEAST:g} AP at IoU 0.50."]
    uncertain = [sentence.words for sentence in of_few_images(measured)]
    return [*told[: SENTENCES - len(uncertain)], *uncertain]


def loss(measured: Measured, kind: str) -> float:
    """What a kind of error costs, in AP at IoU 0.50; 0 where it is not defined."""
    return measured.errors.losses[kind] or 0.0


def of_classes(measured: Measured) -> Iterator[Sentence]:
    """Cls: objects found in their place, of the wrong class."""
    counts = measured.confusion.counts[:-1, :-1].copy()
    np.fill_diagonal(counts, 0)
    names = measured.class_names
    which = "the confusion matrix says which"
    if counts.any():
        truth, taken = divmod(int(counts.argmax()), len(names))
        often = int(counts.max())
        which = f"{names[truth]} is detected as {names[taken]} once, and no pair more often"
        if often > 1:
            which = f"most often, {often:,} times, {names[truth]} is detected as {names[taken]}"
    cost = loss(measured, "Cls")
    yield Sentence(
        cost,
        f"Wrong classes cost {cost:.3f} AP: {which}. Check the labels of both classes, and add "
        "pictures in which they are hard to tell apart.",
    )


def of_places(measured: Measured) -> Iterator[Sentence]:
    """Loc: objects found, with a box that fits badly."""
    cost = loss(measured, "Loc")
    yield Sentence(
        cost,
        f"Badly placed boxes cost {cost:.3f} AP: see whether the annotated boxes are tight and all "
        "drawn alike, then train with a larger image_size.",
    )


def of_both(measured: Measured) -> Iterator[Sentence]:
    """Both: near an object, of the wrong class and with a bad box."""
    cost = loss(measured, "Both")
    yield Sentence(
        cost,
        f"Detections of the wrong class in the wrong place cost {cost:.3f} AP: more pictures of "
        "the classes that are confused, and a longer training, help with both.",
    )


def of_duplicates(measured: Measured) -> Iterator[Sentence]:
    """Dupe: objects found more than once."""
    cost = loss(measured, "Dupe")
    iou = measured.detected.protocol.selection.iou_threshold
    yield Sentence(
        cost,
        f"Objects found twice cost {cost:.3f} AP: NMS at a lower IoU than {iou:g} would drop more "
        "of them; `mindssd predict` drops those that overlap by 0.5.",
    )


def of_background(measured: Measured) -> Iterator[Sentence]:
    """Bkg: detections where nothing is annotated."""
    cost = loss(measured, "Bkg")
    shown = (
        "keep to the thresholds that the model has saved, as `mindssd predict` does."
        if measured.counted.are_saved
        else f"show only what scores above {measured.counted.one:.2f} (`mindssd predict --score`)."
    )
    yield Sentence(
        cost,
        f"Detections on nothing cost {cost:.3f} AP: look at the most confident ones, which may be "
        f"objects that nobody labelled; add pictures without objects; and {shown}",
    )


def of_missed(measured: Measured) -> Iterator[Sentence]:
    """Miss: objects that nothing finds, by whether a default box could have reached them."""
    cost = loss(measured, "Miss")
    missed = measured.errors.missed
    known = missed & ~np.isnan(measured.best_iou)
    num_unreachable = int((known & measured.unreachable).sum())
    if known.any() and num_unreachable / known.sum() >= MANY_UNREACHABLE:
        way_out = (
            f"{num_unreachable} of {known.sum()} fit no default box: `mindssd inspect` says which "
            "settings reach them, such as a larger image_size; `mindssd predict --tile` looks for "
            "small objects in large images."
        )
    else:
        classes = measured.outcomes.truths.class_ids[missed]
        most = np.bincount(classes, minlength=len(measured.class_names))
        reached = "Default boxes reach most of them: add" if known.any() else "Add"
        way_out = (
            f"most of all {measured.class_names[int(most.argmax())]} ({most.max()} of "
            f"{missed.sum()}). {reached} pictures of such objects, and train longer."
        )
    yield Sentence(cost, f"Missed objects cost {cost:.3f} AP: {way_out}")


def of_few_images(measured: Measured) -> Iterator[Sentence]:
    """So few images that mAP is known only roughly; no loss, and so told last."""
    ap = measured.intervals.ap
    num_images = len(measured.outcomes.image_ids)
    if num_images == 1:
        words = "One image says next to nothing of others: validate on a hundred or more."
        yield Sentence(1.0, words)
    elif ap.value is not None and ap.low is not None and ap.high is not None:
        reach = max(ap.value - ap.low, ap.high - ap.value)
        if reach > WIDE:
            yield Sentence(
                reach,
                f"{num_images} validation images leave mAP between {ap.low:.3f} and {ap.high:.3f}: "
                "a difference between two models that is smaller may be chance. Label more.",
            )


RULES = (
    of_classes,
    of_places,
    of_both,
    of_duplicates,
    of_background,
    of_missed,
)
