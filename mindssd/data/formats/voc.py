"""Pascal VOC's format: an XML file an image, lists of the parts in ImageSets/Main.

The data sets of the challenge count pixels from 1, and a box holds the pixels of its corners: so x1
is xmin - 1, and x2 is xmax (VOC2012 development kit, 5.2). They are told by `<annotation>PASCAL
VOC2007</annotation>` or `The VOC2007 Database`. Tools that took over the format (labelImg, CVAT,
Label Studio, Roboflow, Datumaro) write the corners as they are, from 0; labelImg writes 1 for 0.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from mindssd.data.formats.layout import IN_NO_PART, Layout
from mindssd.data.formats.parsed import Parsed, name_classes
from mindssd.data.formats.rows import Rows, join, read_text
from mindssd.data.formats.tree import Tree, one_of, part_of, without_suffix
from mindssd.data.formats.xml_file import LINE, numbers_of, read_xml, root_tag, side_of, text_of

_OF_THE_CHALLENGE = re.compile(r"(the |pascal )voc ?\d{4}", re.IGNORECASE)
_OF_A_CLASS = re.compile(r"\s+(-1|0|1)$")
"""What follows an image in a list of one class's."""
_ANNOTATION_FOLDERS = ("annotations", "annotation", "labels", "xml", "xmls")
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def find_voc(tree: Tree) -> Layout | None:
    """Find a data set in VOC's format; None where nothing shows one."""
    files = (name for name in tree.some(".xml") if root_tag(tree.path(name)) == "annotation")
    example = next(files, None)
    if example is None:
        return None
    data = _VOC(tree)
    return Layout(
        "voc",
        "Pascal VOC",
        data.lists_folder or example,
        {part: partial(data.read, part) for part in data.parts},
    )


