"""Successive halving: who goes on, when it ends, and who wins; trainings are numbers here."""

import pytest

from mindssd.config.load import load_config, override, recipe_names
from mindssd.tune.choices import AS_IT_IS, Choice, choices
from mindssd.tune.search import Score, Trial, search, winner

NAMES = ("a", "b", "c", "d", "e")
CHOICES = [AS_IT_IS, *(Choice(name, (f"{name}=1",)) for name in NAMES)]


def trained(aps: dict[str, float], num_folds: int = 3, has_time=lambda seconds: True):
    """Search where each choice reaches the same on every fold; also what was trained, in order."""
    order: list[tuple[str, int]] = []

    def train(choice: Choice, fold: int) -> Score:
        order.append((choice.name, fold))
        return Score(aps.get(choice.name, 0.5), 10.0)

    return search(CHOICES, num_folds, train, has_time), order


def test_the_better_half_goes_on_to_the_next_fold_and_the_control_always():
    trials, order = trained({"a": 0.1, "b": 0.9, "c": 0.2, "d": 0.8, "e": 0.7})
    assert order == [
        *((name, 0) for name in (AS_IT_IS.name, *NAMES)),
        *((name, 1) for name in (AS_IT_IS.name, "b", "d", "e")),
        *((name, 2) for name in (AS_IT_IS.name, "b", "d")),
    ]
    assert [len(trial.scores) for trial in trials] == [3, 1, 3, 1, 3, 2]


def test_it_ends_where_another_training_would_take_too_long():
    asked: list[float] = []

    def has_time(seconds: float) -> bool:
        asked.append(seconds)
        return len(asked) < 3

    _, order = trained({}, has_time=has_time)
    assert len(order) == 3  # the first is not asked about
    assert asked == [10.0, 10.0, 10.0]


def test_a_dearer_choice_is_expected_to_take_longer():
    asked: list[float] = []
    dear = [AS_IT_IS, Choice("dear", cost=1.8)]
    search(dear, 2, lambda c, f: Score(0.5, 10.0), lambda s: not asked.append(s))
    assert asked == [18.0, 10.0, 10.0]


def test_a_training_that_is_cut_off_ends_the_search_without_its_score():
    trials = search(
        CHOICES, 3, lambda c, f: None if c.name == "b" else Score(0.5, 1), lambda s: True
    )
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
        ([trial("a", 0.505, 0.506)], AS_IT_IS.name),  # not worth it
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
