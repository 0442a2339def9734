"""A predictor scored on a data set: by the protocol's settings, its classes, all its images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mindssd.deploy.manifest import FOR_PEOPLE
from mindssd.errors import DatasetError
from mindssd.evaluation.coco import evaluate, score
from mindssd.evaluation.detections import DetectionTable, detect_images
from mindssd.evaluation.protocol import COCO, MINDCV, Protocol
from mindssd.geometry.postprocess import PostProcess
from mindssd.geometry.selection import Selection
from mindssd.images import Normalization
from mindssd.inference.predictor import Predictor
from mindssd.types import Array, Detections
from tests.coco_sets import box, dataset_of, random_data
from tests.default_boxes import default_boxes_at


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
