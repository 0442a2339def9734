"""COCO's numbers: by hand, then against pycocotools, then the protocols and the nothing-cases."""

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import coco as pycocotools_coco
from pycocotools import cocoeval as pycocotools_cocoeval

from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.coco import load_coco
from mindssd.deploy.manifest import FOR_PEOPLE
from mindssd.errors import DatasetError
from mindssd.evaluation import coco
from mindssd.evaluation.coco import evaluate, score
from mindssd.evaluation.detections import DetectionTable, detect_images
from mindssd.evaluation.protocol import COCO, MINDCV, Protocol, chosen_images
from mindssd.geometry.postprocess import PostProcess
from mindssd.geometry.selection import Selection
from mindssd.images import Normalization
from mindssd.inference.predictor import Predictor
from mindssd.types import Array, Detections
from tests.default_boxes import default_boxes_at

Annotation = dict[str, Any]
Found = tuple[int, int, tuple[float, float, float, float], float]
"""Image id, class from 0, (x1, y1, x2, y2), score."""


def box(image_id: int, xywh: tuple[float, ...], category_id: int = 1, **more: Any) -> Annotation:
    return {"image_id": image_id, "category_id": category_id, "bbox": list(xywh), **more}


def dataset_of(
    folder: Path,
    annotations: list[Annotation],
    image_ids: tuple[int, ...] = (1, 2),
    categories: tuple[tuple[int, str], ...] = ((1, "cat"), (7, "dog")),
) -> DetectionDataset:
    """Write a data set of white 200×100 pictures, and load it."""
    images = []
    for image_id in image_ids:
        Image.new("RGB", (200, 100), "white").save(folder / f"{image_id}.png")
        images.append({"id": image_id, "file_name": f"{image_id}.png", "width": 200, "height": 100})
    path = folder / "instances.json"
    named = [{"id": category_id, "name": name} for category_id, name in categories]
    contents = {"images": images, "annotations": annotations, "categories": named}
    path.write_text(json.dumps(contents))
    return load_coco(path, folder)


def table_of(found: list[Found]) -> DetectionTable:
    return DetectionTable(
        image_ids=np.array([image_id for image_id, _, _, _ in found], np.int64),
        class_ids=np.array([class_id for _, class_id, _, _ in found], np.int32),
        boxes=np.array([corners for _, _, corners, _ in found], np.float32).reshape(-1, 4),
        scores=np.array([value for _, _, _, value in found], np.float32),
    )


def every_image(dataset: DetectionDataset) -> list[int]:
    return list(range(len(dataset)))


def test_one_of_two_truths_found_before_a_false_detection_is_half_of_the_precision(
    tmp_path: Path,
) -> None:
    dataset = dataset_of(tmp_path, [box(1, (10, 10, 40, 40)), box(2, (10, 10, 40, 40))])
    table = table_of([(1, 0, (10, 10, 50, 50), 0.9), (2, 0, (100, 10, 140, 50), 0.8)])
    result = score(table, dataset, every_image(dataset))
    # Precision is 1 at the recalls 0, 0.01, … 0.50 and 0 beyond: 51 of 101.
    assert [result.ap, result.ap50, result.ap75] == pytest.approx([51 / 101] * 3)
    assert result.ar1 == result.ar100 == 0.5
    assert (result.num_images, result.num_truths, result.num_detections) == (2, 2, 2)


def test_a_box_of_iou_two_thirds_counts_up_to_that_threshold(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [box(1, (0, 0, 60, 60))])
    result = score(table_of([(1, 0, (0, 0, 60, 40), 0.9)]), dataset, every_image(dataset))
    assert result.ap50 == 1 and result.ap75 == 0
    assert result.ap == pytest.approx(4 / 10)  # 0.50, 0.55, 0.60, 0.65


def test_size_is_the_area_in_the_file_not_that_of_the_box(tmp_path: Path) -> None:
    # 40 × 40 = 1600 is medium; the segmentation's 1000 is small.
    table = table_of([(1, 0, (10, 10, 50, 50), 0.9)])
    with_area = dataset_of(tmp_path, [box(1, (10, 10, 40, 40), area=1000.0)])
    small = score(table, with_area, [0, 1])
    assert (small.ap_small, small.ap_medium) == (1, None)
    without_area = dataset_of(tmp_path, [box(1, (10, 10, 40, 40))])
    medium = score(table, without_area, [0, 1])
    assert (medium.ap_small, medium.ap_medium) == (None, 1)


def test_detections_in_a_crowd_are_neither_right_nor_wrong(tmp_path: Path) -> None:
    truths = [box(1, (10, 10, 40, 40)), box(1, (100, 0, 100, 100), iscrowd=1)]
    dataset = dataset_of(tmp_path, truths)
    inside_the_crowd: list[Found] = [(1, 0, (110 + x, 10, 130 + x, 30), 0.95) for x in (0, 20, 40)]
    table = table_of([*inside_the_crowd, (1, 0, (10, 10, 50, 50), 0.9)])
    result = score(table, dataset, every_image(dataset))
    assert result.ap == 1
    assert (result.num_truths, result.num_crowds) == (1, 1)