class _VOC:
    """A data set's XML files with their images, each read once."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.lists_folder = ""
        self.files = {without_suffix(name): name for name in tree.with_suffix(".xml")}
        self._by_stem: dict[str, list[str]] = {}
        for stem, images in tree.image_stems.items():
            self._by_stem.setdefault(stem.rpartition("/")[2], []).extend(images)
        self._by_name: dict[str, list[str]] = {}
        for image in tree.images:
            self._by_name.setdefault(image.rpartition("/")[2], []).append(image)
        self.in_no_part: list[str] = []
        self.parts = self._listed() or self._in_folders()

    def _listed(self) -> dict[str, list[str]]:
        """The stems of each part by ImageSets/Main, as the challenge has them.

        Where trainval.txt and test.txt are there with their annotations, these; else train.txt and
        val.txt, and test.txt if it has annotations.
        """
        lists = {}
        for name in self.tree.with_suffix(".txt"):
            folders, _, file = name.rpartition("/")
            if folders.casefold().endswith("imagesets/main"):
                stem = file.rpartition(".")[0].casefold()
                if stem in ("train", "val", "trainval", "test", "default"):
                    lists[stem] = [self._entry(line.strip()) for line in self._lines(name)]
                    self.lists_folder = folders
        chosen = {part: lists.get(part, []) for part in ("train", "val", "test")}
        if not any(map(self._file, chosen["test"])):
            chosen.pop("test")
        if lists.get("trainval") and "test" in chosen:
            chosen = {"train": lists["trainval"], "test": lists["test"]}
        elif not chosen["train"]:
            chosen["train"] = lists.get("trainval", [])
            chosen[""] = lists.get("default", [])
        found = {part: stems for part, stems in chosen.items() if stems}
        for part, stems in found.items():
            self.titles[part] = next(f"{n}.txt" for n, s in lists.items() if s is stems)
        return found

    @cached_property
    def titles(self) -> dict[str, str]:
        """The list of each part."""
        return {}

    def _entry(self, line: str) -> str:
        """The image that a line of a list means, without what a list of one class says of it."""
        known = self._file(line) or self._image_of_stem(line)
        return line if known else _OF_A_CLASS.sub("", line)

    def _lines(self, name: str) -> Iterator[str]:
        for line in read_text(self.tree.path(name)).splitlines():
            if line.strip():
                yield line

    def _in_folders(self) -> dict[str, list[str]]:
        """The XML files, and images without one, of each part that has such files, by folders."""
        parts: dict[str, list[str]] = {}
        described = set()
        for name in self.tree.with_suffix(".xml"):
            image = self._image_of_stem(without_suffix(name))
            described.add(image)
            parts.setdefault(part_of(name) or part_of(image or ""), []).append(name)
        if "train" in parts:
            self.in_no_part += parts.pop("", [])
        for image in self.tree.images:
            if image not in described:
                parts.get(part_of(image), self.in_no_part).append(image)
        return parts

    def _file(self, entry: str) -> str | None:
        """The XML file of an entry of a list, or of an image."""
        stem = without_suffix(entry) if entry in self.tree.file_set else entry
        for start in ("Annotations/", "", "annotations/"):
            if (found := self.files.get(start + stem)) is not None:
                return found
        short = self._stems_of_files.get(stem.rpartition("/")[2], [])
        return short[0] if len(short) == 1 else None

    @cached_property
    def _stems_of_files(self) -> dict[str, list[str]]:
        stems: dict[str, list[str]] = {}
        for stem, name in self.files.items():
            stems.setdefault(stem.rpartition("/")[2], []).append(name)
        return stems

    @cached_property
    def rows(self) -> dict[str, Rows]:
        rows = {part: self._rows(entries) for part, entries in self.parts.items()}
        for name in self.in_no_part:
            (rows.get("train") or next(iter(rows.values()))).faults.add(IN_NO_PART, name)
        return rows

    def read(self, part: str) -> Parsed:
        everything = frozenset(name for rows in self.rows.values() for name in rows.names)
        title = self.titles.get(part, part)
        place = self.tree.path(self.lists_folder if part in self.titles else "")
        return self.rows[part].parsed(
            self.tree,
            f"{place} (Pascal VOC{', ' + title if title else ''})",
            self.classes,
            everything,
        )

    @cached_property
    def classes(self) -> Sequence[str]:
        """Those of labelmap.txt, as CVAT writes it, then the others."""
        listed: list[str] = []
        for name in self.tree.files:
            if PurePosixPath(name).name.casefold() == "labelmap.txt":
                lines = (line for line in self._lines(name) if not line.startswith("#"))
                listed = [line.rsplit(":", 3)[0].strip() for line in lines]
        return known_classes(join(list(self.rows.values())), listed)

    def _rows(self, entries: Sequence[str]) -> Rows:
        rows = Rows()
        for entry in dict.fromkeys(entries):
            if entry in self.tree.image_set:
                rows.add_image(entry)
            elif (file := entry if entry.endswith(".xml") else self._file(entry)) is None:
                rows.add_image(self._image_of_stem(entry) or entry)
            else:
                self._read_file(rows, file)
        return rows

    def _image_of_stem(self, stem: str) -> str | None:
        """The image that a stem, a path without suffix, means; None where none does, or several."""
        for place in (stem, f"JPEGImages/{stem}", f"images/{stem}", *_mirrored(stem)):
            if len(found := self.tree.image_stems.get(place, [])) == 1:
                return found[0]
        return one_of(self._by_stem.get(stem.rpartition("/")[2], []), part_of(stem))

    def _image_of(self, file: str, named: str) -> str:
        """The image of an XML file: of its own name, or else the one that it names."""
        own = self._image_of_stem(without_suffix(file))
        if own is not None:
            return own
        short = PurePosixPath(named.replace("\\", "/")).name
        found = one_of(self._by_name.get(short, []), part_of(file))
        return found or named or without_suffix(file)

    def _read_file(self, rows: Rows, file: str) -> None:
        root = read_xml(self.tree.path(file))
        if root.tag != "annotation":
            rows.faults.add("XML files of something else: passed over", file)
            return
        size = side_of(text_of(root, "size/height")), side_of(text_of(root, "size/width"))
        image = self._image_of(file, text_of(root, "filename"))
        owner = rows.add_image(image, size if all(size) else (0, 0))
        source = f"{text_of(root, 'source/annotation')} {text_of(root, 'source/database')}"
        first = 1.0 if _OF_THE_CHALLENGE.search(source) else 0.0
        num_boxes = len(rows.owners)
        for found in root.iter("object"):
            self._read_object(rows, owner, found, f"{file}:{found.get(LINE)}", first)
        if first and len(rows.owners) > num_boxes:
            rows.faults.add("files of Pascal VOC's own: their pixels are counted from 1", file)

    def _read_object(
        self, rows: Rows, owner: int, found: Element, place: str, first: float
    ) -> None:
        name = text_of(found, "name")
        corners = numbers_of([text_of(found, f"bndbox/{side}") for side in _SIDES])
        if not name or corners is None:
            rows.faults.add("objects without a name or a box of four numbers: dropped", place)
            return
        difficult = text_of(found, "difficult").casefold() in ("1", "true")
        x1, y1, x2, y2 = corners
        rows.add_box(owner, name, (x1 - first, y1 - first, x2, y2), difficult)


def _mirrored(stem: str) -> Iterator[str]:
    """Yield where the image of an XML file may be: in a folder beside, or above, the XML's."""
    folders = stem.split("/")
    for place, folder in enumerate(folders[:-1]):
        if folder.casefold() in _ANNOTATION_FOLDERS:
            for other in (["JPEGImages"], ["images"], []):
                yield "/".join([*folders[:place], *other, *folders[place + 1 :]])


def known_classes(names: Sequence[str], listed: Sequence[str]) -> list[str]:
    """Classes in their order: those of a list that boxes have or that are no background, then those
    of most boxes."""
    used = set(names)
    kept = [n for n in listed if n in used or n.casefold() != "background"]
    return list(name_classes(names, kept)[0])
