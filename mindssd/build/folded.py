"""Trainings on folds of a data set's training images, kept in a folder.

What a search of settings and a review of labels have in common:

  config.yaml   the settings, as they were asked for
  split.json    how a data set without a validation part was split
  KIND.json     which images the folds are of: `search.json`, `review.json`
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from mindssd.build.data import SPLIT_FILE
from mindssd.build.run import Datasets, with_absolute_paths
from mindssd.config.load import load_config, to_yaml
from mindssd.config.schema import Config
from mindssd.data.dataset import DetectionDataset
from mindssd.data.folds import folds, subset
from mindssd.data.splitting import Split, alike_groups
from mindssd.errors import ConfigError
from mindssd.files import write_file
from mindssd.types import Array

AT_ITS_END = "evaluation.every_epochs=0"
"""No epoch is chosen by the images that a training is scored on."""

Read = Callable[[Config, Path], tuple[Sequence[DetectionDataset], Split | None]]
"""Reads data sets, the images that are dealt first, and how they were split, if they were."""


@dataclass(frozen=True)
class Kind:
    """What a folder is of, such as a search, and how its data are read."""

    name: str
    read: Read
    elsewhere: str
    """How another one is begun: `name=…`."""

    @property
    def file(self) -> str:
        return f"{self.name}.json"


@dataclass(frozen=True, eq=False)
class Folded:
    """Settings, data and folds; `parts` gives each fold's places among the training images."""

    folder: Path
    config: Config
    data: Sequence[DetectionDataset]
    parts: list[Array]

    def datasets(self, fold: int) -> Datasets:
        """All training images but a fold's, to train on, and that fold's."""
        held = self.parts[fold]
        rest = np.setdiff1d(np.arange(len(self.data[0])), held)
        return subset(self.data[0], rest), subset(self.data[0], held)


def begin_folds(folder: Path, kind: Kind, config: Config, num_folds: int) -> Folded:
    """Read the data, deal it, and write down what a later call goes on with.

    Images that are nearly the same, or alike by `group_by`, are of one fold: a model that has seen
    an image's twin has seen it. DatasetError for data that cannot be dealt, before anything is
    written.
    """
    data, split = kind.read(config, folder)
    groups = alike_groups(data[0], config.group_by)
    parts = folds(data[0], num_folds, seed=config.seed, groups=groups)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made ({error.strerror})") from error
    config = msgspec.structs.replace(with_absolute_paths(config), name=None)
    write_file(folder / "config.yaml", to_yaml(config).encode())
    if split is not None:
        write_file(folder / SPLIT_FILE, split.to_json())
    fold_of = np.zeros(len(data[0]), np.int64)
    for fold, places in enumerate(parts):
        fold_of[places] = fold
    kept = {"folds": len(parts), "fold_of": fold_of.tolist(), "data": _fingerprints(data)}
    write_file(folder / kind.file, json.dumps(kept).encode())
    return Folded(folder, load_config(str(folder / "config.yaml")), data, parts)


def open_folds(folder: Path, kind: Kind) -> Folded:
    """What `begin_folds` began; ConfigError where there is none, or its data changed."""
    if not (folder / kind.file).is_file():
        raise ConfigError(f"{folder} is no folder of a {kind.name}: it has no {kind.file}")
    config = load_config(str(folder / "config.yaml"))
    try:
        kept = json.loads((folder / kind.file).read_bytes())
        fold_of, num_folds = np.array(kept["fold_of"], np.int64), int(kept["folds"])
        fingerprints = kept["data"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{folder / kind.file}: is not what this version writes ({error!r}); begin another "
            f"{kind.name} with {kind.elsewhere}"
        ) from error
    data, _ = kind.read(config, folder)
    if _fingerprints(data) != fingerprints:
        raise ConfigError(
            f"{config.data_dir}: its images or boxes have changed since {folder} was begun, so "
            f"that their scores do not compare; begin another {kind.name} with {kind.elsewhere}"
        )
    parts = [np.flatnonzero(fold_of == fold) for fold in range(num_folds)]
    return Folded(folder, config, data, parts)


def _fingerprints(data: Sequence[DetectionDataset]) -> list[str]:
    return [dataset.fingerprint() for dataset in data]
