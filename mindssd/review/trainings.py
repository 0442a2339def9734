"""Trainings on folds, which leave detections of every image by a model that has not seen it.

OUT/
  config.yaml            the settings
  review.json            the folds, and which images they are of
  foldK/                 a run's folder for each training, and then detections.npz
  detections.json        those of all images, as COCO writes results
  evaluation.json        the mAP of each fold, and of all
"""

import gc
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console

from mindssd.build.data import find_layout, read_part
from mindssd.build.folded import AT_ITS_END, Folded, Kind, begin_folds, open_folds
from mindssd.build.model import load_model
from mindssd.build.predictor import build_predictor
from mindssd.build.run import train_quietly, with_absolute_paths
from mindssd.config.load import override, to_yaml
from mindssd.config.schema import Config
from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.parsed import assemble
from mindssd.data.splits import require_boxes
from mindssd.errors import ConfigError
from mindssd.evaluation.coco import score
from mindssd.evaluation.coco_results import detections_to_coco
from mindssd.evaluation.detections import DetectionTable, detect_images
from mindssd.evaluation.protocol import COCO
from mindssd.files import write_file
from mindssd.platform import as_typed
from mindssd.training.run_folder import RunFolder
from mindssd.training.signals import OutOfTime, Stopped
from mindssd.training.validation import from_bytes, to_bytes
from mindssd.types import Detections

Say = Callable[..., None]

STEPS_TIMED = 10
SECONDS_TIMED = 8.0
"""The time that all will take is said after so many steps and so many seconds of the first."""


def _read(config: Config, folder: Path) -> tuple[Sequence[DetectionDataset], None]:
    """The training images; of a data set without a validation part all of them."""
    layout = find_layout(config)
    if layout.is_unsplit:
        dataset = assemble(layout.parts[layout.training or ""]())
    else:
        # Which images stay together matters to folds too, whatever parts there are.
        ungrouped = msgspec.structs.replace(config, group_by=None)
        dataset = read_part(ungrouped, layout, "train", all_sizes=True)
    require_boxes(dataset)
    return [dataset], None


REVIEW = Kind("review", _read, "another --out")


def begin(folder: Path, config: Config, num_folds: int) -> Folded:
    """Begin a review in `folder`, or go on with the one there, if it is of the same settings.

    ConfigError where the folder holds something else, DatasetError for data that cannot be dealt.
    """
    if (folder / REVIEW.file).is_file():
        begun = open_folds(folder, REVIEW)
        same = to_yaml(begun.config) == to_yaml(_named_nothing(with_absolute_paths(config)))
        if not same or len(begun.parts) != num_folds:
            raise ConfigError(
                f"{folder} holds a review with other settings; choose another --out, or go on with "
                f"it: mindssd review --resume {as_typed(folder)}"
            )
        return begun
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"--out {folder}: is there already, and is no review; name another")
    return begin_folds(folder, REVIEW, config, num_folds)


def resume(folder: Path) -> Folded:
    """Open a review that was begun; ConfigError where there is none, or its data changed."""
    return open_folds(folder, REVIEW)


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """What models found in the images that they were not trained on.

    `seconds` is how long the trainings took; `aps` has each fold's mAP, None without truths.
    """

    table: DetectionTable
    aps: tuple[float | None, ...]
    ap: float | None
    seconds: float

    @property
    def mean_ap(self) -> float | None:
        known = [ap for ap in self.aps if ap is not None]
        return float(np.mean(known)) if known else None

    def words(self) -> str:
        """One line for people."""
        known = [ap for ap in self.aps if ap is not None]
        if not known:
            return "mAP undefined without truths"
        spread = f"; {min(known):.3f} to {max(known):.3f}" if len(known) > 1 else ""
        deviation = f" ± {np.std(known, ddof=1):.3f}" if len(known) > 1 else ""
        return (
            f"cross-validated mAP {np.mean(known):.3f}{deviation} (mean and standard deviation of "
            f"{len(known)} folds{spread})"
        )


