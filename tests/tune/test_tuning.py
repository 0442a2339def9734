"""A search in its folder: it trains, goes on where it was cut off, and ends with a recipe."""

import json

import pytest
import yaml
from rich.console import Console

from mindssd.config.load import load_config
from mindssd.errors import ConfigError, TrainingError
from mindssd.tune import job
from mindssd.tune.choices import AS_IT_IS, Choice


@pytest.fixture
def two_choices(monkeypatch):
    faster = Choice("twice the learning rate", ("schedule.learning_rate=0.1",))
    monkeypatch.setattr(job, "choices", lambda config: [AS_IT_IS, faster])


def begun(quick_config, shapes_dir, folder):
    settings = [f"data_dir={shapes_dir}", "epochs=2", "num_workers=0"]
    job.begin(folder, load_config(str(quick_config), settings), num_folds=2)
    return folder


def lines(console: Console) -> str:
    return console.file.getvalue()


@pytest.fixture
def console():
    import io

    return Console(file=io.StringIO(), width=200)


@pytest.mark.slow
def test_a_search_trains_each_choice_on_each_fold_and_the_winner_on_all_images(
    two_choices, any_engine, quick_config, shapes_dir, tmp_path, console
):
    folder = begun(quick_config, shapes_dir, tmp_path / "search")
    tuned = job.Job(folder, 600, console).run()
    runs = {path.name for path in folder.iterdir() if path.is_dir()}
    choices = ("as-it-is", "twice-the-learning-rate")
    assert runs == {*(f"{name}-fold{fold}" for name in choices for fold in (0, 1)), "final"}
    rows = json.loads((folder / "table.json").read_text())
    assert [len(row["ap_of_folds"]) for row in rows] == [2, 2]
    assert [row["chosen"] for row in rows].count(True) == 1
    assert tuned.metrics is not None and tuned.metrics["AP"] is not None
    # The recipe is one, with the winner's settings.
    rate = load_config(str(tuned.recipe)).schedule.learning_rate
    assert rate == (0.05 if tuned.winner.choice is AS_IT_IS else 0.1)
    console.print(job.table(tuned))
    assert "as it is" in lines(console) and "twice the learning rate" in lines(console)

    before = (folder / "as-it-is-fold0" / "log.jsonl").read_bytes()
    again = job.Job(folder, 600, console).run()
    assert again.metrics == tuned.metrics
    assert (folder / "as-it-is-fold0" / "log.jsonl").read_bytes() == before


@pytest.mark.slow
def test_what_the_time_cuts_off_goes_on_where_it_stood(
    two_choices, any_engine, quick_config, shapes_dir, tmp_path, console
):
    folder = begun(quick_config, shapes_dir, tmp_path / "search")
    with pytest.raises(TrainingError, match="the time was up before one training had ended"):
        job.Job(folder, 0.0, console).run()
    log = folder / "as-it-is-fold0" / "log.jsonl"
    job.Job(folder, 600, console).run()
    events = [json.loads(line) for line in log.read_text().splitlines()]
    starts = [event["step"] for event in events if event["event"] == "start"]
    assert starts == [0, 1]


def test_a_folder_has_one_search(quick_config, shapes_dir, tmp_path):
    folder = begun(quick_config, shapes_dir, tmp_path / "search")
    with pytest.raises(ConfigError, match="holds a search already"):
        begun(quick_config, shapes_dir, folder)
    kept = yaml.safe_load((folder / "config.yaml").read_text())
    assert kept["data_dir"] == str(shapes_dir)


def test_a_folder_without_a_search_is_named(tmp_path, console):
    with pytest.raises(ConfigError, match=r"is no folder of a search: it has no search\.json"):
        job.Job(tmp_path, 60, console)


@pytest.mark.slow
def test_a_choice_that_diverges_counts_as_nothing_and_the_search_goes_on(
    monkeypatch, any_engine, quick_config, shapes_dir, tmp_path, console
):
    wild = Choice("wild", ("schedule.learning_rate=1e30", "max_bad_steps=1"))
    monkeypatch.setattr(job, "choices", lambda config: [AS_IT_IS, wild])
    tuned = job.Job(begun(quick_config, shapes_dir, tmp_path / "search"), 600, console).run()
    assert [score.ap for score in tuned.trials[1].scores.values()] == [0.0, 0.0]
    assert tuned.winner.choice is AS_IT_IS
    assert lines(console).count(": counts as 0") == 2
