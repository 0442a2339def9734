"""A model of each MindCV family that gives features becomes a detector, whatever its strides.

Resnet, mobilenet_v2 and mobilenet_v3 are the recipes' own: `test_golden_networks.py` has them.
Channels and grids are read off the model, so the recipe states a name and the maps to take.
"""

import numpy as np
import pytest

from mindssd.build.network import build_default_boxes, build_network
from mindssd.config.load import load_config

# name, out_indices of its maps of stride 8, 16 and 32
FAMILIES = [
    ("efficientnet_b0", [3, 5, 7]),
    ("convnext_tiny", [1, 2, 3]),
    ("hrnet_w32", [2, 3, 4]),
    ("repvgg_a0", [2, 3, 4]),
    ("resnest50", [2, 3, 4]),
]


@pytest.fixture
def shallow(monkeypatch):
    """The families' models with one block in each stage: a whole one compiles half a minute."""
    models = pytest.importorskip("mindcv").models

    def shorter(create, name, stages):
        def created(pretrained=False, **options):
            return create(pretrained, **{**options, name: stages(options[name])})

        return created

    def one_each(stages):
        return [1] * len(stages)

    def branches(stages):
        return {
            name: {**stage, "num_modules": 1, "num_blocks": one_each(stage["num_blocks"])}
            for name, stage in stages.items()
        }

    for module, create, name, stages in (
        (models.convnext, "_create_convnext", "depths", one_each),
        (models.resnest, "_create_resnest", "layers", one_each),
        (models.hrnet, "_create_hrnet", "stage_cfg", branches),
    ):
        monkeypatch.setattr(module, create, shorter(getattr(module, create), name, stages))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "out_indices"), FAMILIES, ids=[name for name, _ in FAMILIES])
def test_a_family_builds_and_runs(name, out_indices, mindspore_engine, shallow):
    config = load_config(
        "ssd_resnet50_fpn",
        [
            "device=CPU",
            "image_size=[192, 256]",
            f"backbone={{name: {name}, out_indices: {out_indices}}}",
            "neck.fpn_channels=16",
            "head.tower_depth=1",
        ],
    )
    network = build_network(config, mindspore_engine, num_classes=3)
    # strides 8, 16, 32 of the backbone, 64 and 128 of the neck
    assert network.grids == ((24, 32), (12, 16), (6, 8), (3, 4), (2, 2))
    default_boxes = build_default_boxes(config, network.grids)
    offsets, logits = network.forward(np.zeros((1, 3, 192, 256), np.float32))
    assert offsets.shape == logits.shape == (1, len(default_boxes), 4)
    assert np.isfinite(offsets).all() and np.isfinite(logits).all()
