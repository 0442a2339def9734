"""What the files made of a source are called: all by one stem, and never two by one name."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mindssd.predict.sources import ImageFile, Source

CONTACT_SHEET, JSON_FILE, CSV_FILE = "contact_sheet.jpg", "detections.json", "detections.csv"
COUNTS_FILE = "counts.csv"
LABELS_FOLDER, CROPS_FOLDER = "labels", "crops"
RESERVED = (CONTACT_SHEET, JSON_FILE, CSV_FILE, COUNTS_FILE, LABELS_FOLDER, CROPS_FOLDER)

_DRAWN_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
_LONGEST_NAME = 255
"""Bytes on most file systems; letters on some, which are no fewer."""

_FRAME = re.compile(r"(.*)_[0-9]{6,}", re.DOTALL)


@dataclass(frozen=True)
class Names:
    """A source's stem, and the suffix of its picture where it is one.

    `is_cut` where its own stem is too long.
    """

    stem: str
    suffix: str
    is_cut: bool = False

    @property
    def picture(self) -> str:
        return self.stem + self.suffix

    @property
    def video(self) -> str:
        return f"{self.stem}.mp4"

    def frame_stem(self, index: int) -> str:
        return f"{self.stem}_{index:06d}"


class Naming:
    """Gives each source the stem of its own name; a number is added where names would meet.

    They meet where two files that `save` asks for would be one, also where a file system takes
    upper and lower case, or composed and decomposed letters, for the same. A name too long for
    `out` is cut, and marked with a digest.
    """

    def __init__(self, sources: Iterable[Source], save: Iterable[str], out: Path) -> None:
        self._kinds = frozenset(save)
        self._longest = _longest_name(out)
        self._taken = _Taken({_key(f"/{name}") for name in RESERVED})
        self.names = {
            source: self._name(source, is_video=not isinstance(source, ImageFile))
            for source in sources
        }

    def as_picture(self, source: Source) -> Names:
        """What the files are called of a source that turns out to be no video but a picture."""
        return self._name(source, is_video=False)

    def _name(self, source: Source, is_video: bool) -> Names:
        suffix = source.path.suffix
        suffix = suffix if suffix.lower() in _DRAWN_SUFFIXES else ".jpg"
        room = self._longest - _longest_ending(is_video, self._kinds)
        claims = partial(_claims, ".mp4" if is_video else suffix, is_video, self._kinds)
        stem = self._taken.take(source.stem, room, claims)
        return Names(stem, suffix, is_cut=len(os.fsencode(source.stem)) > room)


def class_folders(class_names: Sequence[str]) -> tuple[str, ...]:
    """Each class's name as a folder's: without what leads elsewhere or a file system refuses.

    A number is added where two would meet.
    """
    taken = _Taken()
    plain = (re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", name).strip(" .") for name in class_names)
    return tuple(
        taken.take(name[:100] or "_", _LONGEST_NAME, lambda folder: Claims([folder]))
        for name in plain
    )


@dataclass(frozen=True)
class Claims:
    """What one source takes of names: single files', and videos' stems for all their frames'."""

    files: Sequence[str]
    videos: Sequence[str] = ()


@dataclass
class _Taken:
    """Names that are in use, as `_key` has them."""

    files: set[str] = field(default_factory=set)
    videos: set[str] = field(default_factory=set)
    maybe_frames_of: set[str] = field(default_factory=set)
    _next: dict[tuple[str, ...], int] = field(default_factory=dict)

    def take(self, stem: str, room: int, claims: Callable[[str], Claims]) -> str:
        """Take the names that `claims` has for the stem, or else for the next number behind it.

        The stem has `room` bytes at most.
        """
        found = _fitted(stem, room)
        wanted = claims(found)
        key = tuple(map(_key, [*wanted.files, *wanted.videos]))
        while not self._add(wanted):
            number = self._next.get(key, 2)
            self._next[key] = number + 1
            found = f"{_fitted(stem, room - len(f'_{number}'))}_{number}"
            wanted = claims(found)
        return found

    def _add(self, wanted: Claims) -> bool:
        """Take all of the names, or none where one is in use."""
        files, videos = set(map(_key, wanted.files)), set(map(_key, wanted.videos))
        frames_of = {match[1] for name in files if (match := _FRAME.fullmatch(name))}
        is_free = not (files & self.files or videos & self.videos)
        if not is_free or frames_of & self.videos or videos & self.maybe_frames_of:
            return False
        self.files |= files
        self.videos |= videos
        self.maybe_frames_of |= frames_of
        return True


def _claims(suffix: str, is_video: bool, kinds: frozenset[str], stem: str) -> Claims:
    """The names that a source's files take, in folders: "/" for `out` itself.

    Crops, `stem_1.jpg` and on, meet those of no other stem, for the stem is what comes before their
    last number.
    """
    inner = [f"{kind}/{stem}" for kind in ("yolo", "crops") if kind in kinds]
    drawn = [f"/{stem}{suffix}"] if "drawn" in kinds else []
    return Claims(drawn, inner) if is_video else Claims([*drawn, *inner])


def _longest_ending(is_video: bool, kinds: frozenset[str]) -> int:
    """How many bytes the names of a source's files have after its stem, at most."""
    frame = "_12345678" if is_video else ""
    endings = {"drawn": ".jpeg", "yolo": f"{frame}.txt", "crops": f"{frame}_123456.jpg"}
    return max((len(ending) for kind, ending in endings.items() if kind in kinds), default=0)


def _key(name: str) -> str:
    """The same for names that some file system takes for one (Unicode's canonical caseless)."""
    folded = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFD", folded)


def _longest_name(folder: Path) -> int:
    """How many bytes a file's name may have in a folder, which may not exist yet."""
    existing = next((path for path in (folder, *folder.absolute().parents) if path.exists()), None)
    try:
        return min(_LONGEST_NAME, os.pathconf(existing or "/", "PC_NAME_MAX"))
    except OSError:
        return _LONGEST_NAME


def _fitted(stem: str, room: int) -> str:
    """Cut a stem that has more than `room` bytes, and mark it with a digest of the whole."""
    if len(os.fsencode(stem)) <= room:
        return stem
    digest = "_" + hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]
    while stem and len(os.fsencode(stem)) > room - len(digest):
        stem = stem[:-1]
    return stem + digest