def out_of_fold(folded: Folded, console: Console, seconds: float | None = None) -> OutOfFold:
    """Train on the folds as far as that is to be done, and detect in what each left out.

    A signal, or the end of `seconds`, ends it with all saved: Stopped and OutOfTime.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    clock = _Clock(folded, console)
    done = [
        _detections(folded, fold, console, clock, deadline) for fold in range(len(folded.parts))
    ]
    dataset = folded.data[0]
    tables = [from_bytes(content) for content, _ in done]
    table = DetectionTable.merge(tables)
    aps = tuple(
        score(found, dataset, places.tolist()).ap
        for found, places in zip(tables, folded.parts, strict=True)
    )
    pooled = score(table, dataset, range(len(dataset))).ap
    result = OutOfFold(table, aps, pooled, sum(took for _, took in done))
    _write_json(folded.folder / "detections.json", as_coco_results(table, dataset))
    figures = {"AP_of_folds": aps, "AP_mean": result.mean_ap, "AP_pooled": pooled}
    _write_json(folded.folder / "evaluation.json", figures)
    return result


def kept_detections(folded: Folded) -> DetectionTable | None:
    """What a review that is at its end has found; None where it is not."""
    files = [
        folded.folder / f"fold{fold + 1}" / "detections.npz" for fold in range(len(folded.parts))
    ]
    if not all(file.is_file() for file in files):
        return None
    return DetectionTable.merge([from_bytes(file.read_bytes()) for file in files])


def _detections(
    folded: Folded, fold: int, console: Console, clock: "_Clock", deadline: float | None
) -> tuple[bytes, float]:
    """A fold's detections, kept or made now, and the seconds that its training took."""
    run = RunFolder(folded.folder / f"fold{fold + 1}")
    file, config = run.path / "detections.npz", override(folded.config, (AT_ITS_END,))
    if not file.is_file():
        train, held = folded.datasets(fold)
        if not run.report_file.is_file():
            _say(
                console,
                f"fold {fold + 1} of {len(folded.parts)}: trains on {len(train)} images, "
                f"{len(held)} are left out",
            )
            try:
                watch = clock.of_fold(fold)
                train_quietly(config, run.path, (train, held), deadline, watch)
            except OutOfTime:
                raise
            except Stopped:
                words = f"mindssd review --resume {as_typed(folded.folder)}"
                _say(console, f"stopped, saved. To go on:  {words}")
                raise
            finally:
                gc.collect()  # the networks, whose parts refer to each other
        write_file(file, to_bytes(_detect(config, run, held)))
        shutil.rmtree(run.last_file.parent, ignore_errors=True)  # it needs no resume any more
        clock.ended(fold)
    last = json.loads(run.log_file.read_text(encoding="utf-8").splitlines()[-1])
    return file.read_bytes(), float(last.get("elapsed_s", 0.0))


def _detect(config: Config, run: RunFolder, held: DetectionDataset) -> DetectionTable:
    model = load_model(run.best_file, device=config.device, engine=config.engine)
    predictor = build_predictor(
        model.config, model.network, model.class_names, COCO.selection, config.evaluation.batch_size
    )
    return detect_images(predictor, held, range(len(held)))


class _Clock:
    """Says how long all will take, once some steps tell, and after each fold what is left."""

    def __init__(self, folded: Folded, console: Console) -> None:
        self._num_folds = len(folded.parts)
        self._console = console
        self._first: tuple[float, int] | None = None
        self._said = False
        self._began = time.monotonic()

    def of_fold(self, fold: int) -> Callable[[int, int], str | None]:
        self._first = None
        self._began = time.monotonic()

        def watch(done: int, total: int) -> str | None:
            now = time.monotonic()
            if self._first is None:
                self._first = now, done
            began, first = self._first
            if self._said or done - first < STEPS_TIMED or now - began < SECONDS_TIMED:
                return None
            self._said = True
            rate = (now - began) / (done - first)
            left = rate * (total - done + (self._num_folds - fold - 1) * total)
            return (
                f"about {_minutes(left)} for all {self._num_folds} folds; Ctrl-C stops it, and the "
                "same command goes on"
            )

        return watch

    def ended(self, fold: int) -> None:
        left = self._num_folds - fold - 1
        if left:
            took = time.monotonic() - self._began
            words = f"fold {fold + 1} of {self._num_folds} has ended"
            _say(self._console, f"{words}; about {_minutes(left * took)} left")


def _minutes(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def as_coco_results(table: DetectionTable, dataset: DetectionDataset) -> list[dict[str, Any]]:
    """All detections as COCO writes results, images in the data set's order."""
    order = np.argsort(table.image_ids, kind="stable")
    ids = table.image_ids[order]
    results: list[dict[str, Any]] = []
    for image_id in dataset.image_ids.tolist():
        rows = order[slice(*np.searchsorted(ids, [image_id, image_id + 1]))]
        found = Detections(
            boxes=table.boxes[rows],
            scores=table.scores[rows],
            class_ids=table.class_ids[rows],
            class_names=dataset.class_names,
        )
        results += detections_to_coco(image_id, found, dataset.category_ids)
    return results


def _named_nothing(config: Config) -> Config:
    return msgspec.structs.replace(config, name=None)


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _write_json(path: Path, content: object) -> None:
    write_file(path, json.dumps(content, indent=1).encode())
