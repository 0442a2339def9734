"""A data set without a validation part is split: by content, by class, and with what belongs
together in one part."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mindssd.build.data import SPLIT_FILE, build_dataset, build_datasets
from mindssd.data.check import CheckReport
from mindssd.data.dataset import DetectionDataset
from mindssd.data.splitting import parts_of, read_split, split_off
from mindssd.errors import ConfigError, DatasetError
from tests.data.formats.folders import config_of, picture, whats


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty images in YOLO's format: a cat on each, a dog on every fifth."""
    folder = tmp_path / "set"
    for index in range(20):
        picture(folder / f"images/{index // 4}_{index}.png", seed=index)
        dog = "1 0.3 0.3 0.1 0.1\n" if index % 5 == 0 else ""
        label = folder / f"labels/{index // 4}_{index}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text("0 0.5 0.5 0.2 0.2\n" + dog)
    (folder / "classes.txt").write_text("cat\ndog\n")
    return folder


def names(folder: Path, *overrides: str) -> tuple[set[str], set[str]]:
    train, val, _ = build_datasets(config_of(folder, *overrides))
    assert not set(train.file_names) & set(val.file_names)
    return set(train.file_names), set(val.file_names)


def test_a_fifth_is_split_off_with_a_share_of_each_class(folder: Path) -> None:
    train, val, split = build_datasets(config_of(folder))
    assert (len(train), len(val)) == (16, 4)
    assert np.bincount(train.labels).tolist() == [0, 16, 3]
    assert np.bincount(val.labels).tolist() == [0, 4, 1]
    assert split is not None and split.val == [f"images/{name}" for name in val.file_names]
    assert "split for validation: 4 of 20 images" in val.report.lines()[0]
    assert len(names(folder, "val_share=0.5")[1]) == 10


def test_contents_decide_not_names_or_their_order(folder: Path) -> None:
    _, before = names(folder)
    moved = {}
    for place, path in enumerate(sorted((folder / "images").iterdir(), reverse=True)):
        new = f"z{place}"
        moved[path.name] = f"{new}.png"
        (folder / f"labels/{path.stem}.txt").rename(folder / f"labels/{new}.txt")
        path.rename(folder / f"images/{new}.png")
    assert names(folder)[1] == {moved[name] for name in before}


def test_images_of_a_group_and_copies_stay_together(folder: Path) -> None:
    for part in names(folder, r"group_by=^\d+_", "val_share=0.4"):
        groups = [name.split("_")[0] for name in part]
        assert all(groups.count(group) == 4 for group in groups)
    copied = folder / "images/copy.png"
    for index in range(20):
        copied.write_bytes((folder / f"images/{index // 4}_{index}.png").read_bytes())
        train, val = names(folder)
        part = train if "copy.png" in train else val
        assert f"{index // 4}_{index}.png" in part


def test_images_that_are_nearly_the_same_stay_together(folder: Path) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (20, 6, 8, 3), np.uint8)
    for index in range(20):
        picture = Image.fromarray(coarse[index]).resize((200, 150), Image.Resampling.BICUBIC)
        picture.save(folder / f"images/{index // 4}_{index}.png")
        if index < 10:
            picture.resize((160, 120)).save(folder / f"images/again_{index}.jpg", quality=80)
    for part in names(folder, "val_share=0.4"):
        for index in range(10):
            assert (f"{index // 4}_{index}.png" in part) == (f"again_{index}.jpg" in part)


def parts_of_whole(folder: Path) -> DetectionDataset:
    from mindssd.build.data import find_layout
    from mindssd.data.formats.parsed import assemble

    return assemble(find_layout(config_of(folder)).parts[""]())


def test_a_split_that_was_written_down_is_used_again(folder: Path, tmp_path: Path) -> None:
    _, val, split = build_datasets(config_of(folder, "val_share=0.4"))
    run = tmp_path / "run"
    run.mkdir()
    (run / SPLIT_FILE).write_bytes(split.to_json())
    assert read_split(run / SPLIT_FILE) == split
    gone = next(name for name in split.train)
    (folder / gone).unlink()
    picture(folder / "images/new.png", seed=99)
    again = build_dataset(config_of(folder), "val", model=run / "best.safetensors")
    assert again.file_names == val.file_names
    assert whats(build_dataset(config_of(folder), "train", model=run / "best.safetensors"))[
        -2:
    ] == [
        "1 images that came after the split: passed over",
        "1 images of the split that are no more: passed over",
    ]
    (run / SPLIT_FILE).write_text('{"train": 1}')
    with pytest.raises(DatasetError, match=r"split\.json: is no list of the images"):
        build_dataset(config_of(folder), "val", model=run / "best.safetensors")


@pytest.mark.parametrize("new", ["images/0.png", "0/0.png"])
def test_images_that_came_since_leave_the_parts_as_they_were(
    new: str, folder: Path, tmp_path: Path
) -> None:
    before = build_datasets(config_of(folder))
    (tmp_path / SPLIT_FILE).write_bytes(before[2].to_json())
    picture(folder / new, seed=99)
    after = build_datasets(config_of(folder), split_file=tmp_path / SPLIT_FILE)
    for part in (0, 1):
        assert after[part].fingerprint() == before[part].fingerprint()
        assert [path.rpartition("/")[2] for path in after[part].file_names] == before[
            part
        ].file_names
    assert after[2] == before[2]


def test_a_split_of_another_data_set_is_refused(folder: Path) -> None:
    whole = parts_of_whole(folder)
    split = split_off(whole, 0.2)
    other = DetectionDataset(**{**vars(whole), "file_names": [f"o{i}" for i in range(20)]})
    with pytest.raises(DatasetError, match="none of its 20 images is in the split"):
        parts_of(other, split)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["group_by=("], r"group_by=\(: no regular expression"),
        (["group_by=xyz"], "group_by=xyz: found in none of the 20 names, such as 0_0.png"),
    ],
)
def test_a_pattern_that_groups_nothing_is_refused(
    folder: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        names(folder, *overrides)


def test_a_pattern_changes_nothing_where_there_are_parts(tmp_path: Path) -> None:
    for part in ("train", "val"):
        picture(tmp_path / f"images/{part}/{part}.png")
        label = tmp_path / f"labels/{part}/{part}.txt"
        label.parent.mkdir(parents=True)
        label.write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "classes.txt").write_text("cat\n")
    with pytest.raises(ConfigError, match=r"group_by=a changes nothing: .* has a validation part"):
        build_dataset(config_of(tmp_path, "group_by=a"), "train")


def test_what_cannot_be_in_both_parts_is_refused(folder: Path) -> None:
    with pytest.raises(DatasetError, match="in 1 groups cannot be split so that both parts have"):
        names(folder, "group_by=_")


def test_an_image_that_cannot_be_read_goes_by_its_name(tmp_path: Path) -> None:
    dataset = DetectionDataset(
        class_names=("cat",),
        category_ids=(1,),
        annotation_file="x",
        image_dir=str(tmp_path),
        report=CheckReport("x", 5, 5, 0, 0),
        image_ids=np.arange(5),
        file_names=[f"{i}.png" for i in range(5)],
        sizes=np.full((5, 2), 50, np.int32),
        file_sizes=np.zeros((5, 2), np.int32),
        starts=np.arange(6),
        boxes_xywh=np.tile([1.0, 1, 5, 5], (5, 1)),
        areas=np.full(5, 25.0),
        labels=np.ones(5, np.int32),
        is_crowd=np.zeros(5, np.bool_),
    )
    assert len(split_off(dataset, 0.2).val) == 1
