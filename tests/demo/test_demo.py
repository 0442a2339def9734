"""The demo data set: what lies in the folder, whether its boxes are true, and how it is redone."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from mindssd.data.formats.coco import load_coco_split
from mindssd.demo.generate import CLASS_NAMES, generate_demo
from mindssd.demo.scene import LEAST_VISIBLE_SHARE, Truth, draw_scene
from mindssd.demo.shapes import curve, ribbon
from mindssd.demo.sketch import Sketch, noise, relief
from mindssd.demo.species import ANIMALS, PLANTS
from mindssd.errors import DatasetError

SMALL = {"num_train": 32, "num_val": 20, "image_size": (96, 128)}
TINY = {"num_train": 2, "num_val": 1, "image_size": (64, 80)}


@pytest.fixture(scope="module")
def demo_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "reef"
    assert generate_demo(path, **SMALL)
    return path


@pytest.fixture(scope="module")
def annotations(demo_dir: Path) -> dict[str, dict]:
    return {
        split: json.loads((demo_dir / "annotations" / f"instances_{split}2017.json").read_text())
        for split in ("train", "val")
    }


def digests(data_dir: Path) -> dict[str, str]:
    return {
        str(path.relative_to(data_dir)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(data_dir.rglob("*"))
        if path.is_file()
    }


def scenes() -> Iterator[tuple[np.ndarray, list[Truth]]]:
    for index in range(12):
        yield draw_scene("train", index, seed=0, size=(96, 128))


def test_sketch_fills_the_square_it_is_given():
    sketch = Sketch(unit=40)
    square = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    sketch.paint(np.array([0.2, 0.4, 1.0], np.float32)[:, None, None], square)
    sprite = np.asarray(sketch.sprite())
    height, width, _ = sprite.shape
    assert 40 <= height <= 43 and 40 <= width <= 43  # its empty margins are cut off
    assert sprite[..., 3].sum() / 255 == pytest.approx(40 * 40, rel=0.1)
    np.testing.assert_array_equal(sprite[height // 2, width // 2], [51, 102, 255, 255])


def test_a_sketch_turned_by_a_quarter_has_what_faced_right_below():
    sketch = Sketch(unit=10, angle=np.pi / 2)
    sketch.paint(np.ones((3, 1, 1), np.float32), ribbon([(0, 0), (1, 0)], 0.4))
    sprite = sketch.sprite()
    assert sprite.height > 2 * sprite.width
    assert sketch.x[-1, 13] > 1 and abs(sketch.y[-1, 13]) < 0.1


def test_a_curve_joins_its_first_point_and_its_last_and_bends_towards_those_between():
    line = curve([(0, 0), (1, 2), (2, 0)])
    np.testing.assert_allclose(line[[0, -1]], [[0, 0], [2, 0]], atol=1e-12)
    assert line[:, 1].max() == pytest.approx(1, abs=0.01)  # half of the way to the middle one


def test_a_ribbon_is_as_wide_as_told():
    outline = ribbon([(0, 0), (2, 0)], 0.5)
    assert outline.min(axis=0) == pytest.approx([-0.25, -0.25], abs=1e-9)  # with its round ends
    assert outline.max(axis=0) == pytest.approx([2.25, 0.25], abs=1e-9)
    tapering = ribbon([(0, 0), (2, 0)], 0.5, 0)
    assert np.abs(tapering[tapering[:, 0] > 0.99][:, 1]).max() == pytest.approx(0.125, abs=0.01)


def test_light_comes_from_above():
    mask = np.zeros((60, 60), np.uint8)
    cv2.circle(mask, (30, 30), 22, 255, -1)
    light = relief(mask, radius=15)
    assert light[14, 30] > light[46, 30] + 0.2
    assert light.min() >= 0 and light.max() <= 1.001


@pytest.mark.parametrize("name", [*ANIMALS, *PLANTS])
def test_no_two_drawings_are_alike_and_each_follows_from_its_seed(name: str):
    species = {**ANIMALS, **PLANTS}[name]
    first, again, other = (species.draw(np.random.default_rng(seed), 30) for seed in (0, 0, 1))
    assert first.mode == "RGBA" and min(first.size) > 10
    assert first.tobytes() == again.tobytes() != other.tobytes()


@pytest.mark.parametrize("size", [(1, 50), (40, 60), (33, 7)])
def test_noise_has_the_size_asked_for_and_is_smooth(size: tuple[int, int]):
    field = noise(np.random.default_rng(0), size, cell=20, octaves=2)
    assert field.shape == size
    assert np.abs(field).max() < 2.5
    assert np.abs(np.diff(field, axis=1)).max() < 0.6


def test_demo_loads_as_coco_without_a_finding(demo_dir: Path):
    for split, num_images in (("train", 32), ("val", 20)):
        dataset = load_coco_split(demo_dir, split)
        assert len(dataset) == num_images
        assert dataset.class_names == CLASS_NAMES
        assert dataset.report.findings == ()
        image = cv2.imread(dataset[0].path)
        assert image.shape == (dataset[0].height, dataset[0].width, 3) == (96, 128, 3)


def test_annotations_are_valid_coco(annotations: dict[str, dict]):
    for content in annotations.values():
        image_ids = [image["id"] for image in content["images"]]
        ids = [annotation["id"] for annotation in content["annotations"]]
        assert len(set(image_ids)) == len(image_ids) and len(set(ids)) == len(ids)
        for annotation in content["annotations"]:
            x, y, width, height = annotation["bbox"]
            assert x >= 0 and y >= 0 and x + width <= 128 and y + height <= 96
            assert 0 < annotation["area"] <= width * height
            assert annotation["image_id"] in image_ids
            assert annotation["iscrowd"] == 0


def test_every_class_is_in_both_splits(annotations: dict[str, dict]):
    for content in annotations.values():
        seen = {annotation["category_id"] for annotation in content["annotations"]}
        assert seen == {category["id"] for category in content["categories"]} == {1, 2, 3, 4, 5}


def test_some_animals_are_hidden_in_part_and_none_nearly_wholly(annotations: dict[str, dict]):
    shares = np.array([truth["visible_share"] for truth in annotations["train"]["annotations"]])
    assert shares.min() >= LEAST_VISIBLE_SHARE
    assert shares.max() == 1
    assert 0.1 < np.mean(shares < 0.95) < 0.7


def test_some_pictures_show_no_animal(annotations: dict[str, dict]):
    for content in annotations.values():
        with_animals = {annotation["image_id"] for annotation in content["annotations"]}
        num_empty = len(content["images"]) - len(with_animals)
        assert 1 <= num_empty <= 0.25 * len(content["images"])


def test_boxes_are_tight_about_what_is_visible(annotations: dict[str, dict]):
    for index, (image, truths) in enumerate(scenes()):
        found = [a for a in annotations["train"]["annotations"] if a["image_id"] == index + 1]
        for truth, annotation in zip(truths, found, strict=True):
            x, y, width, height = annotation["bbox"]
            assert truth.visible.shape == image.shape[:2]
            inside = truth.visible[y : y + height, x : x + width]
            assert inside.sum() == truth.visible.sum() == annotation["area"] > 0
            assert inside[0].any() and inside[-1].any()
            assert inside[:, 0].any() and inside[:, -1].any()


def test_animals_that_are_not_translucent_share_no_more_than_their_rims():
    for _, truths in scenes():
        solid = [truth.visible for truth in truths if truth.class_name != "jellyfish"]
        if solid:
            owners = np.sum(solid, axis=0)
            assert np.count_nonzero(owners > 1) <= 0.05 * np.count_nonzero(owners)


def test_same_seed_gives_the_same_bytes_with_any_number_of_workers(tmp_path: Path):
    assert generate_demo(tmp_path / "here", seed=3, **TINY)
    assert generate_demo(tmp_path / "workers", seed=3, num_workers=1, **TINY)
    assert digests(tmp_path / "here") == digests(tmp_path / "workers")


def test_seeds_and_splits_differ():
    first, _ = draw_scene("train", 0, seed=0, size=(64, 80))
    assert not np.array_equal(first, draw_scene("train", 0, 1, (64, 80))[0])
    assert not np.array_equal(first, draw_scene("val", 0, 0, (64, 80))[0])


def test_a_complete_demo_is_left_alone(tmp_path: Path):
    assert generate_demo(tmp_path, **TINY)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    assert not generate_demo(tmp_path, **TINY)
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}


def test_a_generation_broken_off_leaves_no_annotations_and_is_redone(tmp_path: Path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    generate_demo(whole, **TINY)

    def break_off(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_demo(broken, progress=break_off, **TINY)
    assert len(list(broken.rglob("*.jpg"))) == 2
    with pytest.raises(DatasetError, match="no such file"):
        load_coco_split(broken, "train")
    assert generate_demo(broken, **TINY)
    assert digests(broken) == digests(whole)


def test_a_missing_picture_is_drawn_again(tmp_path: Path):
    generate_demo(tmp_path, **TINY)
    before = digests(tmp_path)
    next((tmp_path / "val2017").iterdir()).unlink()
    assert generate_demo(tmp_path, **TINY)
    assert digests(tmp_path) == before


def test_other_parameters_replace_the_demo_but_no_other_file(tmp_path: Path):
    generate_demo(tmp_path, **TINY)
    (tmp_path / "notes.txt").write_text("mine")
    assert generate_demo(tmp_path, **{**TINY, "num_train": 1})
    assert [path.name for path in (tmp_path / "train2017").iterdir()] == ["000000000001.jpg"]
    assert len(load_coco_split(tmp_path, "train")) == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_demo_of_an_earlier_version_is_drawn_anew(tmp_path: Path):
    earlier = {"version": 1, "num_train": 9, "num_val": 1, "complete": True}
    (tmp_path / "demo.json").write_text(json.dumps(earlier))
    (tmp_path / "train2017").mkdir()
    (tmp_path / "train2017" / "000000000009.jpg").write_bytes(b"an earlier picture")
    assert generate_demo(tmp_path, **TINY)
    assert len(list((tmp_path / "train2017").iterdir())) == 2


def test_a_folder_that_a_generation_broken_off_at_once_leaves_is_taken(tmp_path: Path):
    (tmp_path / ".demo.json.77.tmp").write_bytes(b"")
    assert generate_demo(tmp_path, **TINY)


@pytest.mark.parametrize("marker", ["[1]", "{", '{"num_train": "two"}', "\udcff"])
def test_a_folder_with_another_demo_json_is_refused(tmp_path: Path, marker: str):
    (tmp_path / "demo.json").write_bytes(marker.encode(errors="surrogateescape"))
    with pytest.raises(DatasetError, match="something other than the demo"):
        generate_demo(tmp_path, **TINY)


def test_a_file_in_the_folders_place_is_named(tmp_path: Path):
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(DatasetError, match="demo: cannot hold the demo"):
        generate_demo(tmp_path / "demo", **TINY)
    assert (tmp_path / "demo").read_text() == "mine"


def test_a_folder_with_other_data_is_refused_and_kept(tmp_path: Path):
    (tmp_path / "train2017").mkdir()
    (tmp_path / "train2017" / "000000000001.jpg").write_bytes(b"a user's own")
    with pytest.raises(DatasetError, match="something other than the demo"):
        generate_demo(tmp_path, **TINY)
    assert (tmp_path / "train2017" / "000000000001.jpg").read_bytes() == b"a user's own"


def test_progress_counts_up_to_all_pictures(tmp_path: Path):
    calls: list[tuple[int, int]] = []
    generate_demo(tmp_path, progress=lambda done, total: calls.append((done, total)), **TINY)
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    "wrong", [{"num_val": 0}, {"seed": -1}, {"image_size": (10, 80)}], ids=lambda wrong: str(wrong)
)
def test_parameters_out_of_range_are_named(tmp_path: Path, wrong: dict):
    with pytest.raises(DatasetError, match="expected"):
        generate_demo(tmp_path / "demo", **{**TINY, **wrong})
    assert not (tmp_path / "demo").exists()
