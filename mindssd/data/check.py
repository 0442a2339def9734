"""What is wrong with a data set's annotations: found once at loading, counted, and reported.

Nothing here stops a run. A box that cannot be a truth is dropped, one that reaches over its image
is clipped, and the report says how many of each and gives one example.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mindssd.types import Array

ROUNDING_PIXELS = 0.01
"""A box may reach this far over its image before its clipping is worth a report."""


@dataclass(frozen=True)
class Finding:
    """One kind of fault: how often, what was done, and one example."""

    count: int
    what: str
    example: str

    def __str__(self) -> str:
        return f"{self.count} {self.what} (such as {self.example})"


@dataclass(frozen=True)
class CheckReport:
    """What was found in a data set and what became of it."""

    annotation_file: str
    num_images: int
    num_boxes: int
    num_crowds: int
    num_empty_images: int
    findings: tuple[Finding, ...] = ()

    def lines(self) -> list[str]:
        """Say it in a few lines, for printing once."""
        summary = (
            f"{self.annotation_file}: {self.num_images} images, {self.num_boxes} boxes, "
            f"{self.num_crowds} crowds, {self.num_empty_images} images without boxes"
        )
        return [summary, *(f"  {finding}" for finding in self.findings)]


def count_where(faults: Array, what: str, example: Callable[[int], str]) -> list[Finding]:
    """Make a finding of a mask of faults, with the first one as example; none where all is well."""
    count = int(np.count_nonzero(faults))
    return [Finding(count, what, example(int(np.argmax(faults))))] if count else []


def check_boxes(
    boxes: Array, widths: Array, heights: Array, image_names: Callable[[int], str]
) -> tuple[Array, Array, list[Finding]]:
    """Clip boxes to their images, and tell which of them can be truths.

    `boxes` (n, 4) corners in pixels, `widths` and `heights` (n,) of each box's image, infinite
    where not known; `image_names(i)` names box i's image in an example. Returns the clipped boxes
    (n, 4) float32, a mask (n,) of those to keep, and the findings. n = 0 gives no findings.
    """
    finite = np.isfinite(boxes).all(axis=1)
    safe = np.where(finite[:, None], boxes, 0)
    size = safe[:, 2:] - safe[:, :2]
    inverted = finite & (size < 0).any(axis=1)
    without_area = finite & ~inverted & (size == 0).any(axis=1)
    limits = np.stack([widths, heights, widths, heights], axis=1)  # (n, 4)
    clipped = np.clip(safe, 0, limits).astype(np.float32)
    sound = finite & ~inverted & ~without_area
    outside = sound & (clipped[:, 2:] <= clipped[:, :2]).any(axis=1)
    keep = sound & ~outside
    reaching_over = keep & (np.abs(safe - clipped) > ROUNDING_PIXELS).any(axis=1)

    def example(index: int) -> str:
        corners = ", ".join(f"{value:g}" for value in boxes[index])
        return f"({corners}) in {image_names(index)}"

    findings = [
        *count_where(~finite, "boxes that are not finite: dropped", example),
        *count_where(inverted, "inverted boxes: dropped", example),
        *count_where(without_area, "boxes without area: dropped", example),
        *count_where(outside, "boxes wholly outside their image: dropped", example),
        *count_where(reaching_over, "boxes partly outside their image: clipped", example),
    ]
    return clipped, keep, findings
