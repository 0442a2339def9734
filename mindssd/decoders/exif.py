"""TIFF's directories: the whole of a TIFF file's structure, and of EXIF."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_BIG_SIGNATURES = (b"II+\0", b"MM\0+")
"""BigTIFF's, whose offsets have 64 bits."""

_EXIF_SIGNATURES = (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", *_BIG_SIGNATURES)
"""Some cameras write the bytes in the wrong order; the offsets have 32 bits all the same."""

TIFF_SIGNATURES = (b"II*\0", b"MM\0*", *_BIG_SIGNATURES)

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

    def __init__(self, data: bytes, may_be_big: bool = True) -> None:
        self.data = data
        self._order = "<" if data[:2] == b"II" else ">"
        self._is_big = may_be_big and data[:4] in _BIG_SIGNATURES
        start, letter = (8, "Q") if self._is_big else (4, "I")
        (self.first,) = self._unpack(letter, start)

    def directory(self, start: int) -> Directory:
        """The directory that starts there, with each tag's first field that is not empty."""
        entries = list(self._entries(start))
        fields = {tag: field for tag, field, _ in reversed(entries) if field.size}
        _, _, end = entries[-1]
        return Directory(fields, self._unpack("Q" if self._is_big else "I", end)[0])

    def integers(self, directory: Directory, tag: int) -> tuple[int, ...]:
        """A tag's unsigned integers; none where it is absent or of another type."""
        field = directory.fields.get(tag)
        return () if field is None else self._values(field)

    def orientation(self) -> int:
        """That of the first directory, 1 to 8; 1 where there is none before damage."""
        try:
            for tag, field, _ in self._entries(self.first):
                if tag == ORIENTATION and field.size:
                    value = (*self._values(field), 1)[0]
                    return value if 1 <= value <= 8 else 1
        except struct.error:
            pass
        return 1

    def _entries(self, start: int) -> Iterator[tuple[int, Field, int]]:
        """Each entry's tag, field and end."""
        count, entry, offset = ("Q", "HHQ", "Q") if self._is_big else ("H", "HHI", "I")
        room = struct.calcsize("<" + offset)
        (num_entries,) = self._unpack(count, start)
        position = start + struct.calcsize("<" + count)
        if num_entries == 0:
            raise struct.error("a directory without entries")
        for _ in range(num_entries):
            tag, kind, number = self._unpack(entry, position)
            position += struct.calcsize("<" + entry)
            field = Field(kind, number, position)
            if field.size > room:
                field = Field(kind, number, self._unpack(offset, position)[0])
            position += room
            yield tag, field, position

    def _values(self, field: Field) -> tuple[int, ...]:
        letter = _INTEGERS.get(field.kind)
        return self._unpack(f"{field.count}{letter}", field.position) if letter else ()

    def _unpack(self, layout: str, position: int) -> tuple[int, ...]:
        if position + struct.calcsize("<" + layout) > len(self.data):
            raise struct.error("beyond the end")
        return struct.unpack_from(self._order + layout, self.data, position)


def orientation_of(exif: bytes) -> int:
    """Read the orientation, 1 to 8, from an EXIF block; 1 where it has none, or is damaged."""
    exif = exif.removeprefix(b"Exif\0\0")
    if not exif.startswith(_EXIF_SIGNATURES):
        return 1
    try:
        return Structure(exif, may_be_big=False).orientation()
    except struct.error:
        return 1
