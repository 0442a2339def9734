"""A search in a folder: its trainings, which it resumes, its table, and the winner's training.

tunes/NAME/
  config.yaml       the settings that all choices are changes of
  search.json       what the folds were dealt by
  CHOICE-foldK/     a run's folder for each training
  tuned.yaml        the winner's settings, a recipe for `mindssd train --config`
  table.json        each choice's scores
  final/            the winner trained on all training images: a run's folder
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from mindssd.build.run import Datasets, read_datasets, train_quietly, with_absolute_paths
from mindssd.config.load import load_config, override, to_yaml
from mindssd.config.schema import Config
from mindssd.data.folds import folds, subset
from mindssd.errors import ConfigError, DivergedError, TrainingError
from mindssd.files import write_file
from mindssd.training.run_folder import RunFolder
from mindssd.training.signals import OutOfTime, Stopped
from mindssd.tune.choices import AS_IT_IS, Choice, choices
from mindssd.tune.search import Score, Trial, search, winner

GRACE = 1.1
"""The last training may take the budget over by so much."""


@dataclass(frozen=True)
class Tuned:
    """What a search came to."""

    trials: list[Trial]
    winner: Trial
    recipe: Path
    """The winner's settings."""
    metrics: dict[str, float | None] | None
    """Of the validation images, by the winner trained on all training images; None without time."""


def begin(folder: Path, config: Config, num_folds: int) -> None:
    """Write down what a search is of; ConfigError where there is one already."""
    if (folder / "search.json").exists():
        raise ConfigError(
            f"{folder} holds a search already; another name=…, or go on with it: "
            f"mindssd tune --resume {folder}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made ({error.strerror})") from error
    write_file(folder / "config.yaml", to_yaml(with_absolute_paths(config)).encode())
    write_file(folder / "search.json", json.dumps({"folds": num_folds}).encode())


