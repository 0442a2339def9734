"""A model's card: valid for the hub, with what is known, and what is not said to be unknown."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mindssd.card.facts import read_facts
from mindssd.card.job import write_card
from mindssd.card.text import UNKNOWN, model_card
from mindssd.config.load import load_config, to_tree
from mindssd.errors import ConfigError, MindSSDError
from mindssd.evaluation.intervals import Estimate
from mindssd.evaluation.protocol import COCO
from mindssd.evaluation.scores import ClassResult, Evaluation
from mindssd.weights.safetensors_file import ModelMetadata, write_model
from tests.cli.conftest import mindssd
from tests.deploy.conftest import deploy

__all__ = ["deploy", "mindssd"]

METRICS = {"AP": 0.41234, "AP50": 0.7, "AP75": 0.4, "APs": 0.1, "APm": 0.5, "APl": 0.6}
METRICS |= {"AR1": 0.2, "AR10": 0.5, "AR100": 0.6, "ARs": 0.2, "ARm": 0.6, "ARl": 0.7}
EVALUATION = Evaluation(
    *METRICS.values(),
    per_class=(ClassResult("cat", 31, 0.4, 0.7, 0.6), ClassResult("a|b <i>*", 0, None, None, None)),
    protocol=COCO,
    num_images=72,
    num_truths=31,
    num_crowds=0,
    num_detections=99,
    seconds=1.0,
)


def model(path: Path, **changes: Any) -> Path:
    config = load_config(
        "demo",
        [
            "default_boxes.grid_scale=4",
            "data_dir=/home/a-person/secret/reef",
            "backbone_ckpt_path=/home/a-person/mobilenet_v2_100.ckpt",
        ],
    )
    metadata = ModelMetadata(
        config=to_tree(config),
        class_names=("cat", "a|b <i>*"),
        category_ids=(1, 2),
        image_size=(300, 400),
        mean=(0, 0, 0),
        std=(1, 1, 1),
        grids=((1, 1),),
        metrics=METRICS,
        engine="torch",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_model(path, {"w": np.ones(1, np.float32)}, replace(metadata, **changes))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return model(tmp_path / "reefs" / "best.safetensors")


def head(card: str) -> dict[str, Any]:
    found = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    assert found is not None
    tree = yaml.safe_load(found[1])
    assert isinstance(tree, dict)
    return tree


def test_the_head_has_what_the_hub_reads(path: Path) -> None:
    tree = head(model_card(read_facts(path), licence="apache-2.0"))
    assert tree["license"] == "apache-2.0" and tree["library_name"] == "mindssd"
    assert tree["pipeline_tag"] == "object-detection"
    assert {"object-detection", "ssd"} <= set(tree["tags"])
    ((result,),) = [index["results"] for index in tree["model-index"]]
    assert tree["model-index"][0]["name"] == "reefs"
    assert result["task"]["type"] == "object-detection"
    assert result["dataset"]["name"] == "reef"
    assert "protocol coco: all images" in result["dataset"]["args"]["protocol"]
    assert [(m["type"], m["value"], m["args"]["protocol"]) for m in result["metrics"]] == [
        ("map", 0.4123, "coco"),
        ("map", 0.7, "coco"),
        ("map", 0.4, "coco"),
    ]


def test_huggingface_hub_reads_the_head_and_its_figures(path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    for licence in (None, "mit"):
        card = hub.ModelCard(model_card(read_facts(path), licence), ignore_metadata_errors=False)
        data = card.data
        assert (data.license, data.library_name) == (licence, "mindssd")
        assert data.pipeline_tag == "object-detection" and data.model_name == "reefs"
        assert [found.metric_value for found in data.eval_results] == [0.4123, 0.7, 0.4]
        again = hub.ModelCard(str(card))
        assert again.data.to_dict() == data.to_dict()


def test_what_is_not_known_is_said_and_not_invented(tmp_path: Path) -> None:
    bare = model(tmp_path / "m.safetensors", metrics={}, engine="")
    card = model_card(read_facts(bare))
    tree = head(card)
    assert not {"license", "datasets", "metrics", "model-index"} & set(tree)
    assert "# license: fill in" in card and card.count(UNKNOWN) >= 8
    assert "## Numbers\n\nNone: not stated" in card


def test_nothing_tells_of_the_machine_or_a_person(path: Path) -> None:
    card = model_card(read_facts(path))
    assert "a-person" not in card and "secret" not in card
    assert "| data set | reef |" in card and "| it began from | mobilenet_v2_100.ckpt |" in card
    assert "| `schedule.learning_rate` |" in card and "`runs_dir`" not in card


def test_names_are_no_marks_in_a_table(path: Path) -> None:
    write(path.parent / "evaluation.json", EVALUATION.as_dict())
    card = model_card(read_facts(path))
    assert "| a\\|b &lt;i>* | no objects | 0 |" in card
    assert "It finds 2 classes: cat, a\\|b \\<i\\>\\*." in card


def write(file: Path, tree: Any) -> Path:
    file.write_text(json.dumps(tree), encoding="utf-8")
    return file


def test_the_runs_evaluation_counts_where_it_is_of_this_model(path: Path) -> None:
    write(path.parent / "evaluation.json", EVALUATION.as_dict())
    card = model_card(read_facts(path))
    assert "Measured on 72 images, 31 objects." in card and "| cat | 0.400 | 31 |" in card
    other = {**EVALUATION.as_dict(), "AP": 0.39}
    write(path.parent / "evaluation.json", other)
    card = model_card(read_facts(path))
    assert "| AP | 0.412 |" in card and "72 images" not in card
    (path.parent / "evaluation.json").write_text("{", encoding="utf-8")
    assert "| AP | 0.412 |" in model_card(read_facts(path))


def test_intervals_stand_beside_the_figures_where_they_are_given(
    path: Path, tmp_path: Path
) -> None:
    estimates = {
        "AP": asdict(Estimate(0.41234, 0.38, 0.45)),
        "AP50": asdict(Estimate(0.7, None, None)),
    }
    report = {
        "evaluation": EVALUATION.as_dict(),
        "intervals": {"covered": 0.95, "num_resamples": 1000, **estimates},
    }
    card = model_card(read_facts(path, write(tmp_path / "report.json", report)))
    assert "| AP | 0.412 (0.380 to 0.450) |" in card and "| AP50 | 0.700 |" in card
    assert "Intervals hold 95% of resamples of the images." in card
    plain = read_facts(path, write(tmp_path / "plain.json", EVALUATION.as_dict()))
    assert "Intervals over the images are not known." in model_card(plain)


def test_an_undefined_number_is_left_out(tmp_path: Path) -> None:
    path = model(tmp_path / "m.safetensors", metrics={**METRICS, "APs": float("nan")})
    card = model_card(read_facts(path))
    assert "nan" not in card.lower() and "| APs |" not in card and "| APm |" in card


NOT_FINITE = json.dumps({**EVALUATION.as_dict(), "AP": float("nan")})
NO_NUMBER = json.dumps({"evaluation": EVALUATION.as_dict(), "intervals": {"covered": "most"}})
PER_CLASS = [{"name": "cat", "ap": "much", "num_truths": 3}]
NO_AP = json.dumps({**EVALUATION.as_dict(), "per_class": PER_CLASS})


@pytest.mark.parametrize(
    "text", ["[]", "{", "{}", '{"evaluation": 3}', '{"AP": 1}', NOT_FINITE, NO_NUMBER, NO_AP]
)
def test_a_file_that_is_no_evaluation_is_named(text: str, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"other\.json: "):
        read_facts(path, file)


def test_a_published_detectors_card_says_whose_figures_they_are(tmp_path: Path) -> None:
    origin = {
        "name": "ssd_mobilenetv2",
        "source": "https://example.org/a.ckpt",
        "licence": "MindCV is Apache-2.0; trained on COCO 2017",
        "metrics": "as published by MindCV",
    }
    path = model(tmp_path / "m.safetensors", origin=origin, metrics={"AP": 0.232})
    facts = read_facts(path)
    card = model_card(facts)
    assert facts.dataset == "COCO 2017"
    assert "as published by MindCV; they were not measured by mindssd" in card
    assert "| of the model | MindCV is Apache-2.0" in card and "license" not in head(card)


def test_a_card_is_not_written_over_unless_asked(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "README.md"
    write_card(path, out)
    first = out.read_text(encoding="utf-8")
    with pytest.raises(MindSSDError, match="is there already"):
        write_card(path, out, licence="mit")
    assert out.read_text(encoding="utf-8") == first
    write_card(path, out, licence="mit", force=True)
    assert head(out.read_text(encoding="utf-8"))["license"] == "mit"


@pytest.mark.parametrize("repo", ["bad", "a/b/c", "../x", "a/b@main", "a/-b", "á/b", ""])
def test_what_is_no_repository_is_named_before_a_card_is_written(
    path: Path, tmp_path: Path, mindssd: Any, repo: str
) -> None:
    out = tmp_path / "README.md"
    fault = mindssd("card", path, "--out", out, "--push", repo).fault
    assert fault == f"{repo}: expected ORG/NAME, a repository's name on the hub"
    assert not out.exists()


def test_a_folder_in_a_cards_place_is_said_to_be_one(path: Path, tmp_path: Path) -> None:
    with pytest.raises(MindSSDError, match="it is a folder"):
        write_card(path, tmp_path)


def test_an_exported_file_has_a_card_too(deploy: Any) -> None:
    facts = read_facts(deploy())
    assert facts.is_deployed and "onnx" in head(model_card(facts))["tags"]
