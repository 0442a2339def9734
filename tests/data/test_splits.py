"""Training and validation images together: what they share, and if there is anything to learn."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mindssd.data import splits
from mindssd.data.dataset import DetectionDataset
from mindssd.data.splits import paired, require_boxes, shared_images
from mindssd.errors import DatasetError
from tests.data.coco_files import annotation, image, load


def dataset_of(folder: Path, *numbers: int, **more: Any) -> DetectionDataset:
    """Pictures NUMBER.bmp of noise, all of one length, with a box each."""
    folder.mkdir()
    images = [image(number, f"{number}.bmp") for number in numbers]
    dataset = load(folder, images, [annotation(n, 2, 1, 2, 3, 4, **more) for n in numbers])
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 256, (50, 100, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.bmp")
    return dataset


def test_files_of_one_content_are_shared_whatever_their_names(tmp_path: Path) -> None:
    train, val = dataset_of(tmp_path / "train", 1, 2, 3), dataset_of(tmp_path / "val", 4, 5)
    assert shared_images(train, val) == []
    shutil.copy(tmp_path / "train" / "2.bmp", tmp_path / "val" / "5.bmp")
    (finding,) = paired(train, val).report.findings
    assert str(finding) == (
        "1 of 2 validation images are training images too: AP says little of new ones "
        "(such as 5.bmp)"
    )


def test_one_name_for_other_pictures_is_nothing(tmp_path: Path) -> None:
    train, val = dataset_of(tmp_path / "train", 1, 2), dataset_of(tmp_path / "val", 1, 2)
    assert shared_images(train, val)[0].count == 2
    pixels = np.array(Image.open(tmp_path / "val" / "1.bmp"))
    pixels[25] ^= 255
    Image.fromarray(pixels).save(tmp_path / "val" / "1.bmp")
    (tmp_path / "val" / "2.bmp").write_bytes(b"")
    assert shared_images(train, val) == []


def test_of_very_many_files_those_of_one_name_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splits, "_MANY_FILES", 4)
    train, val = dataset_of(tmp_path / "train", 1, 2, 3), dataset_of(tmp_path / "val", 3, 4)
    shutil.copy(tmp_path / "train" / "2.bmp", tmp_path / "val" / "4.bmp")
    (finding,) = shared_images(train, val)
    assert (finding.count, finding.example) == (1, "3.bmp")


def test_nothing_to_learn_is_an_error_with_the_cause(tmp_path: Path) -> None:
    require_boxes(dataset_of(tmp_path / "sound", 1))
    crowds = dataset_of(tmp_path / "crowds", 1, 2, iscrowd=1)
    with pytest.raises(
        DatasetError, match=r"json: has no boxes to learn from: 2 crowds, which are"
    ):
        require_boxes(crowds)
    assert crowds.report.lines()[1] == "  no boxes: nothing to learn, and no AP"
    empty = load(tmp_path, [image(1)], [])
    with pytest.raises(DatasetError, match="json: has no boxes to learn from; expected at least"):
        require_boxes(empty)
    dropped = load(tmp_path, [image(1)], [annotation(1, 2, 1, 2, 0, 3)] * 2)
    with pytest.raises(DatasetError, match="learn from: 2 boxes without area: dropped"):
        require_boxes(dropped)
