"""A detector whose classes were permuted and added to starts where the one before it stood.

Before the first step the kept classes have the logits, and so the AP, that they had there.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mindssd.build.data import build_dataset
from mindssd.build.engine import build_engine
from mindssd.build.evaluation import evaluate_with_bar
from mindssd.build.initial_weights import load_initial_weights
from mindssd.build.model import load_model
from mindssd.build.network import build_network
from mindssd.build.predictor import build_predictor, model_metadata
from mindssd.build.run import start_run
from mindssd.config.load import load_config, to_tree
from mindssd.config.schema import Config
from mindssd.data.classes import with_classes
from mindssd.engines.base import Network
from mindssd.evaluation.protocol import COCO
from mindssd.weights.safetensors_file import write_model

pytest.importorskip("torch")

THEIRS = ("rectangle", "ellipse")
OURS = ("zebra", "oval", "triangle", "rectangle")
FROM = {"oval": "ellipse", "rectangle": "rectangle"}
"""Which of theirs our classes are: one by its name, one by the map."""


def our_config(source: Path, model: Path) -> Config:
    settings = ["engine=torch", f"initial_weights={model}", "class_map={oval: ellipse}", "seed=5"]
    return load_config(str(source), settings)


def started(config: Config) -> tuple[Network, list[str]]:
    """A network of our classes, as a training of them begins, and what is said of it."""
    network = build_network(config, build_engine(config), len(OURS))
    return network, load_initial_weights(config, network, OURS)


@pytest.mark.parametrize("head", ["per_level", "shared"])
def test_kept_classes_have_the_same_logits_at_every_default_box(
    head: str, tiny_config: Path, tmp_path: Path
) -> None:
    source = tmp_path / "head.yaml"
    kinds = "" if head == "shared" else "neck: {kind: extras}\nhead: {kind: per_level}\n"
    if head == "per_level":
        kinds += "default_boxes: {kind: paper}\n"
    source.write_text(f"inherits: {tiny_config}\nimage_size: 64\n{kinds}")
    config = load_config(str(source), ["engine=torch"])
    theirs = build_network(config, build_engine(config), len(THEIRS))
    rng = np.random.default_rng(0)
    parameters = {
        name: value + rng.normal(0, 0.5, value.shape).astype(np.float32)
        if name.startswith("head.classes.") and "predict" in name
        else value
        for name, value in theirs.parameters().items()
    }
    theirs.load_parameters(parameters)
    model = tmp_path / "theirs.safetensors"
    write_model(
        model, parameters, model_metadata(to_tree(config), config, theirs, THEIRS, (3, 7), {})
    )
    ours, said = started(our_config(source, model))
    assert "2 classes taken from it: oval from ellipse, rectangle" in said[-1]
    assert "2 start fresh: zebra, triangle" in said[-1]
    images = rng.normal(size=(2, 3, 64, 64)).astype(np.float32)
    (offsets, logits), (their_offsets, their_logits) = ours.forward(images), theirs.forward(images)
    np.testing.assert_allclose(offsets, their_offsets, atol=1e-5)
    assert logits.shape[-1] == 5 and np.ptp(their_logits) > 1
    for name, other in FROM.items():
        kept = logits[..., 1 + OURS.index(name)]
        np.testing.assert_allclose(kept, their_logits[..., 1 + THEIRS.index(other)], atol=1e-5)


@pytest.mark.slow
def test_kept_classes_have_the_same_ap_before_the_first_step(
    tiny_config: Path, shapes_dir: Path, tmp_path: Path
) -> None:
    settings = ["engine=torch", "epochs=25", f"data_dir={shapes_dir}", f"runs_dir={tmp_path}"]
    start_run(load_config(str(tiny_config), [*settings, "name=theirs"]), "tiny")
    model = tmp_path / "theirs" / "best.safetensors"
    console = Console(quiet=True)
    loaded = load_model(model, engine="torch", device="CPU")
    val = build_dataset(load_config(str(tiny_config), [f"data_dir={shapes_dir}"]), "val")
    predictor = build_predictor(loaded.config, loaded.network, THEIRS, COCO.selection, 4)
    before = evaluate_with_bar(predictor, val, COCO, console)
    aps = {c.name: c.ap for c in before.per_class}
    assert min(aps.values()) > 0.2

    config = our_config(tiny_config, model)
    network, _ = started(config)
    renamed = replace(val, class_names=("rectangle", "oval"))
    ours = with_classes(renamed, OURS, "ours", "")
    predictor = build_predictor(config, network, OURS, COCO.selection, 4)
    after = evaluate_with_bar(predictor, ours, COCO, console)
    kept = {c.name: c.ap for c in after.per_class}
    for name, other in FROM.items():
        assert kept[name] == pytest.approx(aps[other], abs=1e-6)
    assert kept["zebra"] is None  # no truth
