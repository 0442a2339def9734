"""What files are called: by one stem a source, and never two by one name."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindssd.predict.naming import Names, Naming, class_folders
from mindssd.predict.sources import ImageFile, Source, StandardInput, Video

ALL = ("drawn", "json", "csv", "yolo", "crops")


def source(name: str) -> Source:
    if name == "-":
        return StandardInput()
    path = Path("/in") / name
    return Video(str(path)) if path.suffix in (".mp4", ".avi") else ImageFile(path)


def names(out: Path, *files: str, save: tuple[str, ...] = ALL) -> list[Names]:
    return list(Naming([source(file) for file in files], save, out).names.values())


def stems(out: Path, *files: str, save: tuple[str, ...] = ALL) -> list[str]:
    return [name.stem for name in names(out, *files, save=save)]


def test_a_file_keeps_its_own_name(tmp_path: Path) -> None:
    a, b, clip = names(tmp_path, "a.jpg", "b.tif", "clip.mp4")
    assert (a.picture, b.picture, clip.video) == ("a.jpg", "b.jpg", "clip.mp4")
    assert clip.frame_stem(7) == "clip_000007"


def test_files_of_one_stem_are_numbered_the_same_in_all_that_is_made_of_them(
    tmp_path: Path,
) -> None:
    found = names(tmp_path, "a.jpg", "a.png", "a.tif", "b/a.jpg")
    assert [name.stem for name in found] == ["a", "a_2", "a_3", "a_4"]
    assert [name.picture for name in found] == ["a.jpg", "a_2.png", "a_3.jpg", "a_4.jpg"]


def test_where_only_drawings_are_made_a_suffix_is_enough_to_tell_them(tmp_path: Path) -> None:
    found = names(tmp_path, "a.jpg", "a.png", "a.tif", save=("drawn", "json"))
    assert [name.picture for name in found] == ["a.jpg", "a.png", "a_2.jpg"]


def test_a_number_is_added_that_no_other_file_has(tmp_path: Path) -> None:
    assert stems(tmp_path, "a.jpg", "a_2.jpg", "b/a.jpg") == ["a", "a_2", "a_3"]
    assert stems(tmp_path, "a.jpg", "b/a.jpg", "a_2.jpg") == ["a", "a_2", "a_2_2"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("clip.mp4", "clip_000001.jpg"), ["clip", "clip_000001_2"]),
        (("clip_000001.jpg", "clip.mp4"), ["clip_000001", "clip_2"]),
        (
            ("clip_000001.jpg", "clip_2_000003.png", "clip.mp4"),
            [*("clip_000001",), "clip_2_000003", "clip_3"],
        ),
        (("Clip.mp4", "cLIP_1000000.jpg"), ["Clip", "cLIP_1000000_2"]),
        (("clip.mp4", "clip_00001.jpg", "clip_1.jpg"), ["clip", "clip_00001", "clip_1"]),
        (("clip.mp4", "clip_000001.mp4"), ["clip", "clip_000001"]),
        (("-", "stdin_000000.jpg", "stdin.png"), ["stdin", "stdin_000000_2", "stdin"]),
    ],
)
def test_an_image_is_never_called_as_a_videos_frame(
    tmp_path: Path, files: tuple[str, ...], expected: list[str]
) -> None:
    assert stems(tmp_path, *files) == expected
    if "-" not in files:
        assert stems(tmp_path, *files, save=("drawn",)) == [Path(file).stem for file in files]


def test_what_turns_out_a_picture_is_called_as_one_then(tmp_path: Path) -> None:
    """A GIF of one picture, a photograph behind an address or pipe."""
    files = ("stdin.png", "a.gif.mp4", "a.gif.jpg", "-")
    naming = Naming([source(file) for file in files], ALL, tmp_path)
    assert naming.names[source("-")].video == "stdin.mp4"
    assert naming.as_picture(source("-")).picture == "stdin_2.jpg"
    assert naming.as_picture(source("a.gif.mp4")).picture == "a.gif_2.jpg"


def test_names_that_some_file_systems_take_for_one_are_told_apart(tmp_path: Path) -> None:
    composed = "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed
    found = stems(tmp_path, f"{composed}.jpg", f"{decomposed}.jpg", "A.jpg", "a.jpg")
    assert found == [composed, f"{decomposed}_2", "A", "a_2"]


def test_a_name_too_long_for_what_is_made_of_it_is_cut_and_stays_its_own(tmp_path: Path) -> None:
    long, other = "ü" * 124 + "a", "ü" * 124 + "b"  # 249 bytes
    (drawn,) = names(tmp_path, f"{long}.jpg", save=("drawn",))
    assert drawn.stem == long and not drawn.is_cut
    one, two = names(tmp_path, f"{long}.jpg", f"{other}.jpg")
    assert one.is_cut and one.stem.startswith("üüü") and one.stem != two.stem
    assert len(f"{one.stem}_123456.jpg".encode()) <= 255
    assert [one, two] == names(tmp_path, f"{long}.jpg", f"{other}.jpg")
    video, numbered = names(tmp_path, f"{long}.mp4", f"b/{long}.mp4")
    assert numbered.stem.endswith("_2")
    for name in (video, numbered):
        assert len(f"{name.frame_stem(12345678)}_123456.jpg".encode()) <= 255


def test_bytes_that_are_no_text_are_a_name_too(tmp_path: Path) -> None:
    odd = b"a\xff".decode("utf-8", "surrogateescape")
    assert stems(tmp_path, f"{odd}.jpg", f"b/{odd}.jpg") == [odd, f"{odd}_2"]


def test_thousands_of_one_name_are_numbered_in_no_time(tmp_path: Path) -> None:
    found = stems(tmp_path, *(f"{index}/image.jpg" for index in range(20_000)))
    assert found[-1] == "image_20000" and len(set(found)) == len(found)


def test_each_class_has_a_folder_of_its_own_inside() -> None:
    given = ("..", "a/b", "", "a:b", "traffic light", "Traffic Light", "x" * 120, "x" * 130)
    assert class_folders(given) == (
        *("_", "a_b", "__2", "a_b_2", "traffic light", "Traffic Light_2"),
        *("x" * 100, "x" * 100 + "_2"),
    )
    (long,) = class_folders(["犬" * 90])
    assert len(long.encode()) <= 255


FRAMES, CROPS = (0, 1, 10, 999_999, 1_000_000), (1, 2, 10, 100_000)


def written(source: Source, name: Names, save: tuple[str, ...]) -> Iterator[str]:
    """The files that are made of a source, with some of its frames and crops."""
    is_video = isinstance(source, Video)
    if "drawn" in save:
        yield name.video if is_video else name.picture
    for stem in [name.frame_stem(index) for index in FRAMES] if is_video else [name.stem]:
        yield from [f"labels/{stem}.txt"] * ("yolo" in save)
        yield from (f"crops/{stem}_{number}.jpg" for number in CROPS if "crops" in save)


@settings(max_examples=300, deadline=None)
@given(
    files=st.lists(
        st.builds(
            "{}/{}{}{}".format,
            st.sampled_from("xyz"),
            st.sampled_from(["a", "A", "clip", "é", "e\N{COMBINING ACUTE ACCENT}", "n" * 240]),
            st.sampled_from(["", "_1", "_2", "_000001", "_1000000", "_000001_2", "_2_000010"]),
            st.sampled_from([".jpg", ".png", ".tif", ".mp4", ".avi"]),
        ),
        max_size=12,
        unique=True,
    ),
    save=st.sampled_from([ALL, ("yolo",), ("crops",), ("drawn",), ("yolo", "crops")]),
)
def test_no_two_files_are_ever_written_to_one_name(files: list[str], save: tuple[str, ...]) -> None:
    given = Naming([source(file) for file in files], save, Path("/")).names
    paths = [path for of, name in given.items() for path in written(of, name, save)]
    keys = [unicodedata.normalize("NFC", path).casefold() for path in paths]
    assert len(set(keys)) == len(keys)
    assert all(len(part.encode()) <= 255 for path in paths for part in path.split("/"))
