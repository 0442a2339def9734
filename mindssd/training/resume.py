"""What becomes of a resume when the run's settings, devices or data have changed meanwhile."""

from collections.abc import Iterator
from dataclasses import replace

from mindssd.errors import ConfigError
from mindssd.training.checkpoint import Checkpoint, Origin


def carry_over(checkpoint: Checkpoint, now: Origin, adapt: bool) -> tuple[Checkpoint, list[str]]:
    """The checkpoint as a run of origin `now` goes on from it, and what has changed since.

    Without a change it is the same. With one, only where asked to `adapt`, it stands at the step of
    the new epochs that `moved_step` tells. ConfigError names what has changed where that is not
    asked for, and other classes, which no run can take over.
    """
    before = checkpoint.origin
    changed = list(differences(before, now))
    if not changed:
        return checkpoint, []
    if list(before.class_names) != list(now.class_names):
        raise ConfigError(
            f"since the run's last checkpoint the classes have changed ({changed[0]}); start a new "
            "run from its model: initial_weights=RUN/best.safetensors"
        )
    if not adapt:
        raise ConfigError(
            f"since the run's last checkpoint this has changed: {'; '.join(changed)}. Restore it "
            "to continue exactly, or add --adapt to continue with the new values"
        )
    step = moved_step(checkpoint.step, before, now)
    return replace(checkpoint, step=step, origin=now), changed


def differences(before: Origin, now: Origin) -> Iterator[str]:
    """What has changed, with both values."""
    if list(before.class_names) != list(now.class_names):
        yield f"classes {', '.join(before.class_names)} → {', '.join(now.class_names)}"
    if before.num_images != now.num_images:
        yield f"training images {before.num_images} → {now.num_images}"
    elif before.dataset != now.dataset:
        yield "training images or their boxes, as many as before"
    if before.num_devices != now.num_devices:
        yield f"number of devices {before.num_devices} → {now.num_devices}"
    for key in sorted(before.settings.keys() | now.settings.keys()):
        old, new = before.settings.get(key), now.settings.get(key)
        if old != new:
            yield f"{key} {old} → {new}"


def moved_step(step: int, before: Origin, now: Origin) -> int:
    """The step of `now` by which as many images of its epoch have been taken as of `before`'s.

    Where none ends there it is the one before, so that no image is left out and less than a step's
    come again. Of another number of images the same share counts.
    """
    epoch, step_of_epoch = divmod(step, before.steps_per_epoch)
    taken = step_of_epoch * before.images_per_step * now.num_images // before.num_images
    return epoch * now.steps_per_epoch + taken // now.images_per_step
