"""Which format a data set is in: told by what lies in its folder, never guessed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mindssd.data.formats.archive import unpacked
from mindssd.data.formats.coco_layout import find_coco
from mindssd.data.formats.csv_table import find_csv
from mindssd.data.formats.cvat import find_cvat
from mindssd.data.formats.labelme import find_labelme
from mindssd.data.formats.layout import Layout
from mindssd.data.formats.tree import Tree
from mindssd.data.formats.via import find_via
from mindssd.data.formats.voc import find_voc
from mindssd.data.formats.yolo import find_yolo
from mindssd.errors import DatasetError

FINDERS: dict[str, Callable[[Tree], Layout | None]] = {
    "coco": find_coco,
    "yolo": find_yolo,
    "voc": find_voc,
    "labelme": find_labelme,
    "cvat": find_cvat,
    "via": find_via,
    "csv": find_csv,
}


def recognise(data_dir: Path, asked: str = "auto") -> Layout:
    """Find out how a data set lies in its folder, or in a .zip; `asked` names its format.

    DatasetError, with the way out, where it is in none that is known, or in more than one.
    """
    zipped = data_dir.suffix.casefold() == ".zip" and data_dir.is_file()
    root = unpacked(data_dir) if zipped else data_dir
    tree = Tree.of(root)
    finders = FINDERS if asked == "auto" else {asked: FINDERS[asked]}
    layouts = [layout for find in finders.values() if (layout := find(tree)) is not None]
    if len(layouts) == 1:
        return replace(layouts[0], root=root)
    if layouts:
        found = " and ".join(f"{one.title} ({one.place})" for one in layouts)
        names = " or ".join(f"format={one.format}" for one in layouts)
        raise DatasetError(
            f"{data_dir}: has annotations in more than one format, {found}; say which to read: "
            f"{names}"
        )
    raise DatasetError(_nothing(data_dir, tree, asked))


def _nothing(data_dir: Path, tree: Tree, asked: str) -> str:
    """What to say of a folder without annotations."""
    if tree.problems:
        return tree.problems[0]
    known = "annotations in a format that is known" if asked == "auto" else f"{asked} annotations"
    if not tree.files:
        return f"{data_dir}: has no files; expected images and their annotations (docs/data.md)"
    if archives := tree.with_suffix(".zip"):
        return f"{data_dir}: has no {known}, but {archives[0]}; name or unpack that"
    if not tree.images:
        return (
            f"{data_dir}: has {len(tree.files)} files, such as {tree.files[0]}, and none is an "
            "image; expected images and their annotations (docs/data.md)"
        )
    return (
        f"{data_dir}: has {len(tree.images)} images, such as {tree.images[0]}, and no {known}; "
        "expected one of docs/data.md's, such as annotations/instances_train2017.json for "
        "train2017/, labels/a.txt for images/a.jpg, or a.xml beside a.jpg"
    )
