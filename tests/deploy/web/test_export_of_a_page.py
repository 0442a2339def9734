"""`mindssd export --format web` as a whole, from a trained model."""

from pathlib import Path

import pytest

import mindssd
from mindssd.deploy import exporter
from mindssd.deploy.targets.web.browser import find_browser

pytestmark = pytest.mark.slow  # it traces the network on PyTorch


def test_a_page_is_compared_with_the_engine_and_its_model_opens(
    untrained_model: Path,
    runtime: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All scores of this model are alike: of such the earlier box goes first, here and there."""
    pytest.importorskip("torch")
    monkeypatch.setattr(exporter, "runtime_files", lambda archive: runtime)
    out = tmp_path / "page"
    engine = {"engine": "torch"}
    assert mindssd.export(untrained_model, engine, format="web", out=out) == out
    said = capsys.readouterr().out
    # The file, and the page where it could be looked at.
    times = 2 if find_browser() else 1
    assert said.count("8 images: boxes differ by at most") == times
    assert "together" in said and f"written: {out}" in said
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    assert mindssd.load(out / "model.onnx").class_names == ("rectangle", "ellipse")
