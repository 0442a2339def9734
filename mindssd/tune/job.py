"""A search in a folder: its trainings, which it resumes, its table, and the winner's training.

tunes/NAME/
  config.yaml         the settings that all choices are changes of
  search.json         the folds, and which images they are of
  CHOICE-foldK/       a run's folder for each training; with what it came to, score.json
  table.json          each choice's scores
  tuned.yaml          the winner's settings, a recipe for `mindssd train --config`
  final-CHOICE/       the winner trained on all training images: a run's folder
"""

import gc
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from rich.console import Console
from rich.table import Table

from mindssd.build.data import SPLIT_FILE
from mindssd.build.folded import AT_ITS_END, Folded, Kind, begin_folds, open_folds
from mindssd.build.run import Datasets, read_parts, train_quietly
from mindssd.config.load import override, to_yaml
from mindssd.config.schema import Config
from mindssd.data.splitting import Split
from mindssd.errors import ConfigError, DivergedError, TrainingError
from mindssd.files import write_file
from mindssd.platform import as_typed
from mindssd.training.run_folder import RunFolder
from mindssd.training.signals import OutOfTime, Stopped
from mindssd.tune.choices import AS_IT_IS, Choice, choices
from mindssd.tune.search import Score, Trial, search, winner

GRACE = 1.1
"""The winner's training is cut off where it takes the budget over by so much."""


@dataclass(frozen=True)
class Tuned:
    """What a search came to."""

    trials: list[Trial]
    winner: Trial
    recipe: Path
    """The winner's settings."""


def _read(config: Config, folder: Path) -> tuple[Datasets, Split | None]:
    # All headers are read: every training image is scored on once.
    return read_parts(config, all_sizes=True, split_file=folder / SPLIT_FILE)


SEARCH = Kind("search", _read, "name=…")


