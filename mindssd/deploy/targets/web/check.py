"""Whether a page in a browser finds what ONNX Runtime finds."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from mindssd.deploy.manifest import FOR_PEOPLE, Manifest
from mindssd.deploy.targets.web.browser import NotTriedError, Seen, find_browser, look_in_browser
from mindssd.deploy.verify import Difference
from mindssd.errors import MindSSDError
from mindssd.inference.predictor import Predictor
from mindssd.types import Array, Detections

LOWEST_SCORE = 0.05
"""The page's own: what it finds, before its slider filters."""


def verify_page(
    folder: Path,
    manifest: Manifest,
    predictor: Predictor,
    pictures: Sequence[Array],
    say: Callable[[str], None],
) -> None:
    """Compare the page in `folder` with `predictor`, which runs the same file here.

    What the network gives is compared for every box; and the page's detections with those that our
    own post-processing finds in the same outputs, so that no rounding of the network decides.
    MindSSDError where they differ. Where no browser can be had that is said, and nothing compared.
    """
    program = find_browser()
    if program is None:
        say("not verified in a browser: there is no chromium on this machine")
        return
    try:
        runtime, seen = look_in_browser(program, folder, pictures, LOWEST_SCORE)
    except NotTriedError as error:
        say(f"not verified in a browser: {error}")
        return
    difference = compare_page(seen, manifest, predictor, pictures)
    took = median(one.found["milliseconds"] for one in seen)
    say(f"in {Path(program).name} ({runtime}), {took:.0f} ms an image; {difference}")
    if not difference.within_tolerance():
        raise MindSSDError(f"the page does not find what the engine finds: {difference}")


def compare_page(
    seen: Sequence[Seen], manifest: Manifest, predictor: Predictor, pictures: Sequence[Array]
) -> Difference:
    """How far what a page found in `pictures` is from what `predictor` finds."""
    height, width = predictor.image_size
    pixels = np.array([width, height, width, height], np.float32)
    shown = manifest.shown()
    lowest = replace(FOR_PEOPLE, score_threshold=LOWEST_SCORE)
    box = score = 0.0
    num_detections = num_unmatched = 0
    for one, picture in zip(seen, pictures, strict=True):
        boxes, scores = predictor.outputs(picture)
        box = max(box, float(np.abs((one.boxes - boxes) * pixels).max(initial=0)))
        score = max(score, float(np.abs(one.scores - scores).max(initial=0)))
        own = one.found["own"]
        for selection, found in ((lowest, one.found["detections"]), (shown, own)):
            if found is None:  # the model has no thresholds of its own
                continue
            by_us = replace(predictor, postprocess=manifest.postprocess(selection))
            size = (picture.shape[0], picture.shape[1])
            expected = by_us.finish([one.boxes, one.scores], size)
            far, unmatched = _apart(expected, found)
            box = max(box, far)
            num_detections += len(expected)
            num_unmatched += unmatched
    return Difference(len(pictures), box, score, num_detections, num_unmatched)


def _apart(expected: Detections, found: Sequence[dict[str, Any]]) -> tuple[float, int]:
    """The largest distance of corners, one by one in order, and how many are another or missing."""
    far, unmatched = 0.0, abs(len(expected) - len(found))
    for i, one in enumerate(found[: len(expected)]):
        same = one["class_id"] == expected.class_ids[i]
        if not same or abs(one["score"] - expected.scores[i]) > 0:
            unmatched += 1
            continue
        far = max(far, float(np.abs(np.array(one["box"]) - expected.boxes[i]).max()))
    return far, unmatched
