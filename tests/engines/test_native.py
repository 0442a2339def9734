"""C sources are compiled once, for this machine, or not at all."""

import ctypes
from pathlib import Path

import pytest

from mindssd import files
from mindssd.engines.mindspore import native


@pytest.fixture
def source(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(files.CACHE_VARIABLE, str(tmp_path / "cache"))
    native.compiled.cache_clear()
    source = tmp_path / "answer.c"
    source.write_text("int answer(void) { return 42; }")
    yield source
    native.compiled.cache_clear()


def test_a_source_is_compiled_once(source):
    library = native.compiled(source)
    assert ctypes.CDLL(str(library)).answer() == 42
    made = library.stat().st_mtime_ns
    native.compiled.cache_clear()
    assert native.compiled(source) == library
    assert library.stat().st_mtime_ns == made
    assert list(library.parent.iterdir()) == [library]


def test_another_source_is_another_library(source):
    first = native.compiled(source)
    native.compiled.cache_clear()
    source.write_text("int answer(void) { return 43; }")
    second = native.compiled(source)
    assert second != first
    assert ctypes.CDLL(str(second)).answer() == 43


def test_what_does_not_compile_is_told_and_left_alone(source, capsys):
    source.write_text("int answer(void) { return")
    assert native.compiled(source) is None
    assert "answer.c was not compiled" in capsys.readouterr().err
    assert list((source.parent / "cache" / "native").iterdir()) == []


def test_without_a_compiler_there_is_no_library(source, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    assert native.compiled(source) is None
