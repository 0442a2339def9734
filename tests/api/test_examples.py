"""Each Python example of docs/python.md and the README runs, in its order, in one program."""

import re
from pathlib import Path
from typing import Any

import cv2
import pytest

import mindssd
from mindssd import api

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

NEEDED = ("onnxscript", "onnxruntime", "supervision", "pandas")


def examples(name: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_each_python_example_runs(
    quick_config: Path,
    quickest_engine: str,
    shapes_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On twelve drawn images and a network that trains in seconds, in the recipe's place."""
    for package in NEEDED:
        pytest.importorskip(package)
    config = tmp_path / "quick.yaml"
    text = quick_config.read_text(encoding="utf-8")
    config.write_text(f"{text}\nengine: {quickest_engine}\n", encoding="utf-8")
    monkeypatch.setattr(api, "DEFAULT_RECIPE", str(config))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_data").symlink_to(shapes_dir)
    (tmp_path / "more").mkdir()
    picture = cv2.imread(str(shapes_dir / "val2017" / "0.png"))
    for name in ("photo.jpg", "more/b.jpg"):
        cv2.imwrite(str(tmp_path / name), picture)

    blocks = examples("docs/python.md")
    assert len(blocks) >= 6
    program: dict[str, Any] = {"__name__": "program"}
    for number, block in enumerate([*blocks, *examples("README.md")], 1):
        exec(compile(block, f"example {number}", "exec"), program)
    assert program["run"].folder == Path("runs/second") and program["done"].num_images == 2
    assert program["detections"].class_names == ("rectangle", "ellipse")
    assert program["annotated"].shape == picture.shape
    assert mindssd.load("model.onnx")("photo.jpg").class_names == ("rectangle", "ellipse")
