"""An inspection of a data set: read, measured, and put into one answer."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mindssd.build.data import find_layout, read_part, split_parts
from mindssd.config.schema import Config
from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.layout import Layout
from mindssd.data.formats.parsed import assemble
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
class Recognised:
    """The format, and how it is known: by the file or folder `place`, or as `is_asked` for.

    `training` and `validation` are the data set's parts that serve for these, "" the whole and None
    none. `title` is the format's name in words.
    """

    format: str
    title: str
    place: str
    is_asked: bool
    training: str | None
    validation: str | None

    def words(self) -> str:
        """Part of a line."""
        how = f"as format={self.format} asks, by" if self.is_asked else "recognised by"
        words = f"{self.title}, {how} {self.place}"
        if self.validation == "test":
            return f"{words}; its part test serves for validation"
        if self.validation is None:
            return f"{words}; without a validation part"
        return words


@dataclass(frozen=True)
class Inspection:
    """All that was found; `problems` keep a run from starting, the rest is for a person to judge.

    `recipe` and `settings` are what was asked for, `settings` as KEY=VALUE. `anchors` is None where
    `no_anchors` says why.
    """

    data_dir: str
    recipe: str
    settings: tuple[str, ...]
    layout: Recognised
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
    config: Config, recipe: str, settings: Sequence[str] = (), progress: Progress | None = None
) -> tuple[Inspection, Datasets]:
    """Look at the data set of the configuration's `data_dir`; its parts come back too.

    The configuration is the recipe's with `settings` laid over it, and a `data_dir`. `progress` is
    told how many images have been read. DatasetError where the training images cannot be read at
    all.
    """
    layout = find_layout(config)
    datasets, problems = _read_parts(config, layout)
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
        recipe=recipe,
        settings=tuple(settings),
        layout=_recognised(layout, config.format != "auto"),
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


def _recognised(layout: Layout, is_asked: bool) -> Recognised:
    return Recognised(
        format=layout.format,
        title=layout.title,
        place=layout.place,
        is_asked=is_asked,
        training=layout.training,
        validation=layout.validation,
    )


def _read_parts(config: Config, layout: Layout) -> tuple[Datasets, list[str]]:
    """The parts that can be read, and what keeps them from being trained on."""
    if layout.is_unsplit:
        try:
            train, val, _ = split_parts(config, layout)
        except DatasetError as error:  # what cannot be split can be looked at
            return {"train": assemble(layout.parts[layout.training or ""]())}, [str(error)]
        return {"train": train, "val": paired(train, val)}, []
    datasets = {"train": read_part(config, layout, "train", all_sizes=True)}
    problems = []
    try:
        require_boxes(datasets["train"])
    except DatasetError as error:
        problems.append(str(error))
    try:
        val = read_part(config, layout, "val", all_sizes=True)
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
