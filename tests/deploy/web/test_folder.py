"""The folder itself: what it is called, what it replaces, and what stands in it."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from mindssd.deploy import export
from mindssd.deploy.targets.web.folder import description, require_ours_or_none, sizes, write_page
from mindssd.deploy.targets.web.runtime import FILES
from mindssd.errors import ConfigError, MindSSDError
from tests.deploy.conftest import manifest

RUNTIME = {name: name.encode() * 100 for name in FILES}


def made(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"model")
    write_page(folder, manifest(), "cells & <co>", RUNTIME)
    return folder


def test_it_holds_all_that_a_page_needs_and_says_how_it_is_served(tmp_path: Path) -> None:
    folder = made(tmp_path / "page")
    for name in FILES[:2]:
        assert (folder / "runtime" / name).read_bytes() == RUNTIME[name]
    packed = (folder / "runtime" / f"{FILES[2]}.gz").read_bytes()
    assert gzip.decompress(packed) == RUNTIME[FILES[2]]
    readme = (folder / "README.md").read_text()
    assert "python -m http.server" in readme and "Cross-Origin-Embedder-Policy" in readme
    assert "MIT" in (folder / "runtime" / "LICENSE").read_text()
    html = (folder / "index.html").read_text()
    assert "<title>cells &amp; &lt;co&gt;</title>" in html and "$" not in html
    assert "connect-src 'self'" in html
    assert sizes(folder).startswith("together 0.4 MB, the model 0.0 MB, the runtime 0.3 MB")


def test_the_description_is_what_the_scripts_select_by() -> None:
    found = json.loads(json.dumps(description(manifest(), "shapes")))
    assert found["classes"] == ["cat", "dog", "hen"] and found["image_size"] == [48, 64]
    assert (found["score"], found["iou_threshold"], found["across_classes_iou"]) == (0.3, 0.5, 0.5)
    assert found["thresholds"] is None and found["vote_iou"] is None
    for values in (
        {"cat": 0.4, "dog": 0.5, "hen": 0.6},
        dict.fromkeys(("cat", "dog", "hen"), 0.437),
    ):
        plain = manifest()
        own = replace(plain, metadata=replace(plain.metadata, thresholds=values))
        found = description(own, "shapes")
        assert found["thresholds"] == [*values.values()] and found["score"] == min(values.values())


def test_a_page_replaces_a_page_and_nothing_else(tmp_path: Path) -> None:
    require_ours_or_none(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    require_ours_or_none(tmp_path / "empty")
    require_ours_or_none(made(tmp_path / "page"))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "page")
    (tmp_path / "file").write_bytes(b"")
    for name, words in (("photos", "other files"), ("link", "no folder"), ("file", "no folder")):
        with pytest.raises(ConfigError, match=f"{name} .*{words}.*--out names"):
            require_ours_or_none(tmp_path / name)
    with pytest.raises(MindSSDError, match=r"none/page: there is no folder .*/none; make it"):
        require_ours_or_none(tmp_path / "none" / "page")


@pytest.mark.parametrize("before", ["nothing", "an empty folder", "a page"])
def test_it_gets_its_name_whole_or_not_at_all(tmp_path: Path, before: str) -> None:
    out = tmp_path / "page"
    if before != "nothing":
        out.mkdir()
    if before == "a page":
        (out / "old.txt").write_text("old")
    as_before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(KeyboardInterrupt), export._unnamed(out) as unnamed:
        made(unnamed)
        raise KeyboardInterrupt
    assert sorted(path.name for path in tmp_path.rglob("*")) == as_before
    with export._unnamed(out) as unnamed:
        made(unnamed)
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    assert (out / "index.html").is_file() and not (out / "old.txt").exists()