def random_data(
    folder: Path, seed: int, num_images: int, num_classes: int
) -> tuple[DetectionDataset, list[Found]]:
    """Truths with crowds, ids with gaps, images and a class without any; detections around them.

    Half of the scores are of eleven values, so that there are ties in an image and between images.
    """
    rng = np.random.default_rng(seed)
    category_ids = np.sort(rng.choice(np.arange(1, 60), num_classes, replace=False)).tolist()
    image_ids = rng.permutation(np.arange(10, 10 + 3 * num_images, 3)).tolist()
    annotations: list[Annotation] = []
    found: list[Found] = []

    def detect(image_id: int, class_id: int, corners: Array) -> None:
        x1, y1, x2, y2 = (float(value) for value in corners.astype(np.float32))
        value = float(np.float32(rng.random()))
        rounded = round(value, 1) if rng.random() < 0.5 else value
        found.append((image_id, class_id, (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)), rounded))

    for image_id in image_ids:
        num_truths = int(rng.integers(1, 12)) if rng.random() < 0.8 else 0
        for _ in range(num_truths):
            class_id = int(rng.integers(max(1, num_classes - 1)))  # the last one has no truths
            x, y = rng.uniform(0, 120), rng.uniform(0, 60)
            width, height = rng.uniform(2, 80), rng.uniform(2, 40)
            area = width * height * rng.uniform(0.4, 1)
            crowd = int(rng.random() < 0.15)
            truth = box(image_id, (x, y, width, height), category_ids[class_id])
            annotations.append(
                {**truth, "area": area, "iscrowd": crowd, "id": len(annotations) + 1}
            )
            for _ in range(int(rng.integers(0, 4))):
                shift = rng.normal(0, 0.1, 4) * [width, height, width, height]
                guess = class_id if rng.random() < 0.8 else int(rng.integers(num_classes))
                detect(image_id, guess, np.array([x, y, x + width, y + height]) + shift)
        if rng.random() < 0.1:  # more of one class than the 100 that count
            for corners in rng.uniform(0, 100, (130, 4)):
                detect(image_id, 0, corners)
    categories = tuple((category_id, f"class {category_id}") for category_id in category_ids)
    return dataset_of(folder, annotations, tuple(image_ids), categories), found


