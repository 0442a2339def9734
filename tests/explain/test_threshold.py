"""A threshold chosen on validation images is the model's own, wherever the model goes."""

from dataclasses import replace

import numpy as np
import pytest

import mindssd
from mindssd.build.model import load_model
from mindssd.deploy.graph import describe
from mindssd.deploy.manifest import InGraphNMS, shown_by, threshold_line
from mindssd.errors import ConfigError, MindSSDError, WeightsError
from mindssd.evaluation.calibration import with_temperature
from mindssd.evaluation.detections import DetectionTable
from mindssd.evaluation.outcomes import outcomes
from mindssd.evaluation.thresholds import best_f1, precision_of_at_least, recall_of_at_least
from mindssd.evaluation.truths import Truths
from mindssd.explain.calibrate import calibrate, rescored
from mindssd.explain.threshold import Wish, choose_thresholds, lines, require_saveable, save
from mindssd.geometry.selection import Selection
from mindssd.weights.safetensors_file import (
    from_strings,
    read_metadata,
    read_model,
    to_strings,
    write_model,
)
from tests.deploy.conftest import CLASS_NAMES, IMAGE_SIZE, deploy, manifest, random_outputs

__all__ = ["deploy"]

SIDE = 10


def found(detections, truths, class_names=("cat", "dog"), num_images=4):
    """Outcomes of (image, class, place, score) and (image, class, place), all of one size."""

    def boxes(rows):
        return np.array([(20 * place, 0, SIDE, SIDE) for _, _, place, *_ in rows]).reshape(-1, 4)

    def column(rows, index, kind):
        return np.array([row[index] for row in rows], kind)

    corners = boxes(detections).astype(np.float32)
    corners[:, 2:] += corners[:, :2]
    table = DetectionTable(
        column(detections, 0, np.int64),
        column(detections, 1, np.int32),
        corners,
        column(detections, 3, np.float32),
    )
    sides = boxes(truths).astype(np.float64)
    annotated = Truths(
        column(truths, 0, np.int64),
        column(truths, 1, np.int64),
        sides,
        np.full(len(truths), 100.0),
        np.zeros(len(truths), bool),
    )
    return outcomes(table, annotated, np.arange(num_images), class_names)


# Cats: right, right, wrong, right. Dogs: right, wrong.
DETECTIONS = [
    *((0, 0, 0, 0.9), (1, 0, 0, 0.8), (2, 0, 5, 0.7), (3, 0, 0, 0.6)),
    *((0, 1, 1, 0.5), (1, 1, 7, 0.3)),
]
TRUTHS = [(0, 0, 0), (1, 0, 0), (3, 0, 0), (0, 1, 1)]


def test_one_threshold_meets_the_precision_on_the_images_that_it_was_chosen_on():
    chosen = choose_thresholds(found(DETECTIONS, TRUTHS), Wish(precision_of_at_least(0.8), "p"))
    # Down to 0.5 four of five are right, which is all that there are.
    assert set(chosen.thresholds) == {"cat", "dog"}
    (threshold,) = set(chosen.thresholds.values())
    assert 0.3 < threshold < 0.5
    assert (chosen.together.precision, chosen.together.recall) == (0.8, 1.0)
    assert chosen.by == "p on 4 images"


def test_each_class_has_its_own_threshold_and_together_they_are_counted_as_such():
    wish = Wish(precision_of_at_least(1.0), "precision 1", per_class=True)
    chosen = choose_thresholds(found(DETECTIONS, TRUTHS), wish)
    assert 0.7 < chosen.thresholds["cat"] < 0.8
    assert 0.3 < chosen.thresholds["dog"] < 0.5
    assert (chosen.together.num_right, chosen.together.num_wrong) == (3, 0)
    assert chosen.unreached() == []


def test_a_goal_that_nothing_reaches_is_said_and_the_nearest_taken():
    missed = [*TRUTHS, (2, 1, 3)]
    wish = Wish(recall_of_at_least(1.0), "recall 1", per_class=True)
    chosen = choose_thresholds(found(DETECTIONS, missed), wish)
    assert chosen.unreached() == ["dog: recall 1 is reached by no threshold; the nearest is taken"]
    assert chosen.choices["dog"].threshold is None
    assert 0.3 < chosen.thresholds["dog"] < 0.5


def test_a_class_without_truths_takes_the_threshold_of_all_together():
    evidence = found(DETECTIONS, [truth for truth in TRUTHS if truth[1] == 0])
    chosen = choose_thresholds(evidence, Wish(best_f1, "highest F1", per_class=True))
    one = choose_thresholds(evidence, Wish(best_f1, "highest F1"))
    assert chosen.thresholds["dog"] == one.thresholds["dog"]
    assert chosen.unreached() == [
        "dog: no truths or no detections to choose by; taken from all together"
    ]


@pytest.mark.parametrize(
    ("detections", "truths", "what"), [([], TRUTHS, "detections"), (DETECTIONS, [], "truths")]
)
def test_with_nothing_to_choose_by_it_is_an_error(detections, truths, what):
    with pytest.raises(MindSSDError, match=f"have no {what} to choose a threshold by"):
        choose_thresholds(found(detections, truths), Wish(best_f1, "highest F1"))


