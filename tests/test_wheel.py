"""A wheel, installed where there is no checkout, trains, predicts and exports.

Nothing is downloaded: the environment is empty but for the wheel, and finds the libraries where
this one has them, behind it on the path.
"""

import json
import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]


def run(folder: Path, *command: object) -> str:
    """Run a command far from the checkout, in an environment that does not name it: its output."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of a copy, so that nothing is left in the checkout."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "mindssd", source / "mindssd", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    run(folder, *build, "--wheel-dir", folder, source)
    (path,) = folder.glob("*.whl")
    shutil.rmtree(source)
    return path


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`mindssd`, installed from the wheel."""
    folder = tmp_path_factory.mktemp("installed")
    environment = folder / "environment"
    venv.create(environment, with_pip=False, symlinks=os.name != "nt")
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    install = [sys.executable, "-m", "pip", "--python", scripts / "python", "install"]
    options = ["-q", "--no-deps", "--no-index", "--disable-pip-version-check"]
    run(folder, *install, *options, wheel)
    (packages,) = environment.glob("**/site-packages")
    # An editable mindssd among them is found by its own .pth, which is not read there.
    (packages / "libraries.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    return scripts / "mindssd"


COMMANDS = """
import json, sys
from mindssd.cli.main import main
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    try:
        main()
    except SystemExit as end:
        assert not end.code, (words, end.code)
"""
"""In one process, which imports the libraries once."""


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("mindssd/")}
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "mindssd").rglob("*.*")}
    files = {name for name in files if "__pycache__" not in name}
    assert packed == files
    for suffix, count in ((".c", 2), (".yaml", 11), (".js", 11), (".css", 1)):
        assert sum(name.endswith(suffix) for name in packed) == count
    assert "mindssd/py.typed" in packed


def test_nothing_comes_from_the_checkout(program: Path, tmp_path: Path) -> None:
    python = program.with_name("python")
    code = "import mindssd; print(mindssd.__file__)"
    where = run(tmp_path, python, "-c", code)
    assert Path(where.strip()).is_relative_to(program.parents[1])


@pytest.mark.parametrize("engine", ["torch", "mindspore"])
def test_it_trains_predicts_and_exports(
    program: Path, quick_config: Path, shapes_dir: Path, tmp_path: Path, engine: str
) -> None:
    """The export, which is PyTorch's whoever trained, is compared with PyTorch's own network."""
    pytest.importorskip(engine)
    settings = [f"engine={engine}", f"data_dir={shapes_dir}"]
    config = tmp_path / quick_config.name
    shutil.copy(quick_config, config)
    run(tmp_path, program, "train", "--config", config, "epochs=1", "name=first", *settings)
    model = tmp_path / "runs" / "first" / "best.safetensors"
    out = tmp_path / "out"
    words = ["--engine", engine, "--out", out]
    commands = [["predict", model, shapes_dir / "val2017", *words]]
    if engine == "torch" and find_spec("onnxscript") and find_spec("onnxruntime"):
        commands.append(["export", model, *settings])
        commands.append(["predict", model.with_suffix(".onnx"), shapes_dir / "val2017"])
    given = json.dumps([[str(word) for word in command] for command in commands])
    run(tmp_path, program.with_name("python"), "-c", COMMANDS, given)
    assert len(json.loads((out / "detections.json").read_text())["images"]) == 12
    assert (tmp_path / "predictions" / "detections.json").exists() == (len(commands) == 3)
