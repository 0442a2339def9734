"""From one detector to another: names decide which class keeps its rows, never places or counts."""

import shlex

import numpy as np
import pytest

from mindssd.config.load import load_config
from mindssd.errors import ConfigError, WeightsError
from mindssd.weights.class_rows import NO_MAP, class_rows
from mindssd.weights.mindspore_checkpoint import write_checkpoint
from mindssd.weights.safetensors_file import ModelMetadata, write_model
from mindssd.weights.transfer import start_from_detector

BOXES = {"per level": (3, 2), "shared": (2,)}
"""Default boxes at a cell: of two levels with a layer each, of all levels of a shared one."""


def _layers(head):
    return ["0.", "1."] if head == "per level" else [""]


def _detector(head, num_classes, first=0):
    """Parameters whose class rows hold first + 100 · box + class, background being class 0."""
    parameters = {"backbone.features_0.weight": np.full((4, 3, 3, 3), first, np.float32)}
    for layer, boxes in zip(_layers(head), BOXES[head], strict=True):
        rows = 100 * np.arange(boxes)[:, None] + np.arange(num_classes + 1)
        rows = first + rows.reshape(-1).astype(np.float32)
        parameters[f"head.boxes.{layer}predict.bias"] = np.full(4 * boxes, first, np.float32)
        parameters[f"head.classes.{layer}predict.bias"] = rows
        weight = np.tile(rows[:, None, None, None], (1, 2, 3, 3))
        parameters[f"head.classes.{layer}predict.weight"] = weight
    return parameters


def _started(folder, head, theirs, ours, class_map=NO_MAP):
    """Start a network of `ours`, whose initial rows are 1000 more, from a model of `theirs`."""
    metadata = ModelMetadata(
        {}, theirs, tuple(range(1, len(theirs) + 1)), (8, 8), (0, 0, 0), (1, 1, 1), ((1, 1),)
    )
    write_model(folder / "theirs.safetensors", _detector(head, len(theirs)), metadata)
    initial = _detector(head, len(ours), first=1000)
    path = folder / "theirs.safetensors"
    to_load, report = start_from_detector(path, initial, ours, class_map)
    return {**initial, **to_load}, report


def _expected(theirs, ours, boxes):
    """The rows by hand: a shared class has its own of theirs, another its initial ones."""
    rows = []
    for box in range(boxes):
        rows.append(100 * box)
        for place, name in enumerate(ours, start=1):
            old, new = 100 * box, 1000 + 100 * box + place
            rows.append(old + 1 + theirs.index(name) if name in theirs else new)
    return rows


@pytest.mark.parametrize("head", BOXES)
@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        (("cat", "dog"), ("cat", "dog"), "; all 2 classes taken from it"),
        (("cat", "dog"), ("dog", "cat"), "; 2 classes taken from it: dog, cat"),
        (("cat", "dog"), ("cat", "fox"), "; 1 classes taken from it: cat, 1 start fresh: fox"),
        (
            ("cat", "dog", "emu"),
            ("emu", "cat"),
            "; 2 classes taken from it: emu, cat, 1 left",
        ),
        (
            ("dog",),
            ("cat", "dog", "fox"),
            "; 1 classes taken from it: dog, 2 start fresh: cat",
        ),
    ],
)
def test_classes_in_both_keep_their_rows_for_every_default_box(tmp_path, head, theirs, ours, said):
    parameters, report = _started(tmp_path, head, theirs, ours)
    for layer, boxes in zip(_layers(head), BOXES[head], strict=True):
        expected = _expected(theirs, ours, boxes)
        assert parameters[f"head.classes.{layer}predict.bias"].tolist() == expected
        weight = parameters[f"head.classes.{layer}predict.weight"]
        assert weight[:, 1, 2, 0].tolist() == expected and weight.shape[1:] == (2, 3, 3)
        assert not parameters[f"head.boxes.{layer}predict.bias"].any()
    assert not parameters["backbone.features_0.weight"].any()
    assert report.summary().startswith(f"{len(parameters)} tensors loaded{said}")


@pytest.mark.parametrize("head", BOXES)
def test_a_class_may_take_the_rows_of_one_with_another_name(tmp_path, head):
    """Two may take the same; a class of the same name goes before and needs no map."""
    theirs, ours = ("car", "dog", "emu"), ("auto", "fox", "dog", "taxi")
    mapped = {"auto": "car", "taxi": "car", "dog": "dog"}
    parameters, report = _started(tmp_path, head, theirs, ours, mapped)
    for layer, boxes in zip(_layers(head), BOXES[head], strict=True):
        expected = _expected(theirs, ("car", "fox", "dog", "car"), boxes)
        assert parameters[f"head.classes.{layer}predict.bias"].tolist() == expected
        assert parameters[f"head.classes.{layer}predict.weight"][:, 1, 2, 0].tolist() == expected
    assert (
        "; 3 classes taken from it: auto from car, dog, taxi from car, 1 start" in report.summary()
    )
    assert report.summary().endswith("1 start fresh: fox, 1 left out: emu")


