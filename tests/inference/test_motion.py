"""Where a moving box is expected, also where the picture's border cuts it off."""

import numpy as np
import pytest

from mindssd.inference.motion import Boxes, Motion, Way

SIZE = (100, 200)


def boxes(*corners: tuple[float, float, float, float]) -> Boxes:
    return Boxes.on(np.array(corners, np.float32), SIZE)


@pytest.mark.parametrize("step", [0.04, 0.1])
def test_an_even_motion_is_expected_to_go_on_at_any_rate(step: float) -> None:
    motion = Motion(boxes((60, 40, 80, 60)), 0)
    for seconds in np.arange(step, 1.01, step):
        motion.pass_time(step)
        motion.correct(boxes((60 + 30 * seconds, 40, 80 + 30 * seconds, 60)), 0, 1.0)
    motion.pass_time(0.5)
    assert motion.box == pytest.approx([105, 40, 125, 60], abs=1.5)


def test_a_box_cut_off_by_the_border_is_completed() -> None:
    motion = Motion(boxes((30, 40, 70, 80)), 0)
    for x in range(20, -40, -10):
        motion.pass_time(0.1)
        motion.correct(boxes((max(x, 0), 40, x + 40, 80)), 0, 1.0)
    assert motion.box == pytest.approx([-30, 40, 10, 80], abs=4)
    assert motion.share_within(SIZE) == pytest.approx(0.25, abs=0.1)


def test_a_box_that_comes_in_grows_at_its_own_speed() -> None:
    motion = Motion(boxes((0, 40, 10, 80)), 0)
    for x in range(20, 81, 10):
        motion.pass_time(0.1)
        motion.correct(boxes((max(x - 40, 0), 40, x, 80)), 0, 1.0)
    motion.pass_time(0.1)
    assert motion.box == pytest.approx([50, 40, 90, 80], abs=4)


def test_the_nearer_box_costs_less_and_none_costs_nothing() -> None:
    motion = Motion(boxes((60, 40, 80, 60)), 0)
    costs, off = motion.costs(boxes((60, 40, 80, 60), (64, 40, 84, 60)))
    assert costs[0] < costs[1] and off == pytest.approx([0, 0.2], abs=1e-3)
    assert motion.costs(boxes())[0].shape == (0,)


def test_a_way_is_straight_however_its_last_boxes_shrink() -> None:
    way, later = Way(), Way()
    for k in range(10):
        shrunk = 8 if k == 9 else 0
        way.add(k / 10, boxes((20 + 5 * k, 40, 40 + 5 * k - shrunk, 60)), 0)
    later.add(1.4, boxes((90, 40, 110, 60)), 0)
    assert way.off(later) < 0.1 and later.off(way) == np.inf


def test_a_way_follows_what_is_added_behind_or_before_it() -> None:
    way, earlier, later = Way(), Way(), Way()
    later.add(1.0, boxes((60, 40, 80, 60)), 0)
    for k in range(3):
        earlier.add(k / 10, boxes((20, 40, 40, 60)), 0)
        way.add((3 + k) / 10, boxes((60, 40, 80, 60)), 0)
    assert (earlier.off(later), way.off(later)) == pytest.approx((2, 0))
    for k in range(3, 10):
        earlier.add(k / 10, boxes((60, 40, 80, 60)), 0)
    assert earlier.off(later) == pytest.approx(0)
    way.come_after(earlier)
    assert way.off(later) == pytest.approx(0) and len(way._points) == 13