def test_one_image_gives_a_threshold_and_no_figure_on_others():
    evidence = found([(0, 0, 0, 0.9)], [(0, 0, 0)], num_images=1)
    chosen = choose_thresholds(evidence, Wish(best_f1, "highest F1"))
    assert chosen.choices[""].elsewhere is None and 0.8 < chosen.thresholds["cat"] < 0.9
    assert lines(chosen) == [
        "right: IoU of 0.5 or more",
        "so few images cannot tell what to expect on new ones; validate on more",
    ]


def test_saved_thresholds_are_read_again_and_nothing_else_changes(untrained_model, tmp_path):
    copy = tmp_path / "copy.safetensors"
    save(untrained_model, copy, {"rectangle": 0.25, "ellipse": 0.5}, "recall 0.9 on 12 images")
    metadata, before = read_metadata(copy), read_metadata(untrained_model)
    assert metadata.thresholds == {"rectangle": 0.25, "ellipse": 0.5}
    assert threshold_line(metadata) == (
        "score > rectangle 0.25, ellipse 0.5 (recall 0.9 on 12 images)"
    )
    assert replace(metadata, thresholds={}, thresholds_by="") == before
    parameters, old = read_model(copy)[0], read_model(untrained_model)[0]
    assert all((parameters[name] == value).all() for name, value in old.items())
    assert threshold_line(before) is None


def test_a_class_that_the_validation_images_lack_gets_the_highest_threshold(
    untrained_model, tmp_path
):
    copy = tmp_path / "copy.safetensors"
    save(untrained_model, copy, {"ellipse": 0.5}, "highest F1 on 12 images")
    assert read_metadata(copy).thresholds == {"rectangle": 0.5, "ellipse": 0.5}
    assert threshold_line(read_metadata(copy)) == "score > 0.5 (highest F1 on 12 images)"


def test_a_description_of_before_has_no_thresholds_and_a_damaged_one_is_told(tmp_path):
    strings = to_strings(tmp_path, manifest().metadata)
    before = {key: value for key, value in strings.items() if "threshold" not in key}
    del before["temperature"]
    read = from_strings(tmp_path, before)
    assert (read.thresholds, read.temperature) == ({}, 1.0)
    assert shown_by(read).score_threshold == 0.3
    for wrong in ('{"cat": 0.5}', '{"cat": 2, "dog": 0.5, "hen": 0.5}', "3"):
        with pytest.raises(WeightsError, match="its description is damaged"):
            from_strings(tmp_path, strings | {"thresholds": wrong})


def test_a_model_shows_by_its_own_thresholds_unless_told_otherwise(
    untrained_model, quickest_engine, tmp_path
):
    """It scores everything 0.88."""
    copy = tmp_path / "copy.safetensors"
    image = np.zeros((64, 64, 3), np.uint8)
    for of_rectangles, num_shown in ((0.5, 36), (0.9, 0)):
        save(untrained_model, copy, {"rectangle": of_rectangles, "ellipse": 0.8}, "")
        detector = mindssd.load(copy, engine=quickest_engine, max_detections=36)
        assert len(detector(image)) == num_shown
    told = mindssd.load(copy, engine=quickest_engine, score_threshold=0.1, max_detections=36)
    assert len(told(image)) == 36


THRESHOLDS = {"cat": 0.35, "dog": 0.8, "hen": 0.55}


def deployed_with_thresholds(deploy, nms, name):
    import onnx

    path = deploy(nms=nms, name=name)
    described = manifest(nms)
    described = replace(described, metadata=replace(described.metadata, thresholds=THRESHOLDS))
    model = onnx.load(str(path))
    describe(model, described, path)
    path.write_bytes(model.SerializeToString())
    return path, described


@pytest.mark.parametrize("nms", [None, InGraphNMS(0.01, 0.5, 300), InGraphNMS(0.5, 0.5, 300)])
def test_an_exported_file_goes_by_the_thresholds_with_and_without_nms_inside(deploy, nms):
    path, described = deployed_with_thresholds(deploy, nms, "own.onnx")
    image = np.zeros((*IMAGE_SIZE, 3), np.uint8)
    detections = mindssd.load(path)(image)
    least = 0.0 if nms is None else nms.score_threshold
    assert described.shown().class_thresholds == tuple(max(x, least) for x in THRESHOLDS.values())
    every = mindssd.load(path, score_threshold=max(0.02, least), max_detections=300)(image)
    floors = np.array([max(THRESHOLDS[name], least) for name in CLASS_NAMES])
    rows = np.flatnonzero(every.scores > floors[every.class_ids])[:100]
    assert 3 < len(rows) < len(every)
    assert detections.class_ids.tolist() == every.class_ids[rows].tolist()
    np.testing.assert_array_equal(detections.boxes, every.boxes[rows])


