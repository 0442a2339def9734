"""The report of an evaluation, written into a folder."""

import json
from pathlib import Path

from mindssd.build.evaluation import Detected
from mindssd.explain.folder import DETECTIONS, FIGURES, OBJECTS, PAGE
from mindssd.explain.images import Progress
from mindssd.explain.measured import Measured, measure
from mindssd.explain.page import page
from mindssd.explain.tables import detections_csv, objects_csv
from mindssd.explain.tree import tree
from mindssd.files import write_file


def write_report(detected: Detected, folder: Path, progress: Progress | None = None) -> Measured:
    """Measure all of what a model found, and write it into a folder that was claimed.

    MindSSDError where that fails.
    """
    measured = measure(detected, progress)
    figures = json.dumps(tree(measured), ensure_ascii=False, allow_nan=False)
    contents = {
        FIGURES: figures + "\n",
        OBJECTS: objects_csv(measured),
        DETECTIONS: detections_csv(measured),
        PAGE: page(measured),
    }
    for name, content in contents.items():
        write_file(folder / name, content.encode("utf-8", "replace"))
    return measured
