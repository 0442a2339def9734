"""`mindssd bench`: a line for each way to run a model, its parts and its total."""

import json
from pathlib import Path

from mindssd.deploy import bench
from mindssd.images import decode_image
from tests.cli.conftest import Command
from tests.deploy.conftest import Deploy


def test_each_runtime_and_precision_has_its_line(
    mindssd: Command, deploy: Deploy, tmp_path: Path
) -> None:
    done = mindssd("bench", deploy(), "--runs", 5, "--batch", 2, "--json", tmp_path / "r.json")
    assert (done.status, done.err) == (0, "")
    results = json.loads((tmp_path / "r.json").read_text())
    names = [result["name"] for result in results]
    assert any(name.startswith("ONNX Runtime") and "float32" in name for name in names)
    assert any(name.startswith("OpenVINO") and "float32" in name for name in names)
    for result in results:
        assert result["name"].split(",")[0] in done.out
        assert 0 < result["p50"] <= result["p90"] <= result["p99"]
        parts = sum(result[part] for part in ("decode", "prepare", "network", "postprocess"))
        assert 0 < parts < 2 * result["p90"]
        assert result["images_per_second"] > 0 and result["memory_mb"] > 20


def test_an_unreadable_image_is_named_before_anything_is_measured(
    mindssd: Command, deploy: Deploy, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no image")
    assert f"{tmp_path}/a.jpg: truncated" in mindssd("bench", deploy(), tmp_path / "a.jpg").fault


def test_threads_are_for_an_exported_model(mindssd: Command, tmp_path: Path) -> None:
    fault = mindssd("bench", tmp_path / "best.safetensors", "--threads", 2).fault
    assert fault.startswith("--threads is for files of `mindssd export`")


def test_the_drawn_photo_is_a_photo() -> None:
    data = bench.drawn_photo()
    assert decode_image(data, "photo").shape == (480, 640, 3)
    assert 50_000 < len(data) < 250_000