def test_engine_and_exported_file_show_the_same_by_thresholds_of_classes(deploy):
    from mindssd.geometry.postprocess import PostProcess
    from tests.deploy.conftest import DEFAULT_BOXES

    path, described = deployed_with_thresholds(deploy, None, "own.onnx")
    detector = mindssd.load(path)
    image = np.full((*IMAGE_SIZE, 3), 128, np.uint8)
    detections = detector(image)
    mean = detector.predictor.prepare(image).mean()
    offsets, logits = random_outputs()
    raw = PostProcess(DEFAULT_BOXES, selection=described.shown())
    boxes, scores, class_ids = raw(offsets, logits + mean, IMAGE_SIZE)
    assert class_ids.tolist() == detections.class_ids.tolist()
    np.testing.assert_allclose(scores, detections.scores, atol=1e-5)
    np.testing.assert_allclose(boxes, detections.boxes, atol=1e-3)


def test_evaluation_stays_with_its_protocol():
    own = shown_by(replace(manifest().metadata, thresholds=THRESHOLDS))
    assert own.class_thresholds == (0.35, 0.8, 0.55) and own.score_threshold == 0.35
    from mindssd.evaluation.protocol import COCO

    assert COCO.selection.class_thresholds is None and COCO.as_dict().keys().isdisjoint(
        {"class_thresholds"}
    )
    assert Selection().with_thresholds([0.4]).threshold == 0.4


def test_what_cannot_be_saved_into_is_said_before_any_work(deploy, tmp_path):
    with pytest.raises(ConfigError, match=r"model\.onnx is an exported file: save into the model"):
        require_saveable(deploy(), None)
    with pytest.raises(ConfigError, match="is published, and shared by all: give --out FILE"):
        require_saveable(tmp_path / "ssd_mobilenetv2", None)
    require_saveable(tmp_path / "ssd_mobilenetv2", tmp_path / "copy.safetensors")


def test_write_model_is_what_save_writes_with(untrained_model, tmp_path):
    """In place: the model is whole afterwards, and keeps its metrics."""
    parameters, metadata = read_model(untrained_model)
    path = tmp_path / "best.safetensors"
    write_model(path, parameters, metadata)
    save(path, path, {"rectangle": 0.5, "ellipse": 0.5}, "")
    assert read_metadata(path).metrics == metadata.metrics


def test_saved_with_a_temperature_the_network_gives_divided_logits(
    untrained_model, quickest_engine, tmp_path
):
    """The class layers are divided, so that every engine and export computes it."""
    copy = tmp_path / "copy.safetensors"
    save(untrained_model, copy, {"rectangle": 0.5, "ellipse": 0.5}, "", temperature=2.0)
    images = np.random.default_rng(0).normal(0, 1, (1, 3, 64, 64)).astype(np.float32)
    before, after = (
        load_model(path, engine=quickest_engine).network.forward(images)
        for path in (untrained_model, copy)
    )
    np.testing.assert_allclose(after[1], before[1] / 2, rtol=1e-6)
    np.testing.assert_array_equal(after[0], before[0])
    again = tmp_path / "again.safetensors"
    save(copy, again, {"rectangle": 0.5, "ellipse": 0.5}, "", temperature=1.5)
    assert read_metadata(again).temperature == 3.0


def overconfident(num_images=200):
    """Detections whose logits are twice those of their frequencies, in images of one each."""
    rng = np.random.default_rng(0)
    frequencies = rng.uniform(0.1, 0.9, num_images)
    scores = with_temperature(frequencies, 0.5)
    right = rng.random(num_images) < frequencies
    detections = [
        (i, 0, 0 if is_right else 5, score)
        for i, (score, is_right) in enumerate(zip(scores, right, strict=True))
    ]
    return found(detections, [(i, 0, 0) for i in range(num_images)], ("cat",), num_images)


def test_a_temperature_makes_frequencies_of_overconfident_scores():
    evidence = overconfident()
    calibration = calibrate(evidence, 0.5)
    assert calibration.temperature == pytest.approx(2, abs=0.5)
    assert calibration.after < calibration.before
    assert calibration.elsewhere_after < calibration.elsewhere_before
    again = calibrate(rescored(evidence, calibration.temperature), 0.5)
    assert again.temperature == pytest.approx(1, abs=1e-3)
    assert calibration.line().startswith(f"temperature {calibration.temperature:.3f}: scores lie")


@pytest.mark.parametrize(
    ("score", "why"),
    [(0.9, "of which 1 are right: 0.5 tells all of them"), (0.2, "their scores do not tell which")],
    ids=["all on their side of a half", "turned round"],
)
def test_where_no_temperature_fits_it_is_said_why(score, why):
    with pytest.raises(MindSSDError, match=f"no temperature fits the 1 detections, .*{why}"):
        calibrate(found([(0, 0, 0, score)], [(0, 0, 0)]), 0.5)


def test_a_calibrated_model_has_the_same_curve_at_other_scores():
    evidence = overconfident()
    wish = Wish(precision_of_at_least(0.7), "precision 0.7")
    before, after = (choose_thresholds(x, wish) for x in (evidence, rescored(evidence, 2.0)))
    assert after.together == before.together
    expected = with_temperature(np.array([before.thresholds["cat"]]), 2.0)[0]
    assert after.thresholds["cat"] == pytest.approx(expected, abs=0.02)
