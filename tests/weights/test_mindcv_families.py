"""MindCV's own models: each family's checkpoint names become its feature extractor's."""

import json
import os
import subprocess
import sys

import pytest

from mindssd.weights.mindspore_checkpoint import write_checkpoint
from mindssd.weights.names import mindcv_to_canonical
from mindssd.weights.transfer import load_backbone

FAMILIES = {
    "resnet18": [2, 3, 4],
    "mobilenet_v2_035_128": [13, 18],
    "mobilenet_v3_small_075": [8, 12],
    "efficientnet_b0": [2, 4],
    "convnext_tiny": [1, 2, 3],
    "repvgg_a0": [2, 3, 4],
}

# The names and shapes of a classifier, and of the extractor as the detector holds it.
READ_NAMES = """
import json, os, sys
import mindssd.engines.mindspore.device
import mindcv
from mindspore import nn
class Detector(nn.Cell):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
found = {}
for name, indices in json.loads(sys.argv[1]).items():
    whole = mindcv.create_model(name)
    part = Detector(mindcv.create_model(name, features_only=True, out_indices=indices))
    found[name] = [
        {p.name.replace("backbone.net.", "backbone.", 1): p.shape for p in net.get_parameters()}
        for net in (whole, part)
    ]
print(json.dumps(found))
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.slow
def test_each_familys_checkpoint_fits_its_feature_extractor(tmp_path):
    pytest.importorskip("mindcv", reason="the names come from MindCV itself")
    import numpy as np

    command = [sys.executable, "-c", READ_NAMES, json.dumps(FAMILIES)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for family, (whole, part) in json.loads(done.stdout.splitlines()[-1]).items():
        path = tmp_path / f"{family}.ckpt"
        write_checkpoint(path, {name: np.zeros(shape, np.float32) for name, shape in whole.items()})
        shapes = {name: tuple(shape) for name, shape in part.items()}
        to_load, report = load_backbone(path, shapes)
        assert list(to_load) == list(shapes), family
        assert len(to_load) + len(report.left_out) == len(whole), family
        assert set(shapes) <= {mindcv_to_canonical(name) for name in whole}, family
        path.unlink()
