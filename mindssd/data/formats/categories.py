"""The categories of a COCO file as classes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindssd.data.check import Finding
from mindssd.data.formats.coco_json import CocoCategory
from mindssd.data.formats.ids import Key, as_numbers, key_of
from mindssd.errors import DatasetError


@dataclass(frozen=True)
class Category:
    """One class: what its id is told by, its name, and that of the group it is in."""

    key: Key
    name: str
    group: str | None


def read_categories(entries: Sequence[CocoCategory], annotation_file: Path) -> list[Category]:
    """Read the categories in the order of their ids, or of the file where these are names.

    An id may come twice only under one name. DatasetError where one has no id or no name, or there
    are none.
    """
    by_key: dict[Key, Category] = {}
    for row, entry in enumerate(entries):
        key = key_of(entry.id)
        name = str(entry.name) if isinstance(entry.name, int | float) else entry.name
        if key is None or not isinstance(name, str) or not name.strip():
            raise DatasetError(
                f"{annotation_file}: categories[{row}] has id {entry.id!r} and name "
                f"{entry.name!r}; expected a number or text, and text that names it"
            )
        group = entry.supercategory if isinstance(entry.supercategory, str) else None
        first = by_key.setdefault(key, Category(key, name, group))
        if first.name != name:
            raise DatasetError(
                f"{annotation_file}: category {key} is both {first.name!r} "
                f"and {name!r}; expected one name for each id"
            )
    if not by_key:
        raise DatasetError(f"{annotation_file}: has no categories; expected at least one")
    categories = list(by_key.values())
    order = np.argsort(as_numbers([category.key for category in categories]), kind="stable")
    return [categories[place] for place in order.tolist()]


def names_of(categories: Sequence[Category]) -> dict[str, int]:
    """Give positions by name, for annotations that name a category; in any case where one fits."""
    folded = [category.name.strip().casefold() for category in categories]
    counts = Counter(folded)
    places = {name: place for place, name in enumerate(folded) if counts[name] == 1}
    return places | {category.name: place for place, category in enumerate(categories)}


def without_root(
    categories: Sequence[Category], counts: Sequence[int], annotation_file: Path
) -> tuple[list[int], list[Finding]]:
    """Choose the categories that are classes: their positions, and what was dropped.

    `counts` tells how many annotations each has. Roboflow writes the project's name as category 0,
    which the others have as their group and no annotation has: it is dropped. DatasetError where
    two that are left have one name.
    """
    root = _root(categories)
    findings = []
    chosen = list(range(len(categories)))
    if root is not None and not counts[root]:
        chosen.remove(root)
        name = categories[root].name
        others = [place for place in chosen if categories[place].name == name]
        what = "categories that name the whole project, as Roboflow's: dropped"
        of_a_class = f", as is class {categories[others[0]].key}" if others else ""
        findings.append(Finding(1, what, f"{categories[root].key} {name!r}{of_a_class}"))
    by_name: dict[str, Category] = {}
    for place in chosen:
        category = categories[place]
        first = by_name.setdefault(category.name, category)
        if first is not category:
            raise DatasetError(
                f"{annotation_file}: categories {first.key} and {category.key} are both "
                f"{category.name!r}; rename one, or give the annotations of both one id"
            )
    return chosen, findings


def _root(categories: Sequence[Category]) -> int | None:
    """Find the category 0 without a group whose name is the group of all the others."""
    for place, category in enumerate(categories):
        others = [other for other in categories if other is not category]
        if (
            category.key == 0
            and (category.group or "none").strip().casefold() == "none"
            and others
            and all(other.group == category.name for other in others)
        ):
            return place
    return None
