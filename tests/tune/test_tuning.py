"""A search in its folder: it trains, goes on where it was cut off, and ends with a recipe."""

import io
import json
import shutil
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from mindssd.config.load import load_config
from mindssd.errors import ConfigError, DatasetError, TrainingError
from mindssd.tune import job
from mindssd.tune.choices import AS_IT_IS, Choice
from mindssd.tune.job import Job

FASTER = Choice("twice the learning rate", ("schedule.learning_rate=0.1",))
WILD = Choice("wild", ("schedule.learning_rate=1e30", "max_bad_steps=1"))


@pytest.fixture
def begin(quick_config, quickest_engine, shapes_dir, tmp_path, monkeypatch):
    """Begin a search of two folds, over the recipe as it is and one other choice."""

    def begun(other: Choice = FASTER, data_dir: Path = shapes_dir, seconds: float = 3600) -> Job:
        monkeypatch.setattr(job, "choices", lambda config: [AS_IT_IS, other])
        settings = [f"data_dir={data_dir}", "epochs=2", "num_workers=0", "name=mine"]
        settings += [f"engine={quickest_engine}"]
        config = load_config(str(quick_config), settings)
        return Job.begin(tmp_path / "search", config, 2, seconds, console())

    return begun


def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def again(search: Job, seconds: float = 3600) -> Job:
    return Job.resume(search.folder, seconds, console())


def keep(search: Job, scores: dict[str, list[float]], seconds: float = 100.0) -> None:
    """Put scores where trainings would have left them."""
    for name, aps in scores.items():
        for fold, ap in enumerate(aps):
            folder = search.folder / f"{name.replace(' ', '-')}-fold{fold}"
            folder.mkdir()
            (folder / "score.json").write_text(json.dumps({"ap": ap, "seconds": seconds}))


def said(search: Job) -> str:
    return search.console.file.getvalue()


@pytest.mark.slow
def test_a_search_trains_each_choice_on_each_fold_and_the_winner_on_all_images(begin):
    search = begin()
    tuned = search.search()
    path, evaluation = search.train_winner(tuned.winner)
    runs = {path.name for path in search.folder.iterdir() if path.is_dir()}
    names = ("as-it-is", "twice-the-learning-rate")
    assert runs == {*(f"{name}-fold{fold}" for name in names for fold in (0, 1)), path.name}
    assert evaluation["AP"] is not None and (path / "best.safetensors").is_file()
    rows = json.loads((search.folder / "table.json").read_text())
    assert [len(row["ap_of_folds"]) for row in rows] == [2, 2]
    assert [row["chosen"] for row in rows].count(True) == 1
    # The recipe is one, with the winner's settings and no name that a second run would meet.
    recipe = load_config(str(tuned.recipe))
    rate = 0.05 if tuned.winner.choice is AS_IT_IS else 0.1
    assert (recipe.schedule.learning_rate, recipe.name) == (rate, None)
    # What is scored needs no resume; another look trains nothing.
    assert not list(search.folder.glob("*-fold*/last"))
    before = (search.folder / "as-it-is-fold0" / "log.jsonl").read_bytes()
    assert again(search).search().trials == tuned.trials
    assert (search.folder / "as-it-is-fold0" / "log.jsonl").read_bytes() == before


@pytest.mark.slow
def test_what_the_time_cuts_off_goes_on_where_it_stood(begin):
    search = begin(seconds=0)
    with pytest.raises(TrainingError, match="the time was up before one training had ended"):
        search.search()
    again(search).search()
    log = (search.folder / "as-it-is-fold0" / "log.jsonl").read_text()
    events = [json.loads(line) for line in log.splitlines()]
    assert [event["step"] for event in events if event["event"] == "start"] == [0, 1]


@pytest.mark.slow
def test_a_choice_that_diverges_counts_as_nothing_and_the_search_goes_on(begin):
    search = begin(WILD)
    tuned = search.search()
    assert [score.ap for score in tuned.trials[1].scores.values()] == [0.0, 0.0]
    assert tuned.winner.choice is AS_IT_IS
    assert said(search).count("wild: counts as 0, for step ") == 2
    once_more = again(search)
    once_more.search()
    assert "counts as 0" not in said(once_more)  # kept, not trained anew


def test_kept_scores_count_however_little_time_there_is(begin):
    search = begin(seconds=0)
    keep(search, {"as it is": [0.5, 0.5], FASTER.name: [0.6, 0.7]})
    tuned = search.search()
    assert tuned.winner.choice is FASTER
    rows = json.loads((search.folder / "table.json").read_text())
    assert rows[1]["gains"] == pytest.approx([0.1, 0.2]) and rows[1]["chosen"]
    shown = console()
    shown.print(job.table(tuned))
    assert "+0.150" in shown.file.getvalue() and "0.600 to 0.700" in shown.file.getvalue()


@pytest.mark.slow
def test_another_winner_is_not_taken_for_the_one_before(begin):
    search = begin(seconds=0)
    keep(search, {"as it is": [0.5, 0.5], FASTER.name: [0.6, 0.7]})
    before = search.folder / "final-as-it-is"
    before.mkdir()
    (before / "evaluation.json").write_text('{"AP": 0.1}')
    tuned = search.search()
    assert search.train_winner(tuned.winner) is None  # there is no time for it


def test_no_training_begins_that_would_leave_no_time_for_the_winners(begin):
    # A training takes 100 s and the winner's, of all folds, 200: together more than there is.
    search = begin(seconds=250)
    keep(search, {"as it is": [0.5]})
    tuned = search.search()
    assert [len(trial.scores) for trial in tuned.trials] == [1, 0]


def test_a_search_of_data_that_changed_is_refused(begin, shapes_dir, tmp_path):
    data_dir = Path(shutil.copytree(shapes_dir, tmp_path / "data"))
    search = begin(data_dir=data_dir)
    path = data_dir / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"].pop()
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="its images or boxes have changed since"):
        again(search)


def test_a_folder_has_one_search(begin, shapes_dir):
    search = begin()
    with pytest.raises(ConfigError, match="holds a search already"):
        begin()
    kept = yaml.safe_load((search.folder / "config.yaml").read_text())
    assert kept["data_dir"] == str(shapes_dir)


def test_what_cannot_be_begun_leaves_the_name_free(begin, shapes_dir, tmp_path):
    with pytest.raises(DatasetError, match="no such folder"):
        begin(data_dir=tmp_path / "absent")
    assert not (tmp_path / "search").exists()
    begin()


def test_a_folder_without_a_search_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"is no folder of a search: it has no search\.json"):
        Job.resume(tmp_path, 60, console())
