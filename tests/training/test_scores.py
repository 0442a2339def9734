"""Which evaluation is the best, when a run ends early, and that a resume remembers both."""

from dataclasses import replace

import pytest

from mindssd.training.checkpoint import read_checkpoint
from mindssd.training.scores import Scores
from mindssd.training.signals import Stopped
from tests.training.one_number import PLAN, STEPS_PER_EPOCH, FakeBatches, Run, without_tensorboard

__all__ = ["without_tensorboard"]


def taken(*aps: float | None, smoothing: int = 1) -> tuple[Scores, list[bool]]:
    scores = Scores()
    return scores, [scores.add(ap, smoothing) for ap in aps]


def test_without_smoothing_the_greatest_ap_is_the_best() -> None:
    scores, best = taken(0.2, 0.4, 0.3, 0.4, 0.5)
    assert best == [True, True, False, False, True]  # as good is not better
    assert (scores.best, scores.since_best) == (0.5, 0)


def test_with_smoothing_a_lucky_ap_is_not() -> None:
    # Means of the last two: 0.25, 0.4, 0.45, 0.4; the first has only itself.
    scores, best = taken(0.1, 0.4, 0.4, 0.5, 0.3, smoothing=2)
    assert best == [True, True, True, True, False]
    assert scores.best == pytest.approx(0.45)
    assert scores.last(2) == pytest.approx(0.4) and scores.last(9) == pytest.approx(0.34)


def test_waiting_counts_from_the_first_that_found_anything() -> None:
    assert taken(0.0, 0.0, 0.0005, 0.0005)[0].since_best == 0
    scores, _ = taken(0.0, 0.0, 0.2, 0.1, 0.2)
    assert scores.since_best == 2
    scores.add(0.3, 1)
    assert scores.since_best == 0


def test_an_undefined_ap_is_kept_where_it_is_the_first_and_is_no_wait() -> None:
    scores, best = taken(None, None, None)
    assert best == [True, False, False]
    assert (scores.best, scores.since_best) == (0.0, 0)


def test_a_repeated_evaluation_takes_the_place_of_the_last() -> None:
    scores, _ = taken(0.2, 0.4, smoothing=2)
    scores.add_again(0.6, 2)
    assert scores.aps == [0.2, 0.6] and scores.best == pytest.approx(0.4)
    empty = Scores(best=0.5)  # of a run of before they were kept
    assert not empty.add_again(0.3, 1) and empty.aps == [0.3] and empty.best == 0.5


LONG = replace(PLAN, epochs=6, patience=2)


def test_a_run_ends_early_says_so_and_is_complete(tmp_path) -> None:
    run = Run(tmp_path, LONG, values=(0.1, 0.4, 0.3, 0.4, 0.9, 0.9))
    outcome = run.run()
    assert len(run.stepper.rates) == 4 * STEPS_PER_EPOCH
    assert outcome.best == 0.4 and outcome.metrics["AP"] == 0.4
    assert [saved for saved, _ in run.evaluations.saved] == [0.1, 0.4]
    (event,) = run.events("stopped_early")
    assert (event["step"], event["best"], event["since_best"]) == (16, 0.4, 2)
    assert run.said.lines[-1] == (
        "ends after epoch 4 of 6: no score of the last 2 evaluations was better than 0.4000 "
        "(evaluation.patience=2)"
    )


def test_a_better_score_in_time_lets_it_go_on_to_its_end(tmp_path) -> None:
    run = Run(tmp_path, LONG, values=(0.1, 0.1, 0.2, 0.1, 0.3, 0.1))
    assert run.run().best == 0.3
    assert len(run.stepper.rates) == 6 * STEPS_PER_EPOCH and run.events("stopped_early") == []


def test_patience_that_runs_out_with_the_last_epoch_is_no_early_end(tmp_path) -> None:
    run = Run(tmp_path, replace(LONG, epochs=3), values=(0.3, 0.2, 0.1))
    run.run()
    assert run.events("stopped_early") == []


def test_without_truths_no_run_ends_early(tmp_path) -> None:
    run = Run(tmp_path, LONG, values=(None,) * 6)
    assert run.run().metrics["AP"] is None
    assert len(run.stepper.rates) == 6 * STEPS_PER_EPOCH


def test_the_best_is_chosen_by_the_mean_and_keeps_its_own_ap(tmp_path) -> None:
    run = Run(
        tmp_path, replace(LONG, patience=None, smoothing=3), values=(0, 0.6, 0, 0.3, 0.5, 0.4)
    )
    outcome = run.run()
    # Means: 0, 0.3, 0.2, 0.3, 0.267, 0.4.
    assert [saved for saved, _ in run.evaluations.saved] == [0, 0.6, 0.4]
    assert outcome.best == pytest.approx(0.4)
    assert "epoch 3: AP 0.0000, AP50 0.0000, mean AP of the last 3: 0.2000" in run.said.lines


def test_the_average_is_what_is_waited_for(tmp_path) -> None:
    run = Run(tmp_path, replace(LONG, ema_decay=0.5), values=(0.4, 0.3, 0.2))
    run.run()
    assert run.evaluations.saved[0][1] == run.evaluations.seen[0]
    assert run.evaluations.seen[-1] == float(run.stepper.average[0]) != float(run.network.w[0])


@pytest.mark.parametrize("stopped_at", range(1, 17))
def test_a_resume_at_any_step_waits_and_smooths_as_if_never_interrupted(
    tmp_path, stopped_at
) -> None:
    values = (0.1, 0.5, 0.3, 0.5, 0.2, 0.1)
    plan = replace(LONG, smoothing=2)  # 0.1, 0.3, 0.4, 0.4, 0.35: ends after the fifth
    whole = Run(tmp_path / "whole", plan, values)
    expected = whole.run()
    assert len(whole.stepper.rates) == 20
    first = Run(tmp_path / "parts", plan, values, stop_after=stopped_at)
    with pytest.raises(Stopped):
        first.run()
    saved = first.evaluations
    second = Run(tmp_path / "parts", plan, values[len(saved.seen) :])
    checkpoint = read_checkpoint(second.folder.last_file)
    second.loop.restore(checkpoint)
    outcome = second.run(FakeBatches(checkpoint.step))
    assert (outcome.best, outcome.metrics) == (expected.best, expected.metrics)
    assert second.network.w.tobytes() == whole.network.w.tobytes()
    assert saved.saved + second.evaluations.saved == whole.evaluations.saved
    ends = [read_checkpoint(run.folder.last_file) for run in (whole, second)]
    assert ends[0].aps == ends[1].aps and ends[0].since_best == ends[1].since_best == 2


def test_a_run_that_ended_early_is_evaluated_when_resumed_and_goes_on_with_more_patience(
    tmp_path,
) -> None:
    Run(tmp_path, LONG, values=(0.3, 0.2, 0.1)).run()
    again = Run(tmp_path, LONG, values=(0.2,))
    again.loop.restore(read_checkpoint(again.folder.last_file))
    assert again.run().best == 0.3 and again.stepper.rates == []
    assert again.loop.scores.aps == [0.3, 0.2, 0.2]
    patient = Run(tmp_path, replace(LONG, patience=3), values=(0.4, 0.1, 0.1))
    checkpoint = read_checkpoint(patient.folder.last_file)
    patient.loop.restore(checkpoint)
    assert patient.run(FakeBatches(checkpoint.step)).best == 0.4
    assert len(patient.stepper.rates) == 3 * STEPS_PER_EPOCH
