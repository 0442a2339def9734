"""A loss that explodes and stays finite is told from one that only rises and falls."""

from dataclasses import asdict

import pytest

from mindssd.engines.base import StepResult
from mindssd.training.losses import EARLY_STEPS, Losses


def step(loss: float, positives: float = 3.0, finite: bool = True) -> StepResult:
    return StepResult(loss, loss, 0.0, finite, 1.0, positives)


def losses_of(*epochs: list[StepResult]) -> Losses:
    losses = Losses()
    for epoch in epochs:
        for result in epoch:
            losses.add(result)
        losses.end_epoch()
    return losses


def test_an_epochs_mean_is_compared_with_the_least_of_the_first_steps():
    losses = losses_of([step(8), step(4), step(6)], [step(70), step(110)])
    assert (losses.first, losses.last) == (4, 90)
    assert losses.exploded  # 22.5 times
    assert str(losses) == "the loss went from 4 to 90"


@pytest.mark.parametrize(
    "epochs",
    [
        [],
        [[]],
        [[step(4), step(8)], [step(70)]],  # a rise, 17.5 times
        [[step(4)], [step(7.6e9)], [step(5)]],  # and back
        [[step(4), step(float("inf"), finite=False), step(float("nan"), finite=False)]],
        [[step(0.001, positives=0), step(4)], [step(5)]],  # images without objects
        [[step(2000)], [step(3)]],  # MindCV's initial values
    ],
)
def test_what_is_no_explosion(epochs):
    assert not losses_of(*epochs).exploded


def test_steps_after_the_first_ones_are_no_first_steps():
    losses = losses_of([step(5)] * EARLY_STEPS, [step(0.1)] * 9, [step(6)])
    assert losses.first == 5 and not losses.exploded


def test_an_explosion_within_the_first_steps_is_one():
    assert losses_of([step(7.6), step(7.5), step(1650)], [step(7000)] * 3).exploded


def test_losses_go_on_from_plain_values():
    losses = Losses()
    losses.add(step(4))
    losses.add(step(6))
    again = Losses(**asdict(losses))
    again.end_epoch()
    assert (again.first, again.num_first, again.last) == (4, 2, 5)
    assert Losses(**{}) == Losses()