def pycocotools_numbers(dataset: DetectionDataset, found: list[Found]) -> Array:
    results = [
        {
            "image_id": image_id,
            "category_id": dataset.category_ids[class_id],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": float(np.float32(value)),
        }
        for image_id, class_id, (x1, y1, x2, y2), value in found
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truths = pycocotools_coco.COCO(dataset.annotation_file)
        evaluator = pycocotools_cocoeval.COCOeval(truths, truths.loadRes(results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return np.asarray(evaluator.stats)


@pytest.mark.parametrize("at_once", [50_000, 40], ids=["all classes at once", "few at once"])
@pytest.mark.parametrize(
    ("seed", "num_images", "num_classes"), [(0, 30, 5), (1, 3, 2), (2, 60, 20), (3, 12, 1)]
)
def test_the_twelve_numbers_are_those_of_pycocotools(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
    seed: int,
    num_images: int,
    num_classes: int,
) -> None:
    monkeypatch.setattr(coco, "ANNOTATIONS_AT_ONCE", at_once)
    dataset, found = random_data(tmp_path, seed, num_images, num_classes)
    result = score(table_of(found), dataset, every_image(dataset))
    ours = [-1 if value is None else value for value in result.twelve_numbers().values()]
    np.testing.assert_allclose(ours, pycocotools_numbers(dataset, found), rtol=0, atol=1e-9)


def test_the_mean_over_the_classes_is_the_whole(tmp_path: Path) -> None:
    dataset, found = random_data(tmp_path, 4, 20, 6)
    result = score(table_of(found), dataset, every_image(dataset))
    assert result.per_class[-1].ap is None and result.per_class[-1].num_truths == 0
    with_truths = [each.ap for each in result.per_class if each.ap is not None]
    assert result.ap == pytest.approx(float(np.mean(with_truths)))


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    dataset, found = random_data(tmp_path, 5, 5, 3)
    score(table_of(found), dataset, every_image(dataset))
    assert capfd.readouterr() == ("", "")


def test_no_detections_at_all_give_ap_zero(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [box(1, (10, 10, 40, 40))])
    result = score(table_of([]), dataset, every_image(dataset))
    assert result.ap == result.ap50 == result.ar100 == result.ap_medium == 0
    assert [each.ap for each in result.per_class] == [0, None]


def test_no_truths_at_all_give_no_numbers_and_valid_json(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [])
    result = score(table_of([(1, 0, (0, 0, 9, 9), 0.9)]), dataset, every_image(dataset))
    assert set(result.twelve_numbers().values()) == {None}
    assert result.num_detections == 1
    json.dumps(result.as_dict(), allow_nan=False)


def test_no_images_give_no_numbers(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [box(1, (10, 10, 40, 40))])
    result = score(table_of([(1, 0, (10, 10, 50, 50), 0.9)]), dataset, [])
    assert (result.ap, result.num_images, result.num_detections) == (None, 0, 0)


def test_boxes_that_training_drops_are_no_truths_here_either(tmp_path: Path) -> None:
    broken = [(10, 10, 0, 40), (50, 50, -20, 10), (300, 10, 20, 20), (5, float("nan"), 9, 9)]
    truths = [box(1, (10, 10, 40, 40)), *(box(1, xywh) for xywh in broken)]
    dataset = dataset_of(tmp_path, truths)
    result = score(table_of([(1, 0, (10, 10, 50, 50), 0.9)]), dataset, every_image(dataset))
    assert result.num_truths == len(dataset[0].boxes) == 1
    assert result.ap == 1


@pytest.mark.parametrize("protocol", [COCO, MINDCV], ids=["coco", "mindcv"])
def test_files_of_half_the_annotated_size_have_the_same_figures(
    tmp_path: Path, protocol: Protocol
) -> None:
    whole, found = random_data(tmp_path, 6, 20, 4)
    halves = [(i, c, tuple(side / 2 for side in corners), s) for i, c, corners, s in found]
    expected = score(table_of(found), whole, chosen_images(whole, protocol), protocol)
    for record in whole:
        Image.new("RGB", (100, 50), "white").save(record.path)
    half = load_coco(Path(whole.annotation_file), tmp_path)
    assert (half[0].width, half[0].height) == (100, 50)
    result = score(table_of(halves), half, chosen_images(half, protocol), protocol)
    for name in ("ap", "ap50", "ap75", "ar1", "ar10", "ar100"):
        assert getattr(result, name) == pytest.approx(getattr(expected, name), abs=1e-12)
    assert [each.ap for each in result.per_class] == pytest.approx(
        [each.ap for each in expected.per_class]
    )
    # A quarter of the pixels: what was medium of up to 64² is small.
    assert np.concatenate([record.areas for record in half]).sum() == pytest.approx(
        np.concatenate([record.areas for record in whole]).sum() / 4
    )


def test_a_negative_area_leaves_a_truth_a_truth(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [box(1, (10, 10, 40, 40), area=-1600)])
    result = score(table_of([(1, 0, (10, 10, 50, 50), 0.9)]), dataset, every_image(dataset))
    assert (result.ap, result.ap_medium, result.num_truths) == (1, 1, 1)


def test_of_a_box_annotated_twice_one_detection_finds_all(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [box(1, (10, 10, 40, 40)), box(1, (10, 10, 40, 40), id=99)])
    result = score(table_of([(1, 0, (10, 10, 50, 50), 0.9)]), dataset, every_image(dataset))
    assert (result.ap, result.num_truths) == (1, 1)


def test_the_mindcv_protocol_leaves_out_images_without_boxes_and_with_a_crowd(
    tmp_path: Path,
) -> None:
    truths = [
        box(1, (10, 10, 40, 40)),
        box(2, (10, 10, 40, 40)),
        box(2, (0, 0, 90, 90), iscrowd=1),
    ]
    dataset = dataset_of(tmp_path, truths, image_ids=(1, 2, 3))
    assert chosen_images(dataset, MINDCV) == [0]
    assert chosen_images(dataset, COCO) == [0, 1, 2]
    # A miss in an image that is left out costs nothing.
    table = table_of([(1, 0, (10, 10, 50, 50), 0.9), (3, 0, (0, 0, 9, 9), 0.99)])
    result = score(table, dataset, chosen_images(dataset, MINDCV), MINDCV)
    assert (result.ap, result.num_images, result.num_detections) == (1, 1, 1)


def sees_the_left_half(images: Array) -> tuple[Array, Array]:
    """A network that finds class 0 there with score 0.05, and class 1 with 0.9."""
    offsets = np.zeros((len(images), 1, 4), np.float32)
    logits = np.tile(np.log([1.0, 0.05 / 0.95, 9.0]).astype(np.float32), (len(images), 1, 1))
    return offsets, logits


HARDLY_ANYTHING = Selection(score_threshold=0.99)


def half_predictor(
    class_names: tuple[str, ...] = ("cat", "dog"),
    selection: Selection = HARDLY_ANYTHING,
) -> Predictor:
    left_half = default_boxes_at(np.array([[0.25, 0.5, 0.5, 1.0]], np.float32))
    return Predictor(
        forward=sees_the_left_half,
        image_size=(8, 8),
        normalization=Normalization(),
        postprocess=PostProcess(left_half, selection=selection),
        class_names=class_names,
        batch_size=2,
        num_threads=1,
    )


LEFT_HALF = (0, 0, 100, 100)


def test_the_protocol_s_threshold_replaces_the_predictor_s(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [box(i, LEFT_HALF, c) for i in (1, 2) for c in (1, 7)])
    by_coco = evaluate(half_predictor(), dataset, COCO)
    assert [each.ap for each in by_coco.per_class] == [1, 1]
    by_mindcv = evaluate(half_predictor(), dataset, MINDCV)
    assert [each.ap for each in by_mindcv.per_class] == [0, 1]
    assert (by_coco.num_detections, by_mindcv.num_detections) == (4, 2)
    assert by_coco.images_per_second is not None and by_coco.images_per_second > 0


def test_every_setting_of_the_protocol_replaces_the_predictor_s(tmp_path: Path) -> None:
    """Nothing of how a predictor selects for people is left, and nothing of a protocol is lost."""
    dataset = dataset_of(tmp_path, [box(1, LEFT_HALF, c) for c in (1, 7)])
    for_people = half_predictor(selection=FOR_PEOPLE)
    assert [each.ap for each in evaluate(for_people, dataset, COCO).per_class] == [1, 1]
    one_class = Protocol("mine", replace(COCO.selection, across_classes_iou=0.5))
    result = evaluate(half_predictor(selection=COCO.selection), dataset, one_class)
    assert [each.ap for each in result.per_class] == [0, 1]
    assert result.as_dict()["protocol"]["across_classes_iou"] == 0.5


def test_classes_that_the_data_set_lacks_take_up_no_room_in_the_limit(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [box(1, LEFT_HALF, 1)])  # a cat
    best_alone = Protocol("mine", replace(COCO.selection, max_detections=1))
    result = evaluate(half_predictor(("cat", "zebra")), dataset, best_alone)  # zebra: 0.9
    assert result.per_class[0].ap == 1


def test_a_predictor_of_chosen_classes_is_scored_on_them_alone(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [box(1, LEFT_HALF, c) for c in (1, 7)])
    predictor = half_predictor()
    cats = replace(predictor, postprocess=replace(predictor.postprocess, class_ids=(0,)))
    assert [each.ap for each in evaluate(cats, dataset).per_class] == [1, 0]


def test_progress_is_told_after_each_image(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    dataset = dataset_of(tmp_path, [box(1, LEFT_HALF)], image_ids=(1, 2, 3))
    evaluate(half_predictor(), dataset, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_an_image_that_cannot_be_read_is_named_and_its_truths_are_missed(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [box(1, LEFT_HALF, 7), box(2, LEFT_HALF, 7)])
    (tmp_path / "2.png").write_bytes(b"not a picture")
    result = evaluate(half_predictor(), dataset)
    assert len(result.unreadable) == 1 and "2.png" in result.unreadable[0]
    assert result.ar100 == 0.5


def test_classes_are_matched_by_name_and_unknown_ones_do_not_count(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [box(1, LEFT_HALF, 1)])  # a cat
    assert evaluate(half_predictor(("dog", "cat")), dataset).per_class[0].ap == 1
    with_zebras = evaluate(half_predictor(("cat", "zebra")), dataset)
    assert (with_zebras.per_class[0].ap, with_zebras.num_detections) == (1, 2)
    with pytest.raises(DatasetError, match=r"none of the model's classes \(fish, zebra\)"):
        evaluate(half_predictor(("fish", "zebra")), dataset)


def test_devices_can_share_the_images(tmp_path: Path) -> None:
    dataset, _ = random_data(tmp_path, 6, 5, 3)
    names = dataset.class_names[:2]
    whole = detect_images(half_predictor(names), dataset, range(5))
    parts = [detect_images(half_predictor(names), dataset, share) for share in ([0, 2, 4], [1, 3])]
    merged = score(DetectionTable.merge(parts), dataset, range(5))
    assert merged.twelve_numbers() == score(whole, dataset, range(5)).twelve_numbers()


def test_detections_of_images_stack_into_a_table() -> None:
    names = ("cat", "dog")
    two = Detections(
        np.zeros((2, 4), np.float32), np.ones(2, np.float32), np.array([1, 0], np.int32), names
    )
    table = DetectionTable.from_detections([5, 6, 9], [two, Detections.empty(names), two])
    assert table.image_ids.tolist() == [5, 5, 9, 9]
    assert table.class_ids.tolist() == [1, 0, 1, 0]
    assert len(DetectionTable.from_detections([], [])) == 0
