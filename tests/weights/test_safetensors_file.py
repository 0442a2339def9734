"""A trained model in one self-describing file."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save

from mindssd.errors import WeightsError
from mindssd.weights.safetensors_file import (
    ModelMetadata,
    from_strings,
    is_safetensors,
    read_metadata,
    read_model,
    read_tensors,
    to_strings,
    write_model,
)

METADATA = ModelMetadata(
    config={"recipe": "ssd_mobilenetv2", "schedule": {"epochs": 16, "warm_up": [1, 2]}, "x": None},
    class_names=("cat", "dog"),
    category_ids=(3, 17),
    image_size=(300, 480),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    grids=((19, 30), (10, 15)),
    metrics={"mAP": 0.1 + 0.2},
    engine="mindspore 2.10.0",
    mindssd_version="0.1.0",
)
PARAMETERS = {"head.x.bias": np.array([1, -2], np.float32), "backbone.s": np.float32(3).reshape(())}


def test_reading_gives_back_what_was_written(tmp_path):
    write_model(tmp_path / "m.safetensors", PARAMETERS, METADATA)
    parameters, metadata = read_model(tmp_path / "m.safetensors")
    assert metadata == METADATA
    assert set(parameters) == set(PARAMETERS)
    for name, value in PARAMETERS.items():
        np.testing.assert_array_equal(parameters[name], value, strict=True)
        assert parameters[name].flags.writeable or parameters[name].ndim == 0


def test_any_safetensors_reader_opens_it(tmp_path):
    from safetensors import safe_open

    write_model(tmp_path / "m.safetensors", PARAMETERS, METADATA)
    with safe_open(tmp_path / "m.safetensors", framework="np") as file:
        assert json.loads(file.metadata()["class_names"]) == ["cat", "dog"]
        assert file.get_tensor("head.x.bias").tolist() == [1, -2]


@pytest.mark.parametrize(
    "name", ["", "Röntgen", "红细胞", "🦠", 'a "b"\n\t\\', "\x00", "\ud800 half a pair", "x" * 5000]
)
def test_every_class_name_survives(tmp_path, name):
    write_model(tmp_path / "m", PARAMETERS, replace(METADATA, class_names=(name, "b")))
    assert read_metadata(tmp_path / "m").class_names == (name, "b")


def test_no_metric_and_a_metric_without_a_value_survive(tmp_path):
    write_model(tmp_path / "m", PARAMETERS, replace(METADATA, metrics={"mAP": math.nan}))
    assert math.isnan(read_metadata(tmp_path / "m").metrics["mAP"])
    write_model(tmp_path / "m", PARAMETERS, replace(METADATA, metrics={}))
    assert read_metadata(tmp_path / "m").metrics == {}


def test_where_a_model_comes_from_survives_and_may_be_unsaid(tmp_path):
    """Files of before have no such entry."""
    origin = {"source": "https://example.org/a.ckpt", "licence": "Apache-2.0"}
    write_model(tmp_path / "m", PARAMETERS, replace(METADATA, origin=origin))
    assert read_metadata(tmp_path / "m").origin == origin
    strings = to_strings(tmp_path / "m", METADATA)
    del strings["origin"]
    assert from_strings(tmp_path / "m", strings) == METADATA
    with pytest.raises(WeightsError, match="its description is damaged"):
        from_strings(tmp_path / "m", strings | {"origin": "[1]"})


def test_half_precision_is_stored_as_float32(tmp_path):
    write_model(tmp_path / "m", {"a": np.array([0.5], np.float16)}, METADATA)
    assert read_model(tmp_path / "m")[0]["a"].dtype == np.float32


def test_the_version_of_mindssd_is_noted_by_itself():
    from mindssd import __version__

    assert (
        ModelMetadata({}, (), (), (1, 1), (0, 0, 0), (1, 1, 1), ()).mindssd_version == __version__
    )


def _header(tmp_path, **changes):
    """Rewrite a good model's metadata with `changes`; None removes a key."""
    write_model(tmp_path / "m", PARAMETERS, METADATA)
    from safetensors import safe_open

    with safe_open(tmp_path / "m", framework="np") as file:
        strings = {**file.metadata(), **changes}
    strings = {name: value for name, value in strings.items() if value is not None}
    (tmp_path / "m").write_bytes(save({"a": np.zeros(1, np.float32)}, metadata=strings))
    return tmp_path / "m"


@pytest.mark.parametrize(
    "changes", [{"grids": None}, {"grids": "["}, {"mean": "[1, 2]"}, {"metrics": "3"}]
)
def test_a_damaged_description_is_one_line(tmp_path, changes):
    with pytest.raises(WeightsError, match="its description is damaged"):
        read_metadata(_header(tmp_path, **changes))


def test_another_programs_safetensors_is_told_apart(tmp_path):
    (tmp_path / "m").write_bytes(save({"a": np.zeros(2, np.float32)}, metadata={"format": "pt"}))
    with pytest.raises(WeightsError, match="not a model written by mindssd"):
        read_model(tmp_path / "m")
    assert read_tensors(tmp_path / "m")["a"].tolist() == [0, 0]


def test_what_is_not_safetensors_is_refused(tmp_path):
    for content in (b"", b"short", b"\x0a" * 100, b"PK\x03\x04" * 30):
        (tmp_path / "m").write_bytes(content)
        assert not is_safetensors(tmp_path / "m")
        with pytest.raises(WeightsError, match=r"m: is not a safetensors file"):
            read_model(tmp_path / "m")


def test_a_file_cut_anywhere_is_refused(tmp_path):
    write_model(tmp_path / "m", PARAMETERS, METADATA)
    content = (tmp_path / "m").read_bytes()
    for length in (9, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "m").write_bytes(content[:length])
        with pytest.raises(WeightsError, match="is truncated or damaged") as caught:
            read_metadata(tmp_path / "m")
        assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(WeightsError, match="absent: no such file"):
        read_model(tmp_path / "absent")
    with pytest.raises(WeightsError, match="is a folder"):
        read_model(tmp_path)


def test_class_names_and_category_ids_must_be_as_many(tmp_path):
    with pytest.raises(WeightsError, match="2 class names and 1 category ids"):
        write_model(tmp_path / "m", PARAMETERS, replace(METADATA, category_ids=(1,)))


def test_a_config_that_is_not_json_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(WeightsError, match="the model's config cannot be written as JSON"):
        write_model(tmp_path / "m", PARAMETERS, replace(METADATA, config={"a": object()}))
    assert list(tmp_path.iterdir()) == []
