"""Successive halving: who goes on, when it ends, and who wins; trainings are numbers here."""

import pytest

from mindssd.config.load import load_config, override, recipe_names
from mindssd.tune.choices import AS_IT_IS, Choice, choices
from mindssd.tune.search import Score, Trial, search, winner

NAMES = ("a", "b", "c", "d", "e")
CHOICES = [AS_IT_IS, *(Choice(name, (f"{name}=1",)) for name in NAMES)]


def trained(aps: dict[str, float], num_folds: int = 3):
    """Search where each choice reaches the same on every fold; also what was trained, in order."""
    order: list[tuple[str, int]] = []

    def train(choice: Choice, fold: int, expected: float | None) -> Score:
        order.append((choice.name, fold))
        return Score(aps.get(choice.name, 0.5), 10.0)

    return search(CHOICES, num_folds, train), order


def test_the_better_half_goes_on_to_the_next_fold_and_the_control_always():
    trials, order = trained({"a": 0.1, "b": 0.9, "c": 0.2, "d": 0.8, "e": 0.7})
    assert order == [
        *((name, 0) for name in (AS_IT_IS.name, *NAMES)),
        *((name, 1) for name in (AS_IT_IS.name, "b", "d", "e")),
        *((name, 2) for name in (AS_IT_IS.name, "b", "d")),
    ]
    assert [len(trial.scores) for trial in trials] == [3, 1, 3, 1, 3, 2]


def test_it_says_how_long_a_training_should_take_a_dearer_one_longer():
    asked: list[float | None] = []

    def train(choice: Choice, fold: int, expected: float | None) -> Score:
        asked.append(expected)
        return Score(0.5, 25.0 if choice.cost > 1 else 10.0)

    search([AS_IT_IS, Choice("dear", cost=1.8)], 2, train)
    assert asked == [None, 18.0, 10.0, 25.0]


def test_the_first_that_there_is_no_time_for_ends_it():
    trials = search(CHOICES, 3, lambda c, f, e: None if c.name == "b" else Score(0.5, 1))
    assert [len(trial.scores) for trial in trials] == [1, 1, 0, 0, 0, 0]


def trial(name: str, *aps: float) -> Trial:
    choice = AS_IT_IS if name == AS_IT_IS.name else Choice(name)
    return Trial(choice, {fold: Score(ap, 1.0) for fold, ap in enumerate(aps)})


@pytest.mark.parametrize(
    ("others", "name"),
    [
        ([trial("a", 0.6, 0.6)], "a"),
        ([trial("a", 0.6, 0.6), trial("b", 0.7, 0.55)], "b"),
        ([trial("a", 0.9)], AS_IT_IS.name),  # on one fold it may be chance
        ([trial("a", 0.9, 0.49)], AS_IT_IS.name),  # not better on every fold
        ([trial("a", 0.515, 0.516)], AS_IT_IS.name),  # not enough
        ([trial("a")], AS_IT_IS.name),
    ],
)
def test_a_choice_wins_by_gaining_on_every_fold(others, name):
    assert winner([trial(AS_IT_IS.name, 0.5, 0.5, 0.5), *others]).choice.name == name


@pytest.mark.parametrize("recipe", recipe_names())
def test_each_choice_changes_the_settings_and_is_taken(recipe):
    config = load_config(recipe)
    found = choices(config)
    assert found[0] == AS_IT_IS
    changed = [override(config, choice.settings) for choice in found[1:]]
    assert len(changed) >= 4 and config not in changed
    assert len({choice.name for choice in found}) == len(found)


@pytest.mark.parametrize(
    ("size", "larger", "cost"),
    [
        (300, (416, 416), 1.92),
        (32, (64, 64), 4.0),
        (33, (64, 64), 3.76),
        ("[160, 224]", (224, 320), 2),
    ],
)
def test_larger_images_are_larger_and_cost_by_their_area(size, larger, cost):
    config = load_config("ssd_mobilenetv2", [f"image_size={size}"])
    (choice,) = [c for c in choices(config) if c.name == "larger images"]
    assert override(config, choice.settings).image_size == larger
    assert choice.cost == pytest.approx(cost, rel=0.01)
