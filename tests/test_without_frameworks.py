"""A deployed model needs NumPy, OpenCV and a runtime: every training package is absent here."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.deploy.conftest import DEFAULT_BOXES, manifest, raw_graph

BLOCKED = (
    *("mindspore", "mindcv", "torch", "onnx", "onnxscript", "google.protobuf"),
    *("grain", "faster_coco_eval", "pycocotools", "tensorboardX", "scipy"),
)
PROBE = f"""
import sys
for name in {BLOCKED!r}:
    sys.modules[name] = None  # its import is now an ImportError
from mindssd.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    from mindssd.deploy.graph import describe, finish

    logits = np.full((len(DEFAULT_BOXES), 4), -9, np.float32)
    logits[40, 2] = 4
    raw = raw_graph(np.zeros((len(DEFAULT_BOXES), 4), np.float32), logits)
    finished = finish(raw, DEFAULT_BOXES.boxes_cxcywh, (0.1, 0.2), 3, None)
    path = tmp_path / "model.onnx"
    describe(finished, manifest(), path)
    path.write_bytes(finished.SerializeToString())
    return path


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_prediction_works_with_every_training_package_absent(
    model: Path, tmp_path: Path, runtime: str
) -> None:
    other = {"onnxruntime": "openvino", "openvino": "onnxruntime"}[runtime]
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((90, 120, 3), 128, np.uint8))
    words = ["predict", str(model), str(tmp_path / "a.jpg"), "--out", str(tmp_path / "out")]
    words += ["--save", "drawn,json,csv,yolo,crops", "--tile", "64", "--runtime", runtime]
    probe = PROBE.replace("import sys\n", f"import sys\nsys.modules[{other!r}] = None\n", 1)
    done = subprocess.run(
        [sys.executable, "-c", probe, *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert {annotation["category_name"] for annotation in found["annotations"]} == {"dog"}


def test_the_python_api_does_too(model: Path) -> None:
    code = (
        f"import sys\nfor name in {BLOCKED!r}: sys.modules[name] = None\n"
        "import mindssd, numpy\n"
        f"print(len(mindssd.load({str(model)!r})(numpy.full((9, 9, 3), 128, numpy.uint8))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
