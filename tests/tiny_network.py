"""A whole detector that compiles in seconds, for tests and the processes that they start."""

from mindssd.engines.base import ExtrasNeck, NetworkSpec, PerLevelHead
from mindssd.geometry.default_boxes import PaperDefaultBoxes

TINY = NetworkSpec(
    backbone="mobilenet_v2_035_96",
    out_indices=(2, 4),
    image_size=(32, 32),
    neck=ExtrasNeck(channels=(16,), expand_ratios=(0.5,), expand_first=2),
    head=PerLevelHead(),
    boxes_per_location=PaperDefaultBoxes().boxes_per_location(3),
    num_classes=3,
)
"""Five layers of MobileNetV2, one extra, 3 classes.

On 32 by 32 pixels: levels of 8, 4 and 2 cells a side, 192 + 96 + 24 default boxes.
"""
