"""What there is to choose from: the settings as they are, and one change of them at a time."""

import math
from dataclasses import dataclass

from mindssd.build.network import image_size
from mindssd.config.schema import Config

LARGER = 4 / 3
"""A larger image's sides are so many times as long, rounded up to multiples of 32."""

LARGEST_SIDE = 4096


@dataclass(frozen=True)
class Choice:
    """A change of the settings, as `key=value`, and about how much longer a training takes."""

    name: str
    settings: tuple[str, ...] = ()
    cost: float = 1.0


AS_IT_IS = Choice("as it is")


def choices(config: Config) -> list[Choice]:
    """The choices for a configuration, `AS_IT_IS` first; every other one changes something."""
    rate, frozen = config.schedule.learning_rate, config.backbone.frozen_layers
    found = [
        AS_IT_IS,
        Choice("twice the learning rate", (f"schedule.learning_rate={2 * rate:g}",)),
        Choice("half the learning rate", (f"schedule.learning_rate={rate / 2:g}",)),
    ]
    if frozen >= 2:
        found.append(
            Choice("half the layers frozen", (f"backbone.frozen_layers={frozen // 2}",), 1.2)
        )
    if config.augment.crop_probability > 0:
        found.append(Choice("no crops", ("augment.crop_probability=0",)))
    if config.augment.scale_jitter_probability == 0:
        jitter = ("augment.scale_jitter_probability=0.5", "augment.scale_jitter=[0.5, 1.5]")
        found.append(Choice("larger and smaller", jitter))
    if config.augment.rotate_probability == 0 == config.augment.vertical_flip_probability:
        turned = ("augment.rotate_probability=0.5", "augment.vertical_flip_probability=0.5")
        found.append(Choice("turned and upside down", turned))
    height, width = image_size(config)
    larger = [math.ceil(side * LARGER / 32) * 32 for side in (height, width)]
    if max(larger) <= LARGEST_SIDE:
        cost = larger[0] * larger[1] / (height * width)
        found.append(Choice("larger images", (f"image_size={larger}",), cost))
    return found
