"""What there is to choose from: the settings as they are, and one change of them at a time."""

from dataclasses import dataclass

from mindssd.config.schema import Config

LARGER = 4 / 3
"""Of a larger image's sides; multiples of 32 keep the grids of all levels even."""


@dataclass(frozen=True)
class Choice:
    """A change of the settings, as `key=value`, and about how much longer a training takes."""

    name: str
    settings: tuple[str, ...] = ()
    cost: float = 1.0


AS_IT_IS = Choice("as it is")


def choices(config: Config) -> list[Choice]:
    """The choices for a configuration, `AS_IT_IS` first; none of them changes nothing."""
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
    sides = config.image_size if isinstance(config.image_size, tuple) else (config.image_size,)
    larger = [round(side * LARGER / 32) * 32 for side in sides]
    if max(larger) <= 4096:
        size = str(larger[0]) if len(larger) == 1 else str(larger)
        found.append(Choice("larger images", (f"image_size={size}",), LARGER**2))
    return found
