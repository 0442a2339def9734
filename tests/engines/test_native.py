"""C sources are compiled once, for this machine, or not at all."""

import ctypes
from pathlib import Path

import pytest

from mindssd import files
from mindssd.engines.mindspore import native
from mindssd.errors import MindSSDError

LOSS = "answers come late"


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
    assert native.compiled(source, LOSS) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "answer.c was not compiled" in line and "error: expected expression" in line
    assert LOSS in line and "CC names" in line and files.CACHE_VARIABLE in line
    native.compiled.cache_clear()
    assert native.compiled(source) is None  # without a loss there is nothing to tell
    assert capsys.readouterr().err == ""
    assert list((source.parent / "cache" / "kernels").iterdir()) == []


def test_without_a_compiler_there_is_no_library(source, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    assert native.compiled(source) is None


def test_the_compilers_name_may_bring_options(source, monkeypatch):
    source.write_text("int answer(void) { return ANSWER; }")
    monkeypatch.setenv("CC", "cc -DANSWER=44")
    first = native.compiled(source)
    assert ctypes.CDLL(str(first)).answer() == 44
    native.compiled.cache_clear()
    monkeypatch.setenv("CC", "cc -DANSWER=45")
    second = native.compiled(source)
    assert second != first
    assert ctypes.CDLL(str(second)).answer() == 45


def test_a_library_that_cannot_be_loaded_is_made_again(source):
    library = native.compiled(source)
    library.unlink()  # this process has the old one's pages: cutting that off would kill it
    library.write_bytes(b"")
    native.compiled.cache_clear()
    assert native.compiled(source) == library
    assert ctypes.CDLL(str(library)).answer() == 42


@pytest.mark.parametrize("compiler", ["/bin/true", "cc -m32 -nostdlib", "/bin/false"])
def test_a_compiler_that_makes_nothing_of_use_is_told(source, monkeypatch, capsys, compiler):
    monkeypatch.setenv("CC", compiler)
    assert native.compiled(source, LOSS) is None
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_path_that_mindspore_cannot_take_is_told(source, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(files.CACHE_VARIABLE, str(tmp_path / "a:b"))
    assert native.compiled(source, LOSS) is None
    assert "a:b/kernels has a colon in its path" in capsys.readouterr().err


def test_a_user_without_a_home_goes_without(source, monkeypatch, capsys):
    def nowhere():
        raise MindSSDError("no home folder")

    monkeypatch.setattr(native, "cache_dir", nowhere)
    assert native.compiled(source, LOSS) is None
    assert "no home folder" in capsys.readouterr().err


def test_what_others_could_have_put_there_is_not_run(source, capsys):
    library = native.compiled(source)
    library.parent.chmod(0o777)
    native.compiled.cache_clear()
    assert native.compiled(source, LOSS) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "kernels may be written to by others" in line and files.CACHE_VARIABLE in line