@pytest.mark.parametrize(
    ("class_map", "said"),
    [
        ({"auot": "car"}, r"the data set has no class 'auot': auto, dog; did you mean auto\?"),
        ({"auto": "cra"}, r"theirs\.safetensors has no class 'cra': car, dog; did you mean car\?"),
        ({"dog": "car"}, r"dog is a class of .* too and keeps its rows, so that car cannot"),
    ],
)
def test_a_map_of_what_is_not_there_is_refused(tmp_path, class_map, said):
    with pytest.raises(ConfigError, match=f"^class_map: .*{said}"):
        _started(tmp_path, "shared", ("car", "dog"), ("auto", "dog"), class_map)


def test_a_map_without_named_classes_to_map_to_is_refused(tmp_path):
    write_checkpoint(tmp_path / "old.ckpt", _detector("shared", 2))
    with pytest.raises(ConfigError, match=r"class_map: .*old\.ckpt does not name its classes"):
        start_from_detector(
            tmp_path / "old.ckpt", _detector("shared", 2), ("cat", "dog"), {"cat": "car"}
        )


def test_a_class_that_is_only_spelled_otherwise_starts_fresh_and_is_told_of(tmp_path):
    theirs, ours = ("person", "traffic light", "cat"), ("Person", "traffic_light", "cat")
    _, report = _started(tmp_path, "shared", theirs, ours)
    assert "1 classes taken from it: cat, 2 start fresh: Person, traffic_light" in report.summary()
    assert report.summary().endswith(
        "'class_map={Person: person, traffic_light: traffic light}' would take these too"
    )


@pytest.mark.parametrize(
    "ours, theirs",
    [
        ("Person", "person"),
        ("No", "no"),
        ("A: b", "a: b"),
        ("It's, so", "it's, so"),
        ("1-0", "1 0"),
    ],
)
def test_the_map_that_is_told_may_be_pasted(tmp_path, ours, theirs):
    _, report = _started(tmp_path, "shared", (theirs, "cat"), (ours, "cat"))
    _, word = report.summary().removesuffix(" would take these too").split("'class_map=", 1)
    (word,) = shlex.split(f"'class_map={word}")
    assert load_config("small_data", [word, "initial_weights=a"]).class_map == {ours: theirs}


def test_of_very_many_classes_some_are_told(tmp_path):
    ours = tuple(f"class {place}" for place in range(1000))
    with pytest.raises(ConfigError) as caught:
        class_rows(("cat",), ours, {"class 10000": "cat"}, "theirs")
    assert len(str(caught.value)) < 1500
    assert ", class 99, …; did you mean class " in str(caught.value)


@pytest.mark.parametrize("head", BOXES)
def test_as_many_other_classes_leave_the_class_layers_as_they_are(tmp_path, head):
    parameters, report = _started(tmp_path, head, ("cat", "dog"), ("emu", "fox"))
    initial = _detector(head, 2, first=1000)
    for name, array in parameters.items():
        if name.startswith("head.classes."):
            np.testing.assert_array_equal(array, initial[name])
        else:
            assert not array.any()
    assert "left at initial values" in report.summary()
    assert report.summary().endswith("2 start fresh: emu, fox, 2 left out: cat, dog")


def test_a_checkpoint_that_names_no_classes_leaves_the_class_layers_and_says_so(tmp_path):
    write_checkpoint(tmp_path / "old.ckpt", _detector("shared", 2))
    for names in (("cat", "dog"), ("cat", "dog", "fox")):
        initial = _detector("shared", len(names), first=1000)
        to_load, report = start_from_detector(tmp_path / "old.ckpt", initial, names)
        assert not [name for name in to_load if name.startswith("head.classes.")]
        assert "does not name its classes; converted, it does (docs/weights.md)" in report.summary()


def test_a_layer_of_other_rows_than_its_classes_need_is_refused(tmp_path):
    metadata = ModelMetadata({}, ("cat",), (1,), (8, 8), (0, 0, 0), (1, 1, 1), ((1, 1),))
    path = tmp_path / "odd.safetensors"
    write_model(path, _detector("shared", 2), metadata)
    initial = _detector("shared", 3, first=1000)
    with pytest.raises(WeightsError, match=r"odd\.safetensors does not fit .*predict\.\w+ \(6"):
        start_from_detector(path, initial, ("cat", "dog", "emu"))


def test_what_is_no_class_layer_must_fit(tmp_path):
    metadata = ModelMetadata({}, ("cat",), (1,), (8, 8), (0, 0, 0), (1, 1, 1), ((1, 1),))
    write_model(tmp_path / "m.safetensors", _detector("shared", 1), metadata)
    with pytest.raises(WeightsError, match=r"does not fit the network: .* missing \(head\.boxes"):
        start_from_detector(
            tmp_path / "m.safetensors", _detector("per level", 1, first=1000), ("cat",)
        )
