"""Images that annotations name: which files of the folder they mean, and which part they are in."""

from collections.abc import Mapping, Sequence
from functools import partial
from posixpath import normpath

from mindssd.data.file_search import ends_of
from mindssd.data.formats.layout import IN_NO_PART, Layout, Read
from mindssd.data.formats.parsed import Parsed, name_classes
from mindssd.data.formats.rows import Rows, join
from mindssd.data.formats.tree import Tree, one_of, part_of, stem_of
from mindssd.errors import DatasetError


class NamedImages:
    """Finds the images of a tree by what annotations call them."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._by_file: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for image in tree.images:
            self._by_file.setdefault(image.rpartition("/")[2], []).append(image)
            self._by_stem.setdefault(stem_of(image), []).append(image)

    def find(self, name: str, folder: str = "", stem: str = "", part: str = "") -> str:
        """The image of a name, which may be a path of another machine, beside `folder`.

        First the one in that folder of the name's end; with `stem`, that of this name without
        suffix in it before; of several elsewhere, the only one in the `part`, or else the folder's.
        What nothing fits stays as it is.
        """
        start = f"{folder}/" if folder else ""
        if stem and len(found := self.tree.image_stems.get(start + stem, [])) == 1:
            return found[0]
        ends = [end for end in ends_of(name) if end]
        for prefix in dict.fromkeys((start, "", f"{start}images/", "images/")):
            for end in ends:
                path = normpath(prefix + end)
                if path in self.tree.image_set:
                    return path
        of_name = self._by_file.get(ends[-1], []) if ends else []
        stems = [stem, ends[-1]] if ends else [stem]  # a CSV may leave the suffix out
        for found in (of_name, *(self._by_stem.get(one, []) for one in stems)):
            if (image := one_of(found, part or part_of(start))) is not None:
                return image
        return name or stem


def layout_of_rows(
    format: str,
    title: str,
    place: str,
    tree: Tree,
    parts: Mapping[str, Rows],
    listed: Sequence[str] = (),
    also_unnamed: bool = True,
) -> Layout:
    """The layout of parts that have been read: each with the classes of all, those `listed` first.

    With `also_unnamed`, images that no annotation names are background of the part that their
    folder says, or of the only one where it says none. Images in a part without annotations, and
    those in none beside a training part, are passed over.
    """
    if not parts:
        raise DatasetError(f"{tree.path(place)} ({title}): names no images; expected at least one")
    training = parts.get("train") or parts.get("")
    named = {name for rows in parts.values() for name in rows.names}
    if also_unnamed:
        for image in tree.images:
            if image not in named:
                part = part_of(image)
                if not part and len(parts) == 1:
                    part = next(iter(parts))
                if part in parts:
                    parts[part].add_image(image)
                    named.add(image)
                elif training is not None:
                    training.faults.add(IN_NO_PART, image)
    if "train" in parts and "" in parts:
        for image in parts[""].names:
            parts["train"].faults.add(IN_NO_PART, image)
        parts = {part: rows for part, rows in parts.items() if part}
    classes, _ = name_classes(join(list(parts.values())), listed)
    everything = frozenset(named)

    def read(part: str) -> Parsed:
        source = f"{tree.path(place)} ({title}{', ' + part if part else ''})"
        return parts[part].parsed(tree, source, classes, everything)

    readers: dict[str, Read] = {part: partial(read, part) for part in parts}
    return Layout(format, title, place, readers)
