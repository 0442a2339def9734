"""Copies are found however they were saved, and pictures of one place with other things are not."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mindssd.data.similar import near_duplicates
from mindssd.types import Array
from tests.conftest import shared

SIZE = (240, 320)


def picture(seed: int, size: tuple[int, int] = SIZE) -> Array:
    """Soft colours with twelve things on them, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 200, (5, 7, 3), dtype=np.uint8)
    canvas = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        centre = (int(rng.integers(size[1])), int(rng.integers(size[0])))
        colour = tuple(int(value) for value in rng.integers(0, 255, 3))
        cv2.ellipse(canvas, centre, (int(rng.integers(8, 30)), 12), 30, 0, 360, colour, -1)
    return canvas


def write(path: Path, image: Array, *options: int) -> str:
    path.parent.mkdir(exist_ok=True)
    assert cv2.imwrite(str(path), image, list(options))
    return str(path)


def cropped(image: Array, left: float, top: float, right: float, bottom: float) -> Array:
    height, width = image.shape[:2]
    return image[
        round(top * height) : round((1 - bottom) * height),
        round(left * width) : round((1 - right) * width),
    ]


COPIES = {
    "recompressed": lambda image: image,
    "half as large": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5),
    "three times as large": lambda image: cv2.resize(image, None, fx=3, fy=3),
    "of another shape": lambda image: cv2.resize(image, (300, 300)),
    "cropped by 3 % on all sides": lambda image: cropped(image, 0.03, 0.03, 0.03, 0.03),
    "cropped by 5 % on all sides": lambda image: cropped(image, 0.05, 0.05, 0.05, 0.05),
    "cropped by 5 % at one side": lambda image: cropped(image, 0.05, 0, 0, 0),
    "cropped by 5 % at two sides": lambda image: cropped(image, 0, 0, 0.05, 0.05),
    "brighter": lambda image: cv2.convertScaleAbs(image, alpha=1.1, beta=8),
}


def pairs(paths: list[str]) -> list[tuple[int, int]]:
    return sorted((pair.first, pair.second) for pair in near_duplicates(paths, threads=2).pairs)


@pytest.mark.parametrize("change", COPIES)
def test_a_changed_copy_is_found_among_others(change, tmp_path):
    paths = [write(tmp_path / f"{i}.png", picture(i)) for i in range(10)]
    for seed in (2, 5, 8):
        copy = COPIES[change](picture(seed))
        paths.append(write(tmp_path / f"copy_{seed}.jpg", copy, cv2.IMWRITE_JPEG_QUALITY, 50))
    assert pairs(paths) == [(2, 10), (5, 11), (8, 12)]


def test_a_thing_that_has_moved_makes_another_picture(tmp_path):
    """As from a camera that stands still."""
    first, second = picture(0), picture(0)
    cv2.rectangle(first, (100, 60), (150, 130), (255, 255, 255), -1)
    cv2.rectangle(second, (170, 90), (220, 160), (255, 255, 255), -1)
    assert pairs([write(tmp_path / "1.png", first), write(tmp_path / "2.png", second)]) == []


def test_equal_files_are_pairs_even_without_content(tmp_path):
    grey = np.full((*SIZE, 3), 128, np.uint8)
    paths = [
        write(tmp_path / f"{i}.png", image) for i, image in enumerate((grey, picture(1), grey))
    ]
    paths.append(write(tmp_path / "other.png", grey[:100] + 40))
    found = near_duplicates(paths)
    assert [(pair.first, pair.second, pair.agreement) for pair in found.pairs] == [(0, 2, 1.0)]
    assert found.flat == (0, 3)
    assert found.groups().tolist() == [0, 1, 0, 3]


def test_a_group_is_held_together_by_some_of_its_pairs(tmp_path):
    paths = [
        write(tmp_path / f"{q}.jpg", picture(3), cv2.IMWRITE_JPEG_QUALITY, q)
        for q in range(30, 95, 5)
    ]
    paths.append(write(tmp_path / "other.png", picture(4)))
    found = near_duplicates(paths)
    assert found.groups().tolist() == [0] * 13 + [13]
    assert 12 <= len(found.pairs) < 13 * 12 / 2


def test_what_cannot_be_read_is_said_and_paired_with_nothing(tmp_path):
    paths = [write(tmp_path / f"{i}.png", picture(i)) for i in range(2)]
    for broken in ("3.png", "4.png"):
        (tmp_path / broken).write_bytes(Path(paths[0]).read_bytes()[:2000])
        paths.append(str(tmp_path / broken))
    found = near_duplicates([*paths, str(tmp_path / "absent.png")])
    assert found.pairs == () and list(found.unreadable) == [2, 3, 4]
    assert "truncated" in found.unreadable[2]


def test_none_and_one_give_no_pairs(tmp_path):
    assert near_duplicates([]).pairs == () and near_duplicates([]).groups().tolist() == []
    assert near_duplicates([write(tmp_path / "1.png", picture(0))]).pairs == ()


def test_progress_is_told_to_its_end(tmp_path):
    paths, told = [write(tmp_path / f"{i}.png", picture(i)) for i in range(3)], []
    near_duplicates(paths, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


NEARLY_THE_SAME = {
    "data/bccd": {("00037", "00038"), ("00230", "00257"), ("00386", "00391")},
    "data/boards": set(),
    "data/cards/train": {
        ("cam_image1", "cam_image54"),
        ("IMG_2464", "IMG_2465"),
        ("IMG_2466", "IMG_2467"),
        ("IMG_2468", "IMG_2469"),
        ("IMG_2471", "IMG_2472"),
        ("IMG_2473", "IMG_2474"),
    },
}
"""Looked at by eye: a microscope's field in another focus, and two a little shifted; one file
twice, and five scenes that were photographed twice without anything moved."""


@pytest.mark.parametrize("folder", NEARLY_THE_SAME)
def test_of_real_photographs_those_are_found_that_a_person_finds_the_same(folder):
    files = shared(folder).rglob("*")
    paths = sorted(str(path) for path in files if path.suffix.lower() == ".jpg")
    found = {
        tuple(Path(paths[i]).stem.removeprefix("BloodImage_") for i in (pair.first, pair.second))
        for pair in near_duplicates(paths).pairs
    }
    assert found == NEARLY_THE_SAME[folder]
