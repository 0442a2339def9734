"""`mindssd export --format web` as a whole, from a trained model."""

from pathlib import Path

import pytest

import mindssd
from mindssd.build.model import deployed_predictor
from mindssd.deploy import export
from mindssd.deploy.samples import drawn_images
from mindssd.deploy.sessions.opening import open_session
from mindssd.deploy.targets.web.check import verify_page
from tests.browser import program
from tests.deploy import test_readers
from tests.deploy.web.conftest import page_of

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
    monkeypatch.setattr(export, "runtime_files", lambda archive: runtime)
    out = tmp_path / "page"
    engine = {"engine": "torch"}
    assert mindssd.export(untrained_model, engine, format="web", out=out) == out
    said = capsys.readouterr().out
    assert said.count("8 images: boxes differ by at most") == 2  # the file, and the page
    assert "together" in said and f"written: {out}" in said
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    assert mindssd.load(out / "model.onnx").class_names == ("rectangle", "ellipse")


def test_a_page_of_a_feature_pyramid_sees_what_onnx_runtime_sees(
    runtime: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Maps that are enlarged, and a tower for each level, by WebAssembly."""
    program()
    network = test_readers.export("ssd_resnet50_fpn")
    model = network.write(tmp_path_factory.mktemp("model") / "model.onnx")
    session, folder = open_session(model), page_of(model, runtime, tmp_path_factory)
    predictor = deployed_predictor(session, session.manifest.shown(), 1)
    said: list[str] = []
    verify_page(folder, session.manifest, predictor, drawn_images(2), said.append)
    assert "2 images: boxes differ by at most" in said[0]
