"""The machine's font files, and which characters each has.

A font's table `cmap` tells that (OpenType, "Character to Glyph Index Mapping Table"). Pillow does
not, and fontTools would be a large requirement for it.
"""

import os
import struct
import sys
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SUFFIXES = {".ttf", ".otf", ".ttc", ".otc"}
_COLLECTION = b"ttcf"

_OTHER_STYLES = (
    *("bold", "italic", "oblique", "mono", "serif", "light", "thin", "black", "condensed"),
    *("narrow", "heavy", "extra", "semi", "math", "lastresort"),
)

_UNICODE_TABLES = ((3, 10), (0, 6), (0, 4), (0, 10), (3, 1), (0, 3), (0, 2), (0, 1), (0, 0))
"""(platform, encoding), those with more than 65,536 characters first."""


@cache
def font_files() -> tuple[str, ...]:
    """The font files in the system's and the user's folders, plain upright sans serif first."""
    files = [
        Path(folder, name)
        for top in _folders()
        for folder, _, names in os.walk(top)
        for name in names
    ]
    fonts = {path for path in files if path.suffix.lower() in _SUFFIXES}
    return tuple(str(path) for path in sorted(fonts, key=_rank))


def _folders() -> Iterator[Path]:
    """Where systems keep fonts; what is not there is empty."""
    home = Path.home() if os.environ.get("HOME") or sys.platform == "win32" else Path("/")
    if sys.platform == "win32":
        yield Path(os.environ.get("WINDIR", "C:/Windows"), "Fonts")
        yield Path(os.environ.get("LOCALAPPDATA", home), "Microsoft/Windows/Fonts")
    elif sys.platform == "darwin":
        yield from (Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts")
    else:
        places = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
        mine = os.environ.get("XDG_DATA_HOME") or str(home / ".local/share")
        yield from (Path(place, "fonts") for place in (*places.split(":"), mine))
        yield home / ".fonts"


def _rank(path: Path) -> tuple[int, bool, int, str]:
    name = path.stem.lower().replace("sansserif", "sans")
    styles = sum(style in name for style in _OTHER_STYLES)
    return styles, "sans" not in name, len(name), str(path)


@cache
def characters_of(path: str) -> "Characters":
    """Read which characters a font file's first font has; none of a file that is no font."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(16)
            offset = struct.unpack_from(">I", start, 12)[0] if start[:4] == _COLLECTION else 0
            file.seek(offset)
            (num_tables,) = struct.unpack(">4xH6x", file.read(12))
            for _ in range(num_tables):
                name, position, size = struct.unpack(">4s4xII", file.read(16))
                if name == b"cmap":
                    file.seek(position)
                    return _read_cmap(file.read(size))
    except (OSError, struct.error):
        pass
    return Characters((), (), ())


@dataclass(frozen=True)
class Characters:
    """Ranges of code points, in order: `ends` (included), `starts`, and where their glyphs stand.

    A range's glyphs are a number to which the code point is added, or a tuple of one each.
    """

    ends: tuple[int, ...]
    starts: tuple[int, ...]
    glyphs: tuple[int | tuple[int, ...], ...]

    def __contains__(self, character: str) -> bool:
        code = ord(character)
        index = bisect_left(self.ends, code)
        if index == len(self.ends) or code < self.starts[index]:
            return False
        glyphs = self.glyphs[index]
        if isinstance(glyphs, int):
            return (code + glyphs) % 65536 != 0
        place = code - self.starts[index]
        return place < len(glyphs) and glyphs[place] != 0


def _read_cmap(table: bytes) -> Characters:
    """The best Unicode mapping of a `cmap` table, of format 4 or 12."""
    (count,) = struct.unpack_from(">2xH", table)
    records = (struct.unpack_from(">HHI", table, 4 + 8 * index) for index in range(count))
    places = {(platform, encoding): place for platform, encoding, place in records}
    for key in _UNICODE_TABLES:
        if key in places:
            (layout,) = struct.unpack_from(">H", table, places[key])
            if layout == 12:
                return _read_groups(table, places[key])
            if layout == 4:
                return _read_segments(table, places[key])
    return Characters((), (), ())


def _read_groups(table: bytes, place: int) -> Characters:
    """Format 12: groups of (first, last, first's glyph)."""
    (count,) = struct.unpack_from(">I", table, place + 12)
    values = struct.unpack_from(f">{3 * count}I", table, place + 16)
    starts, ends, firsts = values[::3], values[1::3], values[2::3]
    glyphs = tuple(first - start for start, first in zip(starts, firsts, strict=True))
    return Characters(ends, starts, glyphs)


def _read_segments(table: bytes, place: int) -> Characters:
    """Format 4: segments with a number to add, or with a list of glyphs of their own."""
    (doubled,) = struct.unpack_from(">H", table, place + 6)
    count, arrays = doubled // 2, place + 14
    ends = struct.unpack_from(f">{count}H", table, arrays)
    starts = struct.unpack_from(f">{count}H", table, arrays + doubled + 2)
    deltas = struct.unpack_from(f">{count}H", table, arrays + 2 * doubled + 2)
    offsets = struct.unpack_from(f">{count}H", table, arrays + 3 * doubled + 2)
    glyphs: list[int | tuple[int, ...]] = []
    for index in range(count):
        if offsets[index] == 0:
            glyphs.append(deltas[index])
            continue
        # The offset counts from where it stands itself.
        first = arrays + 3 * doubled + 2 + 2 * index + offsets[index]
        number = min(ends[index] - starts[index] + 1, max(0, (len(table) - first) // 2))
        glyphs.append(struct.unpack_from(f">{number}H", table, first))
    return Characters(ends, starts, tuple(glyphs))