class Job:
    """Goes on with the search in a folder for so many seconds."""

    def __init__(self, folder: Path, seconds: float, console: Console) -> None:
        if not (folder / "search.json").is_file():
            raise ConfigError(f"{folder} is no folder of a search: it has no search.json")
        self.folder = folder
        self.console = console
        self.seconds = seconds
        self.config = load_config(str(folder / "config.yaml"))
        self.num_folds: int = json.loads((folder / "search.json").read_bytes())["folds"]
        self._longest = 0.0
        self._started = time.monotonic()

    def run(self) -> Tuned:
        """Search, write the table and the recipe, and train the winner if there is time.

        What a signal stops is saved; the next `run` goes on there.
        """
        self._started = time.monotonic()
        data = read_datasets(self.config)
        for dataset in data:
            self._say(*dataset.report.lines())
        # Validation images have no say: the folds are of the training images.
        self._parts = folds(data[0], self.num_folds, seed=self.config.seed)
        found = choices(self.config)
        self._say(f"{len(found)} choices, {self.num_folds} folds of {len(data[0])} images")
        try:
            trials = search(
                found, self.num_folds, lambda c, fold: self._train(c, fold, data), self._has_time
            )
            if not trials[0].scores:
                raise TrainingError(
                    f"the time was up before one training had ended: more --minutes, or go on: "
                    f"mindssd tune --resume {self.folder}"
                )
            best = winner(trials)
            recipe = self._write(trials, best)
            return Tuned(trials, best, recipe, self._final(best, data))
        except Stopped as stopped:
            if not isinstance(stopped, OutOfTime):
                self._say(f"stopped, saved. To go on:  mindssd tune --resume {self.folder}")
            raise

    def _train(self, choice: Choice, fold: int, data: Datasets) -> Score | None:
        path = self.folder / f"{choice.name.replace(' ', '-')}-fold{fold}"
        kept = _score_of(path)
        if kept is None:
            held = self._parts[fold]
            rest = np.setdiff1d(np.arange(len(data[0])), held)
            parts = subset(data[0], rest), subset(data[0], held)
            self._say(f"{choice.name}, fold {fold + 1} of {self.num_folds}:")
            # Scored at its end alone, so that no epoch is chosen by the fold.
            settings = [*choice.settings, "evaluation.every_epochs=0"]
            began = time.monotonic()
            try:
                train_quietly(override(self.config, settings), path, parts, self._deadline())
            except OutOfTime:
                return None
            except DivergedError as error:
                if choice == AS_IT_IS:
                    raise
                self._say(f"{error}: counts as 0")
                return Score(0.0, time.monotonic() - began)
            kept = _score_of(path)
            assert kept is not None
        self._longest = max(self._longest, kept.seconds)
        self._say(
            f"{choice.name}, fold {fold + 1}: mAP {kept.ap:.3f} in {kept.seconds:.0f} s; "
            f"{max(0.0, self._left()) / 60:.0f} min left"
        )
        return kept

    def _left(self) -> float:
        return self._started + self.seconds - time.monotonic()

    @property
    def _reserve(self) -> float:
        """For the winner's training, which has the images of all folds."""
        return self._longest * self.num_folds / (self.num_folds - 1)

    def _deadline(self) -> float:
        return self._started + self.seconds - self._reserve

    def _has_time(self, seconds: float) -> bool:
        return seconds + self._reserve <= self._left()

    def _write(self, trials: list[Trial], best: Trial) -> Path:
        recipe = self.folder / "tuned.yaml"
        config = override(self.config, best.choice.settings)
        write_file(recipe, to_yaml(config).encode())
        rows = [
            {
                "choice": trial.choice.name,
                "settings": list(trial.choice.settings),
                "ap_of_folds": {fold: score.ap for fold, score in trial.scores.items()},
                "gains": trial.gains(trials[0]),
                "chosen": trial is best,
            }
            for trial in trials
        ]
        write_file(self.folder / "table.json", json.dumps(rows, indent=1).encode())
        return recipe

    def _final(self, best: Trial, data: Datasets) -> dict[str, float | None] | None:
        path = self.folder / "final"
        if not RunFolder(path).report_file.is_file():
            self._say(f"{best.choice.name}, on all {len(data[0])} training images:")
            settings = [*best.choice.settings, "evaluation.every_epochs=0"]
            try:
                deadline = self._started + self.seconds * GRACE
                train_quietly(override(self.config, settings), path, data, deadline)
            except OutOfTime:
                return None
        report = json.loads(RunFolder(path).report_file.read_bytes())
        return {name: report[name] for name in ("AP", "AP50", "AP75")}

    def _say(self, *lines: str) -> None:
        for line in lines:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)


def _score_of(path: Path) -> Score | None:
    """What a training came to that has ended; None where there is none."""
    folder = RunFolder(path)
    if not folder.report_file.is_file():
        return None
    report = json.loads(folder.report_file.read_bytes())
    end = json.loads(folder.log_file.read_text(encoding="utf-8").splitlines()[-1])
    return Score(report["AP"] or 0.0, end["elapsed_s"])


def table(tuned: Tuned) -> Table:
    """Each choice with its mAP by fold, and how far it is above the settings as they are."""
    control = next(trial for trial in tuned.trials if trial.choice == AS_IT_IS)
    shown = Table("choice", "folds", "mAP", "spread", "gain", "settings", title="mAP on folds")
    for trial in sorted(tuned.trials, key=lambda t: (-len(t.scores), -t.mean if t.scores else 0)):
        aps = [score.ap for score in trial.scores.values()]
        gains = trial.gains(control)
        is_control = trial is control
        shown.add_row(
            f"{trial.choice.name}{'  ←' if trial is tuned.winner else ''}",
            str(len(aps)),
            f"{trial.mean:.3f}" if aps else "–",
            f"{min(aps):.3f} to {max(aps):.3f}" if len(aps) > 1 else "",
            f"{np.mean(gains):+.3f}" if gains and not is_control else "",
            " ".join(trial.choice.settings),
        )
    return shown
