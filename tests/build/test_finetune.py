"""The recipes that start from a published detector train, go on where they were stopped, and give a
model that is evaluated. The start is made here, and knows nothing of COCO.
"""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mindssd.build.evaluation import evaluate_model
from mindssd.build.run import read_parts, resume_run, train_quietly
from mindssd.config.load import load_config
from mindssd.errors import ConfigError
from mindssd.training.signals import OutOfTime
from mindssd.weights import download
from mindssd.weights.published import names_of
from mindssd.weights.safetensors_file import read_model
from tests.golden.facts import REDUCED, Golden
from tests.mirror import detector_file, mirror, publish

pytestmark = pytest.mark.slow

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def four_dir(shapes_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four of the pictures, which the largest network takes longest for."""
    folder = Path(shutil.copytree(shapes_dir, tmp_path_factory.mktemp("four") / "data"))
    for file in (folder / "annotations").iterdir():
        content = json.loads(file.read_text())
        content["images"] = content["images"][:4]
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] <= 4]
        file.write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("name", names_of("detector"))
def test_it_trains_resumes_and_is_evaluated(
    name: str, four_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [
        *("engine=torch", "device=CPU", "precision=float32", "num_workers=0"),
        f"data_dir={four_dir}",
        *(
            "batch_size=2",
            "image_size=160",
            "schedule.total_steps=4",
            f"runs_dir={tmp_path}",
            "name=run",
        ),
        "class_map={ellipse: sports ball}",
    ]
    run = tmp_path / "run"
    with mirror(monkeypatch, tmp_path / "cache") as server:
        publish(monkeypatch, server, name, detector_file(name, tmp_path / "a.ckpt"))
        config = load_config(name.replace("ssd_", "finetune_"), settings)
        with pytest.raises(OutOfTime):
            train_quietly(config, run, read_parts(config)[0], deadline=time.monotonic())
    # A run keeps what it needs: it goes on without what it started from.
    monkeypatch.setenv(download.BASE_URL_VARIABLE, "http://127.0.0.1:9")
    for path in (tmp_path / "cache").iterdir():
        path.unlink()
    with pytest.raises(ConfigError, match=r"own weights; leave class_map=… out"):
        resume_run(run, ["class_map={ellipse: bus}"])
    resume_run(run)
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["event"] == "train"]
    assert [event["step"] for event in steps] == [1, 2, 3, 4]
    assert all(np.isfinite(event["loss"]) for event in steps)

    parameters, metadata = read_model(run / "best.safetensors")
    assert metadata.class_names == ("rectangle", "ellipse")
    assert (metadata.config["initial_weights"], metadata.config["class_map"]) == (None, {})
    start = Golden(name, REDUCED).parameters()
    frozen = next(iter(start))
    np.testing.assert_array_equal(parameters[frozen], start[frozen])
    settings = [f"data_dir={four_dir}", "engine=torch", "device=CPU"]
    found = evaluate_model(run / "best.safetensors", None, settings, None, Console(quiet=True))
    assert found.ap is not None and found.num_images == 4
    assert found.ap == pytest.approx(metadata.metrics["AP"], abs=1e-4)
