"""What is kept of the golden facts is small, is numbers, and is what the full set says."""

import numpy as np
import pytest

from mindssd.weights.mindspore_checkpoint import read_checkpoint
from tests.conftest import SHARED, shared
from tests.golden.facts import RECIPES, REDUCED, Golden, read_shapes, with_classes
from tests.golden.reduce import of_the_reference, trained_outputs

FULL = SHARED / "golden"


def full_set():
    return shared("golden")


def assert_same(kept, full):
    assert set(kept) == set(full)
    for key, values in full.items():
        np.testing.assert_array_equal(kept[key], values, err_msg=key)


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_kept_of_the_reference_is_what_the_full_set_says(recipe):
    full, kept = Golden(recipe, full_set()), Golden(recipe, REDUCED)
    for kind, facts in of_the_reference(full).items():
        assert_same(kept.load(kind), facts)
    assert list(kept.reference_shapes().items()) == list(full.reference_shapes().items())


def test_the_trained_detectors_outputs_are_the_full_sets():
    with np.load(full_set() / "bccd_trained.outputs.npz") as outputs:
        expected = trained_outputs(outputs)
    with np.load(REDUCED / "bccd_trained.outputs.npz") as kept:
        assert_same(dict(kept), expected)


def test_the_drawn_checkpoints_are_like_the_real_ones(backbone_checkpoint, reference_checkpoint):
    """Where the real ones are there; else they are the drawn ones themselves."""
    backbone = {n: v.shape for n, v in read_checkpoint(backbone_checkpoint).items()}
    assert backbone == read_shapes(REDUCED / "mobilenet_v2_100.parameters.json")
    detector = {n: v.shape for n, v in read_checkpoint(reference_checkpoint).items()}
    assert detector == with_classes(Golden("ssd_mobilenetv2", REDUCED).reference_shapes(), 3)


def test_they_are_small_and_hold_neither_images_nor_whole_weights():
    files = [path for path in REDUCED.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2**20
    for path in REDUCED.glob("*.npz"):
        with np.load(path) as facts:
            for key in facts:
                assert facts[key].dtype != np.uint8, f"{path.name}: {key} may be an image"
                assert not key.startswith("after_") or facts[key].size <= 257


def test_a_missing_folder_skips_a_test_but_fails_it_on_a_build_server(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="nowhere is absent"):
        shared("nowhere")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="and CI is set"):
        shared("nowhere")
