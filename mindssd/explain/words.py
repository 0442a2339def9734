"""What to do first, in sentences that follow from the figures by stated rules.

Each kind of error has a rule. Those of the errors that cost the most AP are told, and at last how
far the figures can be trusted, if that is not far.
"""

from collections.abc import Callable
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
class Rule:
    """What is said of a kind of error: its name in words, and what to do about it."""

    error: str
    way_out: Callable[[Measured], str]


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
    costs = {kind: measured.errors.losses[kind] or 0.0 for kind in RULES}
    told = [
        f"{RULES[kind].error} cost {costs[kind]:.3f} AP: {RULES[kind].way_out(measured)}"
        for kind in sorted(RULES, key=lambda kind: -costs[kind])
        if costs[kind] >= LEAST
    ]
    if not told:
        told = [f"No kind of error stands out: each costs less than {LEAST:g} AP at IoU 0.50."]
    uncertain = of_few_images(measured)
    return [*told[: SENTENCES - len(uncertain)], *uncertain]


def of_classes(measured: Measured) -> str:
    """Objects found in their place, of the wrong class."""
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
    return (
        f"{which}. Check the labels of both classes, and add pictures in which they are hard to "
        "tell apart."
    )


def of_places(measured: Measured) -> str:
    """Objects found, with a box that fits badly."""
    return (
        "see whether the annotated boxes are tight and all drawn alike, then train with a larger "
        "image_size."
    )


def of_both(measured: Measured) -> str:
    """Near an object, of the wrong class and with a bad box."""
    return "more pictures of the classes that are confused, and a longer training, help with both."


def of_duplicates(measured: Measured) -> str:
    """Objects found more than once."""
    iou = measured.detected.protocol.selection.iou_threshold
    return (
        f"NMS at a lower IoU than {iou:g} would drop more of them; `mindssd predict` drops those "
        "that overlap by 0.5."
    )


def of_background(measured: Measured) -> str:
    """Detections where nothing is annotated."""
    shown = (
        "keep to the thresholds that the model has saved, as `mindssd predict` does."
        if measured.counted.are_saved
        else f"show only what scores above {measured.counted.one:.2f} (`mindssd predict --score`)."
    )
    return (
        "look at the most confident ones, which may be objects that nobody labelled; add pictures "
        f"without objects; and {shown}"
    )


def of_missed(measured: Measured) -> str:
    """Objects that nothing finds, by whether a default box could have reached them."""
    missed = measured.errors.missed
    known = missed & ~np.isnan(measured.best_iou)
    num_unreachable = int((known & measured.unreachable).sum())
    if known.any() and num_unreachable / known.sum() >= MANY_UNREACHABLE:
        return (
            f"{num_unreachable} of {known.sum()} fit no default box: `mindssd inspect` says which "
            "settings reach them, such as a larger image_size; `mindssd predict --tile` looks for "
            "small objects in large images."
        )
    classes = measured.outcomes.truths.class_ids[missed]
    most = np.bincount(classes, minlength=len(measured.class_names))
    reached = "Default boxes reach most of them: add" if known.any() else "Add"
    return (
        f"most of all {measured.class_names[int(most.argmax())]} ({most.max()} of "
        f"{missed.sum()}). {reached} pictures of such objects, and train longer."
    )


def of_few_images(measured: Measured) -> list[str]:
    """What is said where images are so few that mAP is known only roughly, or nothing."""
    ap = measured.intervals.ap
    num_images = len(measured.outcomes.image_ids)
    if num_images == 1:
        return ["One image says next to nothing of others: validate on a hundred or more."]
    if ap.value is None or ap.low is None or ap.high is None:
        return []
    if max(ap.value - ap.low, ap.high - ap.value) <= WIDE:
        return []
    return [
        f"{num_images} validation images leave mAP between {ap.low:.3f} and {ap.high:.3f}: "
        "a difference between two models that is smaller may be chance. Label more."
    ]


RULES = {
    "Cls": Rule("Wrong classes", of_classes),
    "Loc": Rule("Badly placed boxes", of_places),
    "Both": Rule("Detections of the wrong class in the wrong place", of_both),
    "Dupe": Rule("Objects found twice", of_duplicates),
    "Bkg": Rule("Detections on nothing", of_background),
    "Miss": Rule("Missed objects", of_missed),
}
"""By the kind's name in TIDE (arXiv:2008.08115)."""
