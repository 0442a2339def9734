"""A review whose trainings have ended already, with detections that are given."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mindssd.config.load import load_config
from mindssd.evaluation.detections import DetectionTable
from mindssd.review.trainings import begin
from mindssd.training.validation import to_bytes


@pytest.fixture
def end_review(quick_config: Path) -> Callable[[Path, Path], None]:
    """Begin a review of a data set in a folder, and put there what its trainings would leave.

    All labels are found with a score of 0.9, and in the first image a class 0 where no label is.
    """

    def end(data_dir: Path, folder: Path) -> None:
        config = load_config(str(quick_config), [f"data_dir={data_dir}", "num_workers=0"])
        folded = begin(folder, config, 2)
        dataset = folded.data[0]
        for fold, places in enumerate(folded.parts):
            records = [dataset[place] for place in places.tolist()]
            boxes = [record.boxes for record in records]
            classes = [record.labels - 1 for record in records]
            ids = [np.full(len(record.labels), record.image_id) for record in records]
            if 0 in places:
                boxes.append(np.array([[100, 70, 150, 110]]))
                classes.append(np.array([0]))
                ids.append(np.array([dataset[0].image_id]))
            table = DetectionTable(
                image_ids=np.concatenate(ids).astype(np.int64),
                class_ids=np.concatenate(classes).astype(np.int32),
                boxes=np.concatenate(boxes).astype(np.float32),
                scores=np.full(sum(map(len, classes)), 0.9, np.float32),
            )
            run = folder / f"fold{fold + 1}"
            run.mkdir()
            (run / "detections.npz").write_bytes(to_bytes(table))
            (run / "log.jsonl").write_text(json.dumps({"event": "end", "elapsed_s": 60.0}) + "\n")

    return end
