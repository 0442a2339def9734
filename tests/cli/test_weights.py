"""`mindssd weights` lists and fetches what is published."""

import hashlib
from dataclasses import replace

import pytest
import typer
from typer.testing import CliRunner

from mindssd import files
from mindssd.cli.weights import weights
from mindssd.errors import WeightsError
from mindssd.weights import download
from mindssd.weights.progress import show_progress
from mindssd.weights.published import BACKBONES, PUBLISHED


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command with a cache of its own and no server."""
    monkeypatch.setenv(files.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(download.BASE_URL_VARIABLE, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    app = typer.Typer()
    app.command()(weights)

    def invoke(*words):
        done = CliRunner().invoke(app, list(words))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    return invoke


def _cache(name, monkeypatch):
    """Put a file with the right hash where the published one would lie."""
    content = b"weights"
    digest = hashlib.sha256(content).hexdigest()[:8]
    backbone = replace(PUBLISHED[name], path=f"a/{name}-{digest}.ckpt")
    monkeypatch.setitem(PUBLISHED, name, backbone)
    path = download.cached_path(backbone)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_list_tells_kind_recipe_size_and_what_is_cached(run, monkeypatch):
    _cache("resnet50", monkeypatch)
    lines = [line.split() for line in run().splitlines()]
    assert ["name", "kind", "recipe", "size", "cached"] in lines
    row = ["mobilenet_v2_100", "backbone", "ssd_mobilenetv2", "about", "14", "MB", "no"]
    assert row in lines
    assert ["resnet50", "backbone", "ssd_resnet50_fpn", "0.0", "MB", "yes"] in lines
    row = ["ssd_resnet50_fpn", "detector", "ssd_resnet50_fpn", "about", "134", "MB", "no"]
    assert row in lines
    assert ["cache:", str(files.cache_dir())] in lines


def test_fetching_prints_where_each_file_lies(run, monkeypatch):
    names = [backbone.name for backbone in BACKBONES]
    paths = {name: _cache(name, monkeypatch) for name in names}
    assert run("fetch", "resnet50") == f"resnet50: {paths['resnet50']}\n"
    assert run("fetch", *names).splitlines() == [f"{n}: {path}" for n, path in paths.items()]


def test_all_is_everything_that_is_published(run, monkeypatch):
    asked = []
    monkeypatch.setattr("mindssd.build.published.fetch_published", lambda n, _: asked.append(n))
    run("fetch", "all")
    assert asked == list(PUBLISHED)


def test_a_fault_is_one_line_that_says_what_can_be_asked(run):
    for words, message in (
        (["fetch"], "needs a name: mobilenet_v2_100, .*, resnet50, ssd_mobilenetv2, .*, or all"),
        (["get", "resnet50"], r"'get' is unknown; use `mindssd weights`"),
        (["fetch", "resnet50", "vgg16"], "'vgg16' is not published; there are mobilenet_v2_100"),
        (["fetch", "resnet50"], r"http://127\.0\.0\.1:9/resnet/.* cannot be reached"),
    ):
        with pytest.raises(WeightsError, match=message):
            run(*words)


def test_the_bar_takes_an_unknown_size():
    with show_progress("a") as progress:
        progress(10, None)
        progress(20, 20)
