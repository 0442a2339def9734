"""Lines and zones as they are written, and one line for each way to get them wrong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindssd.errors import ConfigError
from mindssd.predict.places import find_places

TRIANGLE = [[10, 10], [90, 10], [50, 80]]


def written(folder: Path, content: Any) -> str:
    path = folder / "zones.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


def test_lines_and_zones_without_a_name_are_numbered(tmp_path: Path) -> None:
    file = written(tmp_path, TRIANGLE)
    places = find_places(["1,2,3,4", "door = 0,0.5,1,.5"], [file])
    assert [(place.name, place.kind) for place in places] == [
        ("line 1", "line"),
        ("door", "line"),
        ("zone 1", "zone"),
    ]
    assert places[0].points == ((1, 2), (3, 4))


def test_numbers_up_to_one_are_fractions_of_the_picture() -> None:
    (fractions,) = find_places(["0,0.5,1,0.5"], [])
    assert fractions.on((100, 200)).tolist() == [[0, 50], [200, 50]]
    (pixels,) = find_places(["0,0.5,20,0.5"], [])
    assert pixels.on((100, 200)).tolist() == [[0, 0.5], [20, 0.5]]


def test_a_file_may_hold_several_zones_and_lines_by_name(tmp_path: Path) -> None:
    content = {
        "zones": [{"name": "yard", "polygon": [*TRIANGLE, TRIANGLE[0]]}, {"polygon": TRIANGLE}],
        "lines": [{"name": "gate", "line": [[0, 0], [1, 1]]}],
        "note": "what is not known is passed by",
    }
    places = find_places([], [written(tmp_path, content)])
    assert [place.name for place in places] == ["gate", "yard", "zone 2"]
    assert np.array_equal(places[1].points, TRIANGLE)  # closed or not
    (alone,) = find_places([], [written(tmp_path, {"name": "ü", "polygon": TRIANGLE})])
    assert alone.name == "ü"


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        ("", "expected x1,y1,x2,y2"),
        ("1,2,3", "has 3 numbers"),
        ("1,2,3,4,5", "has 5 numbers"),
        ("a,b,c,d", "as in 0,240,640,240"),
        ("1,2,1,2", "two points that differ"),
        ("nan,0,1,1", "no point of a picture"),
        ("0,0,inf,1", "no point of a picture"),
        ("=0,0,1,1", "no name before the ="),
        ("-0.1,0.5,1.1,0.5", "too small for pixels, and fractions of the picture are from 0 to 1"),
        ("door=0,0.5,1.5,0.5", "too small for pixels"),
    ],
)
def test_a_line_that_is_none_is_one_line(word: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=f"^--count-line .*{fault}") as raised:
        find_places([word], [])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ([], "holds no zone"),
        ({}, "holds no zone"),
        ({"zones": []}, "holds no zone"),
        ({"zones": {}}, "zones is no list"),
        ({"zones": [[1, 2]]}, "a zone is not"),
        ({"lines": [{"line": [[0, 0]]}]}, "two points that differ"),
        ({"polygon": TRIANGLE, "name": 3}, "name 3 of a zone is no text"),
        ({"polygon": TRIANGLE, "name": "a\nb"}, "is one line"),
        ([[0, 0], [1, 1]], "three corners"),
        ([[0, 0], [5, 5], [0, 0]], "three corners"),
        ([[0, 0], [5, 5], [9, 9]], "lie on one line"),
        ([[0, 0], [9, 9], [9, 0], [0, 9]], "sides 1 and 3 cross"),
        ([[0, 0], [9, 0, 1], [9, 9]], r"\[9, 0, 1\] is no point"),
        ([[0, 0], ["9", 0], [9, 9]], "is no point"),
        ([[0, 0], [True, 0], [9, 9]], "is no point"),
        ("[[0, 0], [NaN, 0], [9, 9]]", "no point of a picture"),
        ("[[0, 0], [1e999, 0], [9, 9]]", "no point of a picture"),
        (f"[[0, 0], [1{'0' * 400}, 0], [9, 9]]", "no point of a picture"),
        ([[0, 0], [1.2, 0], [1.2, 1]], "too small for pixels"),
        ([[k, k * k] for k in range(1001)], "1001 corners"),
    ],
)
def test_a_zone_that_is_none_is_one_line(tmp_path: Path, content: Any, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault) as raised:
        find_places([], [written(tmp_path, content)])
    assert "\n" not in str(raised.value) and str(raised.value).startswith("--count-zone")


@pytest.mark.parametrize("name", ["a\0b.json", "x" * 5000])
def test_a_name_that_no_file_has_is_one_line(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        find_places([], [name])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.json: cannot be read"):
        find_places([], [str(tmp_path / "nowhere.json")])


def test_two_places_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two lines or zones are called door"):
        find_places(["door=0,0,1,1", "door=0,1,1,0"], [])


@pytest.mark.parametrize("word", ["300,0,400,50", "0,200,50,300", "-9,-9,-1,40"])
def test_a_place_outside_of_the_picture_is_one_line(word: str) -> None:
    (place,) = find_places([word], [])
    with pytest.raises(ConfigError, match=r"line 1.*outside of the picture, 200 × 100 pixels"):
        place.on((100, 200))
