"""The images that an export is compared and calibrated on: those that can be read, or are drawn."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.coco import load_coco_split
from mindssd.deploy.samples import drawn_images, readable_images
from mindssd.errors import DatasetError
from mindssd.images import read_image


@pytest.fixture
def dataset(shapes_dir: Path, tmp_path: Path) -> DetectionDataset:
    """Twelve images, 0.png to 11.png in this order, free to be damaged."""
    return load_coco_split(Path(shutil.copytree(shapes_dir, tmp_path / "data")), "val")


def damage(dataset: DetectionDataset, *indices: int) -> None:
    for index in indices:
        Path(dataset[index].path).write_bytes(b"not a picture")


def chosen(dataset: DetectionDataset, count: int) -> tuple[list[int], list[str]]:
    """Which images are taken, by their index, and what is said."""
    said: list[str] = []
    pictures = {}
    for index in range(len(dataset)):
        if Path(dataset[index].path).stat().st_size > 100:
            pictures[index] = read_image(dataset[index].path)
    taken = [
        next(index for index, picture in pictures.items() if np.array_equal(picture, image))
        for image in readable_images(dataset, count, said.append)
    ]
    return taken, said


def test_images_are_taken_evenly_and_none_twice(dataset: DetectionDataset) -> None:
    assert chosen(dataset, 3) == ([0, 6, 11], [])
    assert chosen(dataset, 100) == (list(range(12)), [])


def test_another_is_taken_for_one_that_cannot_be_read(dataset: DetectionDataset) -> None:
    damage(dataset, 0, 1, 6)
    taken, said = chosen(dataset, 3)
    assert taken == [11, 2, 3]
    (line,) = said
    assert line.startswith("skipped, others taken instead: ") and line.endswith(" and 2 more")
    assert "0.png" in line


def test_where_none_can_be_read_that_is_one_line(dataset: DetectionDataset) -> None:
    damage(dataset, *range(12))
    with pytest.raises(DatasetError, match=r"none of its 12 images can be read \(.*0\.png") as told:
        chosen(dataset, 3)
    assert "\n" not in str(told.value)


def test_drawn_images_are_the_same_each_time_and_differ_from_one_another():
    first, second = drawn_images(2)
    assert first.shape == (240, 320, 3) and first.dtype == np.uint8
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(drawn_images(2), [first, second])


def test_drawn_images_have_edges_and_even_areas():
    (image,) = drawn_images(1)
    steps = np.abs(np.diff(image.astype(int), axis=1)).max(axis=2)
    assert 0.02 < np.mean(steps > 30) < 0.3
    assert np.mean(steps == 0) > 0.6
