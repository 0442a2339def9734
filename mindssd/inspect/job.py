"""An inspection of a data set: read, measured, and put into one answer."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mindssd.build.data import build_dataset, build_unsplit, find_layout
from mindssd.config.schema import Config
from mindssd.data.dataset import DetectionDataset
from mindssd.data.splits import paired, require_boxes
from mindssd.data.thumbnails import Progress
from mindssd.errors import DatasetError, EngineError
from mindssd.files import write_file
from mindssd.inspect.alike import Alike, find_alike
from mindssd.inspect.anchors import Anchors, measure
from mindssd.inspect.parts import Part, class_remarks, count_part
from mindssd.inspect.suspicious import Suspect, find_suspects

SUSPECTS_OF_A_KIND = 200
"""So many suspicious boxes of each kind and part are written, the oddest; all are counted."""

Datasets = dict[str, DetectionDataset]
"""By the name of the part: train, and val where there is one."""


@dataclass(frozen=True)
class Inspection:
    """All that was found; `problems` keep a run from starting, the rest is for a person to judge.

    `anchors` is None where `no_anchors` says why.
    """

    data_dir: str
    format: str
    class_names: tuple[str, ...]
    parts: dict[str, Part]
    problems: tuple[str, ...]
    class_remarks: tuple[str, ...]
    anchors: Anchors | None
    no_anchors: str
    alike: Alike
    num_suspects: dict[str, dict[str, int]]
    suspects: tuple[Suspect, ...]


def inspect(
    config: Config, recipe: str, progress: Progress | None = None
) -> tuple[Inspection, Datasets]:
    """Look at the data set of the configuration's `data_dir`; its parts come back too.

    `progress` is told how many images have been read.
    DatasetError where the training images cannot be read at all.
    """
    layout = find_layout(config)
    datasets, problems = _read_parts(config)
    train = datasets["train"]
    parts = {name: count_part(dataset) for name, dataset in datasets.items()}
    anchors, no_anchors = None, ""
    try:
        anchors = measure(config, recipe, train)
    except EngineError as error:
        no_anchors = str(error)
    suspects = [s for name, dataset in datasets.items() for s in find_suspects(dataset, name)]
    return Inspection(
        data_dir=str(config.data_dir),
        format=f"{layout.title}, by {layout.place or 'the files in it'}",
        class_names=train.class_names,
        parts=parts,
        problems=tuple(problems),
        class_remarks=tuple(class_remarks(parts)),
        anchors=anchors,
        no_anchors=no_anchors,
        alike=find_alike(datasets, progress),
        num_suspects={
            name: dict(Counter(s.kind for s in suspects if s.part == name)) for name in datasets
        },
        suspects=tuple(_first_of_each_kind(suspects)),
    ), datasets


def _read_parts(config: Config) -> tuple[Datasets, list[str]]:
    """The parts that can be read, and what keeps them from being trained on."""
    try:
        datasets = {"train": build_dataset(config, "train", all_sizes=True)}
    except DatasetError as error:
        whole = build_unsplit(config)  # what cannot be split can be looked at
        if whole is None:
            raise
        return {"train": whole}, [str(error)]
    problems = []
    try:
        require_boxes(datasets["train"])
    except DatasetError as error:
        problems.append(str(error))
    try:
        val = build_dataset(config, "val")
        datasets["val"] = val
        datasets["val"] = paired(datasets["train"], val)
    except DatasetError as error:
        problems.append(str(error))
    return datasets, problems


def _first_of_each_kind(suspects: list[Suspect]) -> list[Suspect]:
    seen: Counter[tuple[str, str]] = Counter()
    kept = []
    for suspect in suspects:
        seen[suspect.kind, suspect.part] += 1
        if seen[suspect.kind, suspect.part] <= SUSPECTS_OF_A_KIND:
            kept.append(suspect)
    return kept


def write_json(inspection: Inspection, path: Path) -> None:
    """Write everything as JSON; MindSSDError on failure."""
    tree = msgspec.to_builtins(inspection)
    text = json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False)
    write_file(path, (text + "\n").encode("utf-8", "replace"))
