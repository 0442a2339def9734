"""Models on the same images: what is better, by which objects, and what cannot be compared."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mindssd.data.classes import only_classes
from mindssd.errors import ConfigError, DatasetError
from mindssd.explain.candidates import Candidate, candidates, shared_classes
from mindssd.explain.compare import compared
from mindssd.explain.compare_log import read_curves
from mindssd.explain.compare_page import page
from mindssd.explain.compare_tree import tree, verdicts
from mindssd.pages.charts import round_end
from tests.browser import axe_findings, screenshot
from tests.explain.made import CAT, DOG, made

NAMES = ("cat", "dog")
BETTER = [
    (1, "cat", CAT, 0.9),
    (1, "dog", DOG, 0.8),
    (2, "cat", CAT, 0.7),
    (2, "dog", DOG, 0.85),
    (3, "cat", [70, 20, 100, 80], 0.2),
]
"""It finds the dog of b.png too, and is less sure of what is wrong."""


def candidate(name, folder=None, class_names=NAMES):
    return Candidate(name, Path(f"{name}.safetensors"), folder, class_names)


@pytest.fixture
def pair(tmp_path):
    detected = made(tmp_path / "set")
    other = made(tmp_path / "other", found=BETTER)
    return detected, replace(detected, table=other.table)


def comparison_of(pair, names=NAMES, found=None):
    found = found or [candidate("a"), candidate("b")]
    return compared(found, pair, names)


def test_each_object_is_found_by_both_by_one_or_by_neither(pair):
    result = comparison_of(pair)
    # a finds at its best F1 both objects of a.png and the cat of b.png; b the dog of b.png too.
    assert [model.found.sum() for model in result.models] == [3, 4]
    assert (result.both(1), result.neither(1)) == (3, 1)
    (row,) = result.only(1).tolist()
    assert result.file_name(row) == "b.png"
    assert result.class_names[int(result.truths.class_ids[row])] == "dog"
    assert result.only(0, 1).tolist() == []
    assert result.lines == ()


def test_the_difference_is_that_of_the_two_evaluations(pair):
    result = comparison_of(pair)
    first, second = (model.evaluation for model in result.models)
    (difference,) = result.differences
    one, other = first.twelve_numbers(), second.twelve_numbers()
    for number in ("AP", "AP50", "AP75", "AR1", "AR10", "AR100"):
        value = getattr(difference, number.lower()).estimate.value
        assert value == pytest.approx(other[number] - one[number]), number
    for found, before, after in zip(
        difference.class_ap, first.per_class, second.per_class, strict=True
    ):
        assert found.estimate.value == pytest.approx(after.ap - before.ap)
    assert pair[0].evaluation().ap == first.ap


def test_a_model_is_no_better_than_itself(pair):
    result = comparison_of((pair[0], pair[0]))
    assert result.differences[0].ap.estimate.value == 0
    assert verdicts(result) == ["b against a: AP +0.000 (+0.000 to +0.000), the same"]


def test_few_images_are_said_with_a_difference_that_they_cannot_tell_from_chance(pair):
    (said,) = verdicts(comparison_of(pair))
    assert said.endswith("better, which may be chance on so few images (3 with objects)")


def test_boxes_of_another_class_are_other_annotations(pair):
    first, second = pair
    turned = (3 - second.dataset.labels).astype(np.int32)
    relabelled = replace(second.dataset, labels=turned)
    result = comparison_of((first, replace(second, dataset=relabelled)))
    assert result.lines == ("b: other boxes are annotated; those of a count",)


def test_only_shared_classes_count(pair):
    result = comparison_of(pair, ("dog",))
    assert result.class_names == ("dog",)
    assert [found.name for found in result.models[0].evaluation.per_class] == ["dog"]
    assert [model.found.sum() for model in result.models] == [1, 2]


def test_classes_are_those_of_all_models_by_name():
    three = [
        candidate("a", class_names=("cat", "dog", "hen")),
        candidate("b", None, ("hen", "cat")),
    ]
    assert shared_classes(three) == ("cat", "hen")
    with pytest.raises(ConfigError, match=r"share no class by name \(a: cat, dog; b: hen\)"):
        shared_classes([candidate("a"), candidate("b", class_names=("hen",))])


def test_of_different_validation_parts_the_common_images_are_compared_and_it_is_said(pair):
    first, second = pair
    kept = [index for index in second.indices if second.dataset.file_names[index] != "b.png"]
    result = comparison_of((first, replace(second, indices=kept)))
    assert result.lines == ("a: 3 of its 4 validation images are all models'; these are compared",)
    assert len(result.places) == 3
    assert {result.file_name(row) for row in range(len(result.truths))} == {"a.png", "c <i>.png"}
    with pytest.raises(DatasetError, match="no validation image in common"):
        comparison_of((first, replace(second, indices=[])))


def test_images_and_classes_may_have_other_numbers(pair):
    """As of the same pictures annotated anew: names decide."""
    first, second = pair
    dataset = second.dataset
    renumbered = replace(
        second,
        dataset=replace(
            dataset,
            image_ids=dataset.image_ids + 100,
            class_names=("dog", "cat"),
            labels=(3 - dataset.labels).astype(np.int32),
        ),
        table=replace(
            second.table,
            image_ids=second.table.image_ids + 100,
            class_ids=1 - second.table.class_ids,
        ),
    )
    assert tree(comparison_of((first, renumbered))) == tree(comparison_of(pair))


def test_other_annotations_are_said_and_the_first_ones_count(pair):
    first, second = pair
    moved = replace(second.dataset, boxes_xywh=second.dataset.boxes_xywh + 1)
    result = comparison_of((first, replace(second, dataset=moved)))
    assert result.lines == ("b: other boxes are annotated; those of a count",)
    assert tree(result)["models"] == tree(comparison_of(pair))["models"]


def test_without_truths_or_detections_there_is_nothing_to_compare_and_it_is_said(tmp_path):
    nothing = made(tmp_path / "set", {"a.png": [], "b.png": []}, [])
    result = comparison_of((nothing, nothing))
    assert verdicts(result) == ["b: no truths, so no AP to compare"]
    assert "In numbers" in page(result)
    none_found = made(tmp_path / "other", found=[])
    assert comparison_of((none_found, none_found)).neither(1) == 5


def test_the_tree_lists_every_object_and_who_finds_it(pair):
    content = json.loads(json.dumps(tree(comparison_of(pair)), allow_nan=False))
    found_by = {(o["image"], o["class"]): o["found_by"] for o in content["objects"]}
    assert found_by[("b.png", "dog")] == ["b"]
    assert found_by[("c <i>.png", "cat")] == []
    assert found_by[("a.png", "cat")] == ["a", "b"]


def test_boxes_of_other_classes_leave_the_data_set_and_are_counted(pair):
    dataset = pair[0].dataset
    dogs = only_classes(dataset, ["dog"])
    assert (dogs.class_names, dogs.labels.tolist()) == (("dog",), [1, 1])
    assert len(dogs) == len(dataset) and dogs[0].labels.tolist() == [1]
    assert any("classes that are not compared: left out" in x for x in dogs.report.lines())
    assert only_classes(dataset, ["dog", "cat", "hen"]) is dataset
    with pytest.raises(DatasetError, match="has none of hen, only cat, dog"):
        only_classes(dataset, ["hen"])


LOG = """{"event": "start", "step": 0}
{"event": "train", "step": 5, "epoch": 0.5, "loss": 4.0}
{"event": "train", "step": 10, "epoch": 1.0, "loss": 2.0}
{"event": "evaluation", "step": 10, "AP": 0.25}
{"event": "evaluation", "step": 10, "AP": null}
{"event": "train", "step": 10, "epoch": 1.0, "loss": 1.5}
[1]
{"event": "train", "step": 2"""


def test_a_log_gives_loss_and_ap_by_epoch_and_what_was_done_again_once(tmp_path):
    (tmp_path / "log.jsonl").write_text(LOG)
    curves = read_curves(tmp_path)
    assert curves.loss == [(0.5, 4.0), (1.0, 1.5)]
    assert curves.ap == [(1.0, 0.25)]
    assert read_curves(tmp_path / "none") is None


def test_an_axis_ends_at_a_number_that_is_short_to_write():
    assert [round_end(x) for x in (0.31, 76, 1, 1.2, 0, 8.1)] == [0.4, 100, 1, 1.5, 1, 10]


@pytest.fixture
def with_logs(pair, tmp_path):
    (tmp_path / "log.jsonl").write_text(LOG)
    names = ("a <first>", "b")
    return comparison_of(pair, found=[candidate(name, tmp_path) for name in names])


def test_the_page_shows_the_object_as_each_model_sees_it(with_logs):
    content = page(with_logs)
    assert "b finds dog: b.png" in content and "a &lt;first&gt; misses dog: b.png" in content
    assert content.count('src="data:image/jpeg') == 2
    assert "Training loss" in content and "<first>" not in content
    assert "http" not in content.replace("http-equiv", "")


@pytest.mark.slow
def test_the_page_opens_without_a_complaint_of_browser_or_axe(with_logs, tmp_path):
    content = page(with_logs)
    path = tmp_path / "page.html"
    path.write_text(content, encoding="utf-8")
    for width in (1280, 390):
        assert screenshot(path, width, tmp_path)[1] == []
    assert axe_findings(content, tmp_path) == []


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([], "compare takes two models or more"),
        (["model"], "compare takes two models or more"),
        (["model", "model"], "model is given twice"),
        (["model", "empty"], r"empty has no best\.safetensors"),
    ],
)
def test_what_cannot_be_compared_is_one_line(words, fault, untrained_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(untrained_model)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=fault):
        candidates(words, Console())


def test_models_are_called_by_the_last_parts_that_tell_them_apart(untrained_model, tmp_path):
    words = [tmp_path / "x" / "run", tmp_path / "y" / "run"]
    for folder in words:
        folder.mkdir(parents=True)
        (folder / "best.safetensors").write_bytes(untrained_model.read_bytes())
    found = candidates([f"{word}/" for word in words], Console())
    assert [one.name for one in found] == ["x/run", "y/run"]
