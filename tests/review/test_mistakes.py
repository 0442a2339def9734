"""Which labels look wrong: by hand, then on many simulated images with known mistakes."""

from collections import Counter

import numpy as np
import pytest

from mindssd.review.evidence import Labels, Seen, label_evidence, likes_support, unlabelled
from mindssd.review.mistakes import likely_mistakes
from mindssd.review.mixture import kind_probabilities
from tests.simulated_labels import simulate

SIZE = np.array([200, 200])


def seen(labels: list, found: list) -> Seen:
    """Labels as (box, class), detections as (box, class, score)."""
    return Seen(
        np.array([box for box, _ in labels], np.float64).reshape(-1, 4),
        np.array([c for _, c in labels], np.int64),
        np.array([box for box, *_ in found], np.float32).reshape(-1, 4),
        np.array([c for _, c, _ in found], np.int32),
        np.array([s for *_, s in found], np.float32),
        SIZE,
    )


LEFT, RIGHT = (10, 10, 50, 50), (100, 10, 140, 50)
HALF_OFF = (30, 10, 70, 50)  # IoU 1/3 with LEFT


def as_is(one: Seen) -> Labels:
    return Labels(one.boxes, one.classes, np.arange(len(one.boxes)))


def test_a_label_is_supported_by_its_class_on_it_and_told_of_the_best_other_class():
    one = seen([(LEFT, 0), (RIGHT, 1)], [(LEFT, 0, 0.9), (RIGHT, 0, 0.8), (RIGHT, 1, 0.3)])
    evidence = label_evidence(one, as_is(one))
    assert evidence.support == pytest.approx([0.9, 0.3])
    assert evidence.other.tolist() == [-1, 1]


def test_a_detection_that_lies_on_another_label_speaks_for_that_alone():
    both = seen([(LEFT, 0), (HALF_OFF, 0)], [(LEFT, 0, 0.9)])
    assert label_evidence(both, as_is(both)).better.tolist() == [0, -1]
    alone = seen([(HALF_OFF, 0)], [(LEFT, 0, 0.9)])
    assert label_evidence(alone, as_is(alone)).better.tolist() == [0]


def test_a_detection_near_no_label_is_a_candidate_once_and_one_near_a_label_is_none():
    near = (12, 10, 52, 50)
    one = seen([(LEFT, 0)], [(RIGHT, 0, 0.9), (RIGHT, 1, 0.4), (near, 0, 0.8)])
    assert unlabelled(one).rows.tolist() == [0]
    # As if the label were not there: what it kept from being a candidate, and that alone.
    assert unlabelled(one, without=0).rows.tolist() == [2]


def test_how_well_the_like_of_a_label_is_found_leaves_the_label_itself_out():
    boxes = np.array([LEFT, RIGHT, LEFT], np.float64)
    labels = Labels(boxes[:1], np.array([0]), np.array([0]))
    support = np.array([0.1, 0.9, 0.5])
    found = likes_support(boxes, np.array([0, 0, 1]), support, labels)
    assert found == pytest.approx([0.9])
    other = Labels(boxes[:1], np.array([5]), np.array([0]))
    assert likes_support(boxes, np.array([0, 0, 1]), support, other) == pytest.approx([0])


def test_things_like_the_examples_of_a_kind_are_likely_of_it():
    rng = np.random.default_rng(0)
    things = np.concatenate([rng.normal(0, 1, 950), rng.normal(8, 1, 50)])[:, None]
    found = kind_probabilities(things, [rng.normal(8, 1, 400)[:, None], np.zeros((0, 1))])
    assert found[:950, 0].max() < 0.01 < 0.05 < found[950:, 0].min()
    assert 20 < found[950:, 0].sum() < 55  # of 50, rather too few than too many
    assert not found[:, 1].any()  # a kind without examples
    assert kind_probabilities(np.zeros((0, 1)), [np.ones((3, 1))]).shape == (0, 1)


def hits(num_classes: int) -> tuple[float, Counter]:
    images, wrong = simulate(num_classes=num_classes)
    found = likely_mistakes(images)[: len(wrong)]
    planted = Counter((w.image, w.label, w.kind) for w in wrong)
    right = Counter(m.kind for m in found if planted[m.image, m.label, m.kind] > 0)
    return sum(right.values()) / len(found), right


def test_what_is_high_in_the_list_is_a_mistake_of_the_kind_it_is_said_to_be():
    share, right = hits(num_classes=3)
    assert share > 0.85
    assert right["missing"] >= 30 and right["class"] >= 30 and right["box"] >= 12


def test_of_one_class_nothing_is_said_to_be_of_another():
    share, right = hits(num_classes=1)
    assert share > 0.75 and right["class"] == 0 and right["missing"] >= 25


def test_labels_without_a_mistake_give_nearly_no_list():
    images, wrong = simulate(share=0.0)
    assert not wrong
    assert sum(m.probability for m in likely_mistakes(images)) < 5


def test_a_list_is_the_likeliest_first_and_the_same_again():
    images, _ = simulate(num_images=40)
    found = likely_mistakes(images)
    assert found == likely_mistakes(images)
    assert [m.probability for m in found] == sorted((m.probability for m in found), reverse=True)
    assert all(0 <= m.probability <= 1 for m in found)


def test_a_wrong_class_names_the_class_and_box_that_were_found():
    images, wrong = simulate()
    found = {(m.image, m.label): m for m in likely_mistakes(images) if m.kind == "class"}
    named = [found[w.image, w.label] for w in wrong if (w.image, w.label) in found]
    assert named
    for mistake in named:
        assert mistake.found_class != mistake.class_id and mistake.found_box is not None


@pytest.mark.parametrize(
    "images",
    [[], [seen([], [])], [seen([(LEFT, 0)], [])], [seen([], [(LEFT, 0, 0.9)])]],
    ids=["no images", "nothing", "no detections", "no labels"],
)
def test_nothing_to_compare_gives_a_defined_list(images):
    assert all(0 <= m.probability <= 1 for m in likely_mistakes(images))
