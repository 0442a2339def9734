"""A deployed file refines its detections as the model that it was made from."""

from dataclasses import replace

from mindssd.deploy.manifest import InGraphNMS, Manifest
from mindssd.geometry.postprocess import PostProcessDecoded
from mindssd.geometry.refinement import Refinement
from tests.deploy.conftest import manifest


def described(nms: InGraphNMS | None = None, **detection: float) -> Manifest:
    plain = manifest(nms)
    config = {**plain.metadata.config, "detection": detection}
    return replace(plain, metadata=replace(plain.metadata, config=config))


def test_the_models_own_settings_are_those_of_the_file() -> None:
    postprocess = described(soft_sigma=0.5, vote_iou=0.7).postprocess()
    assert isinstance(postprocess, PostProcessDecoded)
    assert postprocess.refinement == Refinement(soft_sigma=0.5, vote_iou=0.7)


def test_a_model_of_before_and_nms_inside_have_none() -> None:
    plain = manifest()
    before = {key: value for key, value in plain.metadata.config.items() if key != "detection"}
    old = replace(plain, metadata=replace(plain.metadata, config=before))
    assert old.refinement().is_none
    assert described(InGraphNMS(0.01, 0.6, 50), soft_sigma=0.5).refinement().is_none
