"""A resume with other settings, devices or data: refused by name, or carried over where asked."""

from dataclasses import replace

import numpy as np
import pytest

from mindssd.engines.base import StepperState
from mindssd.errors import ConfigError
from mindssd.training.checkpoint import Checkpoint, Origin
from mindssd.training.resume import carry_over, differences, moved_step

# 12 images in batches of 4 on one device: three steps an epoch.
BEFORE = Origin({"batch_size": 4, "schedule.learning_rate": 0.05}, ["cat", "dog"], 12, "abc", 1)


def _with(**settings: object) -> Origin:
    return replace(BEFORE, settings={**BEFORE.settings, **settings})


def _checkpoint(step: int) -> Checkpoint:
    parameters = {"w": np.ones(1, np.float32)}
    return Checkpoint(parameters, StepperState(), step, BEFORE, 0.5, 0, 1.0)


def test_an_epoch_is_as_many_steps_as_cover_the_images():
    assert BEFORE.steps_per_epoch == 3
    assert replace(BEFORE, num_devices=2).steps_per_epoch == 2  # 8 a step
    assert replace(BEFORE, num_images=13).steps_per_epoch == 4


@pytest.mark.parametrize(
    ("step", "now", "expected"),
    [
        # Batches of 2, six steps an epoch. Step 4: an epoch and 4 images; 6 + 2.
        (4, _with(batch_size=2), 8),
        # Batches of 8, two steps an epoch. Two steps' 8 images are one step; 4 are none yet.
        (5, _with(batch_size=8), 3),
        (4, _with(batch_size=8), 2),
        # Two devices of 4 are as a batch of 8.
        (5, replace(BEFORE, num_devices=2), 3),
        # Twice the images, six steps an epoch: a third of the epoch is 8 images, two steps.
        (4, replace(BEFORE, num_images=24), 8),
        # Five images, two steps an epoch: a third of them is one image, no step yet.
        (4, replace(BEFORE, num_images=5), 2),
        # An epoch's end stays one, whatever its length.
        (6, _with(batch_size=12), 2),
        (6, replace(BEFORE, num_images=100), 50),
        (0, _with(batch_size=1), 0),
    ],
)
def test_the_step_moves_to_where_as_many_images_have_been_taken(step, now, expected):
    assert moved_step(step, BEFORE, now) == expected


def test_a_moved_step_stays_in_its_epoch():
    """The last step before an epoch's end leaves something of it to do, for any sizes."""
    for images in range(1, 15):
        for batch in range(1, 15):
            now = replace(_with(batch_size=batch), num_images=images)
            assert moved_step(5, BEFORE, now) // now.steps_per_epoch == 1


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (BEFORE, []),
        (replace(BEFORE, class_names=("cat", "dog")), []),  # as JSON gives them back, and as built
        (_with(batch_size=8), ["batch_size 4 → 8"]),
        (replace(BEFORE, num_devices=2), ["number of devices 1 → 2"]),
        (replace(BEFORE, num_images=13, dataset="def"), ["training images 12 → 13"]),
        (replace(BEFORE, dataset="def"), ["training images or their boxes, as many as before"]),
        (replace(BEFORE, class_names=["cat", "cow"]), ["classes cat, dog → cat, cow"]),
        (
            _with(**{"schedule.learning_rate": 0.1, "seed": 1}),
            ["schedule.learning_rate 0.05 → 0.1", "seed None → 1"],
        ),
    ],
)
def test_what_has_changed_is_named_with_both_values(now, expected):
    assert list(differences(BEFORE, now)) == expected


def test_without_a_change_the_checkpoint_is_the_same():
    checkpoint = _checkpoint(4)
    assert carry_over(checkpoint, BEFORE, adapt=False) == (checkpoint, [])
    assert carry_over(checkpoint, BEFORE, adapt=True) == (checkpoint, [])


def test_a_change_is_refused_unless_asked_for():
    now = replace(_with(batch_size=2), num_devices=2)
    with pytest.raises(ConfigError) as caught:
        carry_over(_checkpoint(4), now, adapt=False)
    message = str(caught.value)
    assert "number of devices 1 → 2; batch_size 4 → 2" in message and "--adapt" in message


def test_what_is_asked_for_is_carried_over_and_told():
    now = _with(batch_size=2)
    checkpoint, changed = carry_over(_checkpoint(4), now, adapt=True)
    assert changed == ["batch_size 4 → 2"]
    assert (checkpoint.step, checkpoint.origin, checkpoint.best) == (8, now, 0.5)
    assert checkpoint.parameters["w"] == 1


def test_other_classes_are_never_carried_over():
    now = replace(BEFORE, class_names=["cat"])
    for adapt in (False, True):
        with pytest.raises(ConfigError, match=r"classes cat, dog → cat.*initial_weights="):
            carry_over(_checkpoint(4), now, adapt)
