"""Fetching ONNX Runtime for browsers, from a registry on this machine that may misbehave."""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mindssd.deploy.settings import ExportSettings
from mindssd.deploy.targets.web import runtime
from mindssd.deploy.targets.web.runtime import ARCHIVE, FILES, registry, runtime_files
from mindssd.errors import ConfigError, WeightsError
from tests.mirror import mirror


def packed(contents: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


CONTENTS = {name: name.encode() * 9 for name in FILES}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A registry that has an archive, whose hash is taken for the one that is known."""
    with mirror(monkeypatch, tmp_path / "cache") as one:
        one.content = packed({**CONTENTS, "another.js": b"not wanted"})
        monkeypatch.setattr(runtime, "SHA512", hashlib.sha512(one.content).hexdigest())
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{one.server_address[1]}/npm/")
        yield one


def test_the_registry_that_npm_is_set_to_is_asked_once(server: Any, tmp_path: Path) -> None:
    assert runtime_files() == CONTENTS
    assert server.requests == [(f"/npm/onnxruntime-web/-/{ARCHIVE}", None)]
    server.status = 500
    assert runtime_files() == CONTENTS  # without a network
    assert len(server.requests) == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [ARCHIVE]


def test_another_archive_is_not_taken_and_not_kept(server: Any, tmp_path: Path) -> None:
    server.content = packed(dict.fromkeys(FILES, b"changed"))
    with pytest.raises(WeightsError, match=r"the SHA-512 of what came.*--runtime-archive FILE"):
        runtime_files()
    assert list((tmp_path / "cache").iterdir()) == []


def test_one_in_the_cache_that_was_damaged_is_not_taken(server: Any, tmp_path: Path) -> None:
    runtime_files()
    (tmp_path / "cache" / ARCHIVE).write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=r"is damaged or another file; delete it"):
        runtime_files()


def test_an_answer_that_leads_elsewhere_is_not_followed(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = server.RequestHandlerClass.do_GET
    address = f"http://127.0.0.1:{server.server_address[1]}/elsewhere"

    def lead(handler: Any) -> None:
        if handler.path == "/elsewhere":
            original(handler)
            return
        handler.send_response(302)
        handler.send_header("Location", address)
        handler.end_headers()

    monkeypatch.setattr(server.RequestHandlerClass, "do_GET", lead)
    with pytest.raises(WeightsError, match=r"the server answers 302 .*--runtime-archive FILE"):
        runtime_files()
    assert server.requests == []


def test_without_a_network_one_line_names_the_ways_out(
    server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1")
    with pytest.raises(WeightsError) as error:
        runtime_files()
    line = str(error.value)
    assert "\n" not in line and "--runtime-archive FILE" in line
    assert f"put it at {tmp_path / 'cache' / ARCHIVE}" in line


def test_an_archive_is_taken_from_a_file_where_it_is_the_one_that_is_known(
    server: Any, tmp_path: Path
) -> None:
    file = tmp_path / "mine.tgz"
    file.write_bytes(server.content)
    assert runtime_files(file) == CONTENTS and server.requests == []
    file.write_bytes(b"another")
    with pytest.raises(WeightsError, match=r"mine.tgz: is not .*`npm pack onnxruntime-web@"):
        runtime_files(file)
    with pytest.raises(WeightsError, match=r"none.tgz"):
        runtime_files(tmp_path / "none.tgz")


def test_the_registry_is_the_environments_or_npms_and_never_guessed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in runtime.REGISTRY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    npm = tmp_path / "npm"
    monkeypatch.setenv("PATH", str(tmp_path))
    unknown = r"is not known: .*npm_config_registry.*--runtime-archive FILE.*`npm pack onnx"
    with pytest.raises(ConfigError, match=unknown):
        registry()
    npm.write_text("#!/bin/sh\necho https://mirror.example/npm/\n")
    npm.chmod(0o700)
    assert registry() == "https://mirror.example/npm"
    npm.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(ConfigError, match=unknown):
        registry()
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://other.example")
    assert registry() == "https://other.example"
    for wrong in ("file:///etc", "https://me:secret@other.example"):
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", wrong)
        with pytest.raises(ConfigError, match="--runtime-archive FILE") as error:
            registry()
        assert "secret" not in str(error.value)


def test_the_option_is_for_the_web_alone() -> None:
    with pytest.raises(ConfigError, match="--runtime-archive is for web, not for onnx"):
        ExportSettings(runtime_archive=Path("a.tgz"))
    refused = (
        ("--nms", "onnx, openvino and tflite", {"nms": object()}),
        ("int8", ".* and tflite", {"int8": True}),
    )
    for word, others, settings in refused:
        with pytest.raises(ConfigError, match=f"{word} is for {others}, not for web"):
            ExportSettings(format="web", **settings)  # type: ignore[arg-type]
