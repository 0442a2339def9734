"""A comparison in sentences, and all of it in plain JSON types."""

from dataclasses import asdict
from typing import Any

import numpy as np

from mindssd.evaluation.paired import LEAST_IMAGES
from mindssd.explain.compare import Comparison


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
        if ap.num_images < LEAST_IMAGES:
            end += f" on so few images ({ap.num_images} with objects)"
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
