"""Default boxes for tests, of any place and size."""

import numpy as np

from mindssd.geometry.boxes import cxcywh_to_xyxy
from mindssd.geometry.default_boxes import Cells, DefaultBoxes
from mindssd.types import Array


def default_boxes_at(boxes_cxcywh: Array) -> DefaultBoxes:
    """Boxes (A, 4), as fractions of the image, as one level's default boxes, one a cell."""
    return DefaultBoxes(
        boxes=cxcywh_to_xyxy(boxes_cxcywh).astype(np.float32),
        boxes_cxcywh=boxes_cxcywh.astype(np.float32),
        num_per_cell=(1,),
        cells=(Cells(boxes_cxcywh[:, :2].astype(np.float64), np.ones(2)),),
    )
