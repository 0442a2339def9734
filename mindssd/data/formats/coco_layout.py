"""How COCO's annotation files lie: as COCO 2017's do, or as tools export them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from mindssd.data.formats.coco import annotation_files, find_annotations, parse_coco, require_split
from mindssd.data.formats.json_kinds import json_kind
from mindssd.data.formats.layout import Layout, Read
from mindssd.data.formats.parsed import Parsed
from mindssd.data.formats.rows import names_below
from mindssd.data.formats.tree import Tree, part_in_name, part_named, stem_of
from mindssd.errors import DatasetError

_OTHER_TASKS = ("captions", "panoptic", "stuff", "keypoints", "image_info")


def find_coco(tree: Tree) -> Layout | None:
    """Find annotation files in COCO's format; None where there is none."""
    parts = _of_2017(tree)
    if parts:
        return Layout("coco", "COCO", "annotations", parts)
    files = [name for name in tree.some(".json") if json_kind(tree, name) == "coco"]
    if len(files) > 1:
        files = [n for n in files if not any(task in n for task in _OTHER_TASKS)] or files
    by_part: dict[str, str] = {}
    for name in files:
        part = part_in_name(name)
        first = by_part.setdefault(part, name)
        if first != name:
            of = f"the part {part}" if part else "the whole data set"
            raise DatasetError(
                f"{tree.root}: {first} and {name} are both COCO annotations of {of}; leave one, or "
                "name them by their parts, such as train.json and val.json"
            )
    if not by_part:
        return None
    read: dict[str, Read] = {
        part: partial(_read, tree, name, by_part) for part, name in by_part.items()
    }
    return Layout("coco", "COCO", next(iter(by_part.values())), read)


def _of_2017(tree: Tree) -> dict[str, Read]:
    """The parts in the layout of COCO 2017, also one that lacks its annotations or images."""
    root = tree.root
    if all(find_annotations(root, split) is None for split in ("train", "val")) and not (
        tree.folders & {"train2017", "val2017"} and "annotations" in tree.folders
    ):
        return {}
    return {
        split: partial(_read_2017, root, split)
        for split in ("train", "val", "test")
        if split == "train"
        or _is_annotated(root, split)
        or (split == "val" and "val2017" in tree.folders)  # COCO's own test2017 has no boxes
    }


def _is_annotated(root: Path, split: str) -> bool:
    return any(path.exists() for path in annotation_files(root, split))


def _read_2017(root: Path, split: str) -> Parsed:
    return parse_coco(*require_split(root, split))


def _read(tree: Tree, name: str, by_part: Mapping[str, str]) -> Parsed:
    """Read one annotation file, its images beside it, in a folder of its part, or anywhere."""
    parsed = parse_coco(tree.path(name), tree.root)
    folder = _image_folder(tree, name, parsed.images.file_names)
    # In a folder of all parts, what the other files list is not told apart from what none lists.
    shared = len(by_part) > 1 and not part_named(folder.rpartition("/")[2])
    elsewhere = names_below(tree.image_set, folder) if shared else frozenset()
    return replace(parsed, image_dir=tree.path(folder), elsewhere=elsewhere)


def _image_folder(tree: Tree, name: str, file_names: Sequence[str]) -> str:
    """The folder that has most of the images by their names, the likeliest one of several."""
    own = name.rpartition("/")[0]
    stem = stem_of(name)
    part = part_in_name(name)
    subset = stem.removeprefix("instances_")
    likely = [
        *(own, f"images/{subset}", f"images/{part}", subset, part, f"{own}/images"),
        *("images", ""),
    ]
    if own:
        around = own.rpartition("/")[0]
        likely += [f"{around}/images" if around else "images", around]
    likely += sorted(tree.folders)
    some = [n.replace("\\", "/") for n in file_names[:: max(1, len(file_names) // 100)]]

    def count(folder: str) -> int:
        start = f"{folder}/" if folder else ""
        return sum(start + file in tree.image_set for file in some)

    candidates = [folder for folder in dict.fromkeys(likely) if folder in tree.folders]
    best = max(candidates, key=count, default="")  # the first of equals
    return best if count(best) else ("images" if "images" in tree.folders else "")
