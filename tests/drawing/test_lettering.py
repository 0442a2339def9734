"""Texts in any script, with fonts that are made here: what a machine has is not known."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from mindssd.drawing.fonts import characters_of, font_files
from mindssd.drawing.lettering import Lettering


def latin() -> bytes:
    """The font that Pillow brings, as a file: ASCII and little more."""
    data = ImageFont.load_default(20).font_bytes
    assert isinstance(data, bytes)
    return data


def group_table(groups: list[tuple[int, int, int]]) -> bytes:
    """A `cmap` of format 12: (first, last, first's glyph) each."""
    content = b"".join(struct.pack(">III", *group) for group in groups)
    head = struct.pack(">HHHHI", 0, 1, 3, 10, 12)
    return head + struct.pack(">HHIII", 12, 0, 16 + len(content), 0, len(groups)) + content


def segment_table(segments: list[tuple[int, int, list[int]]]) -> bytes:
    """A `cmap` of format 4: (first, last, glyphs) each, of which the last one is 0xFFFF."""
    count = len(segments)
    glyphs: list[int] = []
    offsets = []
    for index, (_, _, own) in enumerate(segments):
        offsets.append(2 * (count - index + len(glyphs)) if own else 0)
        glyphs += own
    numbers = [*(last for _, last, _ in segments), 0, *(first for first, _, _ in segments)]
    numbers += [1] * count + offsets + glyphs
    content = struct.pack(f">{len(numbers)}H", *numbers)
    head = struct.pack(">HHHHI", 0, 1, 3, 1, 12)
    return head + struct.pack(">HHHHHHH", 4, 14 + len(content), 0, 2 * count, 0, 0, 0) + content


def with_cmap(table: bytes) -> bytes:
    """Pillow's font with other characters for its glyphs."""
    data = bytearray(latin())
    (num_tables,) = struct.unpack_from(">H", data, 4)
    for index in range(num_tables):
        record = 12 + 16 * index
        if data[record : record + 4] == b"cmap":
            struct.pack_into(">II", data, record + 8, len(data), len(table))
    return bytes(data) + table


def write(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


@pytest.fixture
def cat_font(tmp_path: Path) -> str:
    """A font with one character, 猫."""
    return write(tmp_path, "cat.ttf", with_cmap(group_table([(0x732B, 0x732B, 40)])))


def test_a_fonts_characters_are_read_from_its_groups(tmp_path: Path) -> None:
    table = group_table([(0x41, 0x43, 0), (0x400, 0x401, 7), (0x1F431, 0x1F431, 9)])
    characters = characters_of(write(tmp_path, "a.ttf", with_cmap(table)))
    # Glyph 0, here of A, is the one for what is missing.
    assert [text in characters for text in "ABCDЀЁЂ🐱🐲"] == [
        *(False, True, True, False),
        *(True, True, False, True, False),
    ]


def test_or_from_its_segments(tmp_path: Path) -> None:
    table = segment_table([(0x41, 0x42, []), (0x400, 0x402, [5, 0, 6]), (0xFFFF, 0xFFFF, [])])
    characters = characters_of(write(tmp_path, "a.ttf", with_cmap(table)))
    assert [text in characters for text in "@ABCЀЁЂЃ"] == [
        *(False, True, True, False),
        *(True, False, True, False),
    ]


def test_a_real_font_has_what_it_draws(tmp_path: Path) -> None:
    characters = characters_of(write(tmp_path, "latin.ttf", latin()))
    assert all(text in characters for text in "AZaz09.")
    assert not any(text in characters for text in "猫жé")


def test_of_a_collection_the_first_font_counts(tmp_path: Path) -> None:
    font = bytearray(with_cmap(group_table([(0x732B, 0x732B, 40)])))
    head = struct.pack(">4sIII", b"ttcf", 0x10000, 1, 16)
    (num_tables,) = struct.unpack_from(">H", font, 4)
    for index in range(num_tables):  # places count from the collection's start
        (place,) = struct.unpack_from(">I", font, 12 + 16 * index + 8)
        struct.pack_into(">I", font, 12 + 16 * index + 8, place + len(head))
    path = write(tmp_path, "cats.ttc", head + bytes(font))
    assert "猫" in characters_of(path)
    assert Lettering.of(["猫"], [path]).files == (path,)


@pytest.mark.parametrize("data", [b"", b"no font", latin()[:200], with_cmap(b"\0\0\0\1")])
def test_a_file_that_is_no_font_has_no_characters(tmp_path: Path, data: bytes) -> None:
    assert "A" not in characters_of(write(tmp_path, "broken.ttf", data))


def test_fonts_are_found_in_folders_within_folders_the_plain_ones_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("NotoSerif.ttf", "NotoSans-BoldItalic.ttf", "NotoSans.ttf", "notes.txt")
    (tmp_path / "fonts/truetype").mkdir(parents=True)
    for name in names:
        write(tmp_path / "fonts/truetype", name, b"")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    font_files.cache_clear()
    try:
        found = [Path(path).name for path in font_files()]
    finally:
        font_files.cache_clear()
    assert found == ["NotoSans.ttf", "NotoSerif.ttf", "NotoSans-BoldItalic.ttf"]


def test_ascii_needs_no_font(cat_font: str) -> None:
    assert Lettering.of(["cat", "dog"], [cat_font]) == Lettering()


def test_only_fonts_that_are_needed_are_taken(tmp_path: Path, cat_font: str) -> None:
    dog = write(tmp_path, "dog.ttf", with_cmap(group_table([(0x72AC, 0x72AC, 41)])))
    both = with_cmap(group_table([(0x72AC, 0x72AC, 41), (0x732B, 0x732B, 40)]))
    first = write(tmp_path, "both.ttf", both)
    assert Lettering.of(["猫", "犬"], [cat_font, dog]).files == (dog, cat_font)
    assert Lettering.of(["猫", "犬"], [first, dog]).files == (first,)
    assert Lettering.of(["犬"], [cat_font]).files == ()


def test_a_score_beside_a_name_has_the_same_font_where_that_has_digits(cat_font: str) -> None:
    lettering = Lettering.of(["猫"], [cat_font])
    assert lettering.runs("猫 0.9") == [("猫", cat_font), (" 0.9", "")]  # Pillow's own


def test_what_no_font_has_is_written_in_ascii_or_by_its_code_point(cat_font: str) -> None:
    assert Lettering.of(["猫"], [cat_font]).written("猫犬") == "猫Quan"
    assert Lettering().written("кошка") == "koshka"
    assert Lettering().written("Straße\tÜber") == "Strasse Uber"
    assert Lettering().written("\ud800 \u200d") == "U+D800"
    assert Lettering().written("\U000f0000") == "U+F0000"


def test_a_text_in_a_font_is_as_high_as_one_in_opencvs_letters(cat_font: str) -> None:
    for capital in (7, 12, 40):
        in_font = Lettering((cat_font,)).mask("猫 Hg", capital)
        usual = Lettering().mask("Hg", capital)
        assert abs(in_font.shape[0] - usual.shape[0]) <= 2 + capital // 4
        rows = np.flatnonzero(in_font.max(axis=1) > 0.5)
        assert capital <= len(rows) <= 2 * capital


@pytest.mark.parametrize("text", ["", " ", "\u200d", "猫" * 200])
def test_no_text_is_too_short_or_long_to_write(cat_font: str, text: str) -> None:
    for lettering in (Lettering((cat_font,)), Lettering()):
        assert lettering.mask(text, 12).ndim == 2


def test_a_text_is_cut_to_its_width(cat_font: str) -> None:
    lettering = Lettering.of(["猫"], [cat_font])
    short = lettering.shortened("猫" * 50, 12, 100)
    assert short.startswith("猫猫") and short.endswith("..")
    assert lettering.mask(short, 12).shape[1] <= 100
    assert lettering.shortened("猫", 12, 100) == "猫"
