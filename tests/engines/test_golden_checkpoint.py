"""The reference's trained detector works here as it did there: outputs, detections, mAP."""

import io
import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest
from rich.console import Console

from mindssd.build.data import build_dataset
from mindssd.build.evaluation import evaluate_model
from mindssd.build.model import load_model
from mindssd.build.network import build_default_boxes, image_size
from mindssd.build.predictor import normalization
from mindssd.config.load import load_config
from mindssd.geometry.coding import decode
from mindssd.geometry.postprocess import sigmoid
from mindssd.images import normalise, read_image, resize
from tests.conftest import shared

RECIPE = "ssd_mobilenetv2"
OUTPUT_TOLERANCE = 1e-4
MEAN_AVERAGE_PRECISION = 0.475
# One by one, so that another protocol, of more images, meets those that are computed already.
ONE_BY_ONE = "evaluation.batch_size=1"

pytestmark = pytest.mark.slow  # `test_golden_networks.py` has the same network among the fast tests


@pytest.fixture(scope="module")
def config(bccd_dir, engine):
    return load_config(RECIPE, [f"engine={engine.name}", "device=CPU", f"data_dir={bccd_dir}"])


@pytest.fixture(scope="module")
def dataset(config):
    return build_dataset(config, "val")


@pytest.fixture(scope="module")
def model(config, dataset, trained_checkpoint):
    return load_model(trained_checkpoint, config, dataset.class_names)


@pytest.fixture(scope="module", autouse=True)
def computed_once():
    """The outputs for an image are computed once an engine: all tests are of one checkpoint."""

    def remembering(forward):
        outputs = {}

        def once(network, images):
            bias = network.parameters()["head.boxes.0.predict.bias"]
            key = images.tobytes(), bias.tobytes()
            if key not in outputs:
                outputs[key] = forward(network, images)
            return outputs[key]

        return once

    with pytest.MonkeyPatch.context() as patch:
        for engine, name in (("mindspore", "MindSporeNetwork"), ("torch", "TorchNetwork")):
            if find_spec(engine) is not None:
                network = getattr(import_module(f"mindssd.engines.{engine}.network"), name)
                patch.setattr(network, "forward", remembering(network.forward))
        yield


def test_boxes_and_scores_are_the_references_through_our_image_path(
    model, config, dataset, golden_dir, record_figure
):
    facts = np.load(golden_dir / "bccd_trained.outputs.npz")
    records = {record.image_id: record for record in (dataset[i] for i in range(len(dataset)))}
    images = []
    for image_id in facts["image_id"].tolist():
        record = records[image_id]
        image = read_image(record.path, (record.height, record.width))
        images.append(normalise(resize(image, image_size(config)), normalization(config)))
    offsets, logits = model.network.forward(np.stack(images))
    default_boxes = build_default_boxes(config, model.network.grids)
    worst = {"boxes": 0.0, "scores": 0.0}
    for index in range(len(images)):
        boxes = decode(offsets[index], default_boxes.boxes_cxcywh, config.matching.variances)
        theirs = facts["boxes_y1_x1_y2_x2"][index][:, [1, 0, 3, 2]]
        # The reference clips to the image.
        ours = np.clip(boxes, 0, 1)
        worst["boxes"] = max(worst["boxes"], float(np.abs(ours - theirs).max()))
        scores = sigmoid(logits[index])
        worst["scores"] = max(worst["scores"], float(np.abs(scores - facts["scores"][index]).max()))
    for what, value in worst.items():
        record_figure(f"trained {what}", value)
    assert max(worst.values()) < OUTPUT_TOLERANCE


def test_its_map_by_the_references_protocol_is_the_references(
    engine, bccd_dir, trained_checkpoint, record_figure
):
    evaluation = evaluate_model(
        trained_checkpoint,
        RECIPE,
        [f"engine={engine.name}", "device=CPU", f"data_dir={bccd_dir}", ONE_BY_ONE],
        "mindcv",
        Console(file=io.StringIO()),
    )
    assert evaluation.ap is not None and evaluation.ap50 is not None
    record_figure("trained mAP, mindcv protocol", evaluation.ap)
    record_figure("trained AP50, mindcv protocol", evaluation.ap50)
    assert evaluation.ap == pytest.approx(MEAN_AVERAGE_PRECISION, abs=0.005)
    assert evaluation.ap50 == pytest.approx(0.757, abs=0.01)


def test_both_engines_give_the_same_map(
    mindspore_engine, torch_engine, bccd_dir, trained_checkpoint, record_figure
):
    scores = []
    for engine in (mindspore_engine, torch_engine):
        settings = [f"engine={engine.name}", "device=CPU", f"data_dir={bccd_dir}", ONE_BY_ONE]
        console = Console(file=io.StringIO())
        scores.append(evaluate_model(trained_checkpoint, RECIPE, settings, "coco", console).ap)
    record_figure("mAP by MindSpore", scores[0])
    record_figure("mAP by PyTorch", scores[1])
    assert scores[1] == pytest.approx(scores[0], abs=0.001)


def test_its_map_is_the_same_on_the_same_images_as_pascal_voc(
    torch_engine, bccd_dir, trained_checkpoint
):
    scores = []
    for data_dir in (bccd_dir, shared("data/bccd_voc")):
        settings = [f"engine={torch_engine.name}", "device=CPU", f"data_dir={data_dir}", ONE_BY_ONE]
        console = Console(file=io.StringIO())
        scores.append(evaluate_model(trained_checkpoint, RECIPE, settings, "coco", console).ap)
    assert scores[1] == pytest.approx(scores[0], abs=0.002)


def test_pytorch_reads_mindspores_files_without_mindspore(
    reference_checkpoint, backbone_checkpoint
):
    """Nor does it get MindSpore's settings, which would slow it down."""
    pytest.importorskip("torch")
    program = f"""
import os, sys
from mindssd.build.data import build_dataset
from mindssd.build.initial_weights import load_initial_weights
from mindssd.build.network import build_default_boxes, image_size
from mindssd.build.predictor import normalization
from mindssd.config.load import load_config
from mindssd.build.model import load_model
config = load_config("{RECIPE}", ["engine=torch", "device=CPU"])
network = load_model("{reference_checkpoint}", config, ("a", "b", "c")).network
config = load_config("{RECIPE}", ["engine=torch", "backbone_ckpt_path={backbone_checkpoint}"])
load_initial_weights(config, network, ("a", "b", "c"))
print([name for name in ("mindspore", "mindcv") if name in sys.modules])
print(os.environ.get("ONEDNN_MAX_CPU_ISA"))
"""
    environment = {k: v for k, v in os.environ.items() if k != "ONEDNN_MAX_CPU_ISA"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", "None"]
