"""TIFF's directories: the whole of a TIFF file's structure, and of EXIF."""

import struct
from dataclasses import dataclass

from mindssd.errors import ImageError

TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""The latter two are BigTIFF's, whose offsets have 64 bits."""

ORIENTATION = 274

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
"""How `struct` reads the types of a field that are unsigned integers."""


@dataclass(frozen=True)
class Field:
    """Where the values of a tag stand: `count` of a type, from `position` on."""

    kind: int
    count: int
    position: int

    @property
    def size(self) -> int:
        """In bytes; 0 of a type that TIFF does not know."""
        return self.count * _SIZES.get(self.kind, 0)


@dataclass(frozen=True)
class Directory:
    """The fields of one picture by their tags, and where the next directory starts, else 0."""

    fields: dict[int, Field]
    next: int


class Structure:
    """Reads a TIFF structure; struct.error where it ends too early."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._order = "<" if data[:2] == b"II" else ">"
        (version,) = struct.unpack_from(self._order + "H", data, 2)
        self._is_big = version == 43
        self.first: int = struct.unpack_from(
            self._order + ("Q" if self._is_big else "I"), data, 8 if self._is_big else 4
        )[0]

    def directory(self, start: int) -> Directory:
        count, entry, offset = ("Q", "HHQ", "Q") if self._is_big else ("H", "HHI", "I")
        room = struct.calcsize("<" + offset)
        (num_entries,) = struct.unpack_from(self._order + count, self.data, start)
        position = start + struct.calcsize("<" + count)
        fields: dict[int, Field] = {}
        for _ in range(num_entries):
            tag, kind, number = struct.unpack_from(self._order + entry, self.data, position)
            position += struct.calcsize("<" + entry)
            field = Field(kind, number, position)
            if field.size > room:
                (place,) = struct.unpack_from(self._order + offset, self.data, position)
                field = Field(kind, number, place)
            fields.setdefault(tag, field)
            position += room
        return Directory(fields, struct.unpack_from(self._order + offset, self.data, position)[0])

    def integers(self, directory: Directory, tag: int) -> tuple[int, ...]:
        """A tag's unsigned integers; none where it is absent or of another type."""
        field = directory.fields.get(tag)
        if field is None or field.kind not in _INTEGERS:
            return ()
        if field.position + field.size > len(self.data):
            raise ImageError(f"truncated or damaged: tag {tag} lies outside the file")
        letter = _INTEGERS[field.kind]
        return struct.unpack_from(f"{self._order}{field.count}{letter}", self.data, field.position)


def orientation_of(exif: bytes) -> int:
    """Read the orientation, 1 to 8, from an EXIF block; 1 where it has none, or is damaged."""
    exif = exif.removeprefix(b"Exif\0\0")
    if not exif.startswith((b"II", b"MM")):
        return 1
    try:
        structure = Structure(exif)
        values = structure.integers(structure.directory(structure.first), ORIENTATION)
    except (struct.error, ImageError):
        return 1
    return values[0] if values and 1 <= values[0] <= 8 else 1