class Job:
    """A search in its folder, which may go on there for so many seconds."""

    def __init__(self, folded: Folded, seconds: float, console: Console) -> None:
        self.folder, self.config = folded.folder, folded.config
        self.data = folded.data[0], folded.data[1]
        self.folded = folded
        self.console = console
        self._end = time.monotonic() + seconds
        self._grace = (GRACE - 1) * seconds
        self._longest = 0.0

    @classmethod
    def resume(cls, folder: Path, seconds: float, console: Console) -> Self:
        """Open a search that was begun; ConfigError where there is none, or its data changed."""
        return cls(open_folds(folder, SEARCH), seconds, console)

    @classmethod
    def begin(
        cls, folder: Path, config: Config, num_folds: int, seconds: float, console: Console
    ) -> Self:
        """Begin a search; ConfigError where there is one already, DatasetError for no such data."""
        if (folder / SEARCH.file).exists():
            raise ConfigError(
                f"{folder} holds a search already; choose another name=…, or go on with it: "
                f"mindssd tune --resume {as_typed(folder)}"
            )
        return cls(begin_folds(folder, SEARCH, config, num_folds), seconds, console)

    def search(self) -> Tuned:
        """Search, and write the table and the recipe; a signal ends it with all saved.

        TrainingError where the recipe as it is has no score yet, or comes to nothing.
        """
        for dataset in self.data:
            self._say(*dataset.report.lines())
        found = choices(self.config)
        self._say(
            f"{len(found)} choices, {len(self.folded.parts)} folds of {len(self.data[0])} images"
        )
        trials = search(found, len(self.folded.parts), self._score)
        if not trials[0].scores:
            raise TrainingError(
                "the time was up before one training had ended: go on with more --minutes: "
                f"mindssd tune --resume {as_typed(self.folder)}"
            )
        best = winner(trials)
        recipe = self.folder / "tuned.yaml"
        write_file(recipe, to_yaml(override(self.config, best.choice.settings)).encode())
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
        _write_json(self.folder / "table.json", rows)
        return Tuned(trials, best, recipe)

    def train_winner(self, best: Trial) -> tuple[Path, dict[str, Any]] | None:
        """Train it on all training images, and score it once on the validation images.

        Returns the run's folder and its evaluation; None where there was no time.
        """
        run = RunFolder(self.folder / f"final-{_as_name(best.choice)}")
        if not run.report_file.is_file():
            self._say(f"{best.choice.name}, on all {len(self.data[0])} training images:")
            config = override(self.config, (*best.choice.settings, AT_ITS_END))
            try:
                self._train(config, run, self.data, self._end + self._grace)
            except OutOfTime:
                return None
        evaluation: dict[str, Any] = json.loads(run.report_file.read_bytes())
        return run.path, evaluation

    def _score(self, choice: Choice, fold: int, expected: float | None) -> Score | None:
        """What a choice comes to on a fold, kept or trained now; None without the time for it."""
        run = RunFolder(self.folder / f"{_as_name(choice)}-fold{fold}")
        score_file = run.path / "score.json"
        if score_file.is_file():
            score = Score(**json.loads(score_file.read_bytes()))
        elif expected is not None and time.monotonic() + self._needed(expected) > self._end:
            return None
        else:
            parts = self.folded.datasets(fold)
            self._say(f"{choice.name}, fold {fold + 1} of {len(self.folded.parts)}:")
            new = self._scored(choice, run, parts)
            if new is None:
                return None
            score = new
            _write_json(score_file, {"ap": score.ap, "seconds": score.seconds})
            shutil.rmtree(run.last_file.parent, ignore_errors=True)  # it needs no resume any more
        self._longest = max(self._longest, score.seconds)
        left = max(0.0, self._end - time.monotonic()) / 60
        self._say(
            f"{choice.name}, fold {fold + 1}: mAP {score.ap:.3f} in {score.seconds:.0f} s; "
            f"{left:.0f} min left"
        )
        return score

    def _scored(self, choice: Choice, run: RunFolder, parts: Datasets) -> Score | None:
        """Train a choice; one that diverges or that the machine cannot do comes to nothing."""
        config = override(self.config, (*choice.settings, AT_ITS_END))
        began = time.monotonic()
        try:
            self._train(config, run, parts, self._end - self._reserve(self._longest))
        except OutOfTime:
            return None
        except (DivergedError, RuntimeError, MemoryError) as error:
            if choice == AS_IT_IS:
                raise
            self._say(f"{choice.name}: counts as 0, for {str(error).splitlines()[0]}")
            return Score(0.0, time.monotonic() - began)
        report = json.loads(run.report_file.read_bytes())
        end = json.loads(run.log_file.read_text(encoding="utf-8").splitlines()[-1])
        return Score(report["AP"], end["elapsed_s"])

    def _train(self, config: Config, run: RunFolder, data: Datasets, deadline: float) -> None:
        try:
            train_quietly(config, run.path, data, deadline)
        except OutOfTime:
            raise
        except Stopped:
            self._say(f"stopped, saved. To go on:  mindssd tune --resume {as_typed(self.folder)}")
            raise
        finally:
            gc.collect()  # the networks, whose parts refer to each other

    def _needed(self, expected: float) -> float:
        """A training's seconds and those of the winner's, which may be this one's choice."""
        return expected + self._reserve(max(self._longest, expected))

    def _reserve(self, longest: float) -> float:
        """The winner's training has the images of all folds."""
        return longest * len(self.folded.parts) / (len(self.folded.parts) - 1)

    def _say(self, *lines: str) -> None:
        for line in lines:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)


def _as_name(choice: Choice) -> str:
    return choice.name.replace(" ", "-")


def _write_json(path: Path, content: list[Any] | dict[str, Any]) -> None:
    write_file(path, json.dumps(content, indent=1).encode())


def table(tuned: Tuned) -> Table:
    """Each choice with its mAP by fold, and how far it is above the settings as they are."""
    control = tuned.trials[0]
    shown = Table("choice", "folds", "mAP", "spread", "gain", "settings", title="mAP on folds")
    for trial in sorted(tuned.trials, key=lambda t: (-len(t.scores), -t.mean if t.scores else 0)):
        aps = [score.ap for score in trial.scores.values()]
        gains = trial.gains(control)
        shown.add_row(
            f"{trial.choice.name}{'  ←' if trial is tuned.winner else ''}",
            str(len(aps)),
            f"{trial.mean:.3f}" if aps else "–",
            f"{min(aps):.3f} to {max(aps):.3f}" if len(aps) > 1 else "",
            f"{np.mean(gains):+.3f}" if gains and trial is not control else "",
            " ".join(trial.choice.settings),
        )
    return shown
