"""Who may import whom: the table of the design, enforced.

The rules stand in `LAYERS`, a layer a line, as in DESIGN.md. Every import statement of the package
is read with `ast`, those inside functions and under `if TYPE_CHECKING` too: a lazy import is a
dependency like any other.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "mindssd"


@dataclass(frozen=True)
class Layer:
    """What a layer may import beside itself, the standard library and `errors`."""

    ours: frozenset[str]
    third_party: frozenset[str]


def _layer(ours: str = "", third_party: str = "") -> Layer:
    return Layer(frozenset(ours.split()), frozenset(third_party.split()))


# The modules at the package's top that put the parts together. They may import everything but cli;
# the framework comes in by `build` alone, inside a function.
APPLICATION = frozenset(
    {"build", "detector", "run", "validation", "evaluate", "launch", "bench"} | {"deploy.export"}
)
_ALL_PARTS = (
    "types files processes config geometry images visualize data weights engines.base training"
    " predictor tiling predict deploy"
)

LAYERS = {
    "errors": _layer(),
    "types": _layer(third_party="numpy"),
    "addresses": _layer(),
    "files": _layer(),
    "processes": _layer(),
    "config": _layer(third_party="yaml msgspec"),
    "geometry": _layer("types", "numpy"),
    "decoders": _layer("types", "numpy cv2 PIL simplejpeg"),
    "images": _layer("addresses types decoders", "numpy cv2"),
    "fonts": _layer(),
    "headers": _layer("types decoders"),
    "lettering": _layer("types fonts", "numpy cv2 PIL anyascii"),
    "visualize": _layer("types images lettering", "numpy cv2"),
    "data": _layer("types files geometry headers images", "numpy cv2 grain msgspec"),
    "demo": _layer("types files geometry images", "numpy cv2 PIL"),
    "weights": _layer("addresses types files", "numpy safetensors google rich"),  # google.protobuf
    "engines": _layer(),
    "engines.base": _layer("types", "numpy"),
    "engines.mindspore": _layer("types files processes engines.base", "numpy mindspore mindcv"),
    "engines.torch": _layer("types processes engines.base", "numpy torch"),
    # safetensors: the file that a run resumes from.
    "training": _layer(
        "types processes engines.base weights", "numpy tensorboardX rich safetensors"
    ),
    "predictor": _layer("types geometry images", "numpy"),
    "tiling": _layer("types geometry images predictor", "numpy"),
    # Its job takes a detector from the application.
    "predict": _layer(
        "application addresses types files images geometry visualize predictor weights evaluation",
        "numpy cv2 PIL av msgspec rich",
    ),
    # Its export puts parts together, and is of the application.
    "deploy": _layer(
        "types geometry predictor weights engines.base", "numpy onnx onnxruntime openvino"
    ),
    "evaluation": _layer("types files geometry predictor", "numpy faster_coco_eval rich"),
    "application": _layer(
        f"{_ALL_PARTS} evaluation engines.mindspore engines.torch",
        "numpy cv2 rich msgspec onnx onnxruntime openvino",
    ),
    # `data` is for `doctor`, `weights` for `weights`, `evaluation` for its report,
    # `training` for a console that outlives its terminal.
    "cli": _layer(
        "application predict config data demo weights training evaluation visualize files processes"
        " deploy",
        "typer rich",
    ),
    # `import mindssd` and `python -m mindssd`.
    "__init__": _layer("application"),
    "__main__": _layer("cli"),
}

ONLY_IN = {
    "mindspore": "engines.mindspore",
    "mindcv": "engines.mindspore",
    "torch": "engines.torch",
    "typer": "cli",
    "grain": "data",
    "tensorboardX": "training",
    "faster_coco_eval": "evaluation",
    "yaml": "config",
    "av": "predict",
}
"""Each of these has one home."""


@dataclass(frozen=True)
class Import:
    """One imported module, where it stands, and whether loading that file imports it."""

    path: Path
    line: int
    module: str
    at_load: bool

    def __str__(self) -> str:
        return f"{self.path.relative_to(PACKAGE.parent)}:{self.line} imports {self.module}"


def _imports(path: Path) -> list[Import]:
    found = []

    def visit(node: ast.AST, at_load: bool) -> None:
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports in full"
            module = node.module or ""
            # `from mindssd import build` imports a module of ours
            names = [f"{module}.{alias.name}" for alias in node.names]
            modules = names if module == "mindssd" else [module]
        found.extend(Import(path, node.lineno, m, at_load) for m in modules)
        later = isinstance(node, ast.FunctionDef) or (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        )
        for child in ast.iter_child_nodes(node):
            visit(child, at_load and not later)

    visit(ast.parse(path.read_text(encoding="utf-8")), True)
    return found


def _layer_of(parts: tuple[str, ...]) -> str:
    """`("engines", "base")` to `engines.base`, `("run",)` to `application`."""
    if parts[0] in APPLICATION:
        return "application"
    if parts[:2] == ("deploy", "export"):
        return "application"
    if parts[0] == "engines" and len(parts) > 1 and parts[1] != "__init__":
        return f"engines.{parts[1]}"
    return parts[0]


def _files() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield _layer_of(path.relative_to(PACKAGE).with_suffix("").parts), path


@cache
def _all_imports() -> list[tuple[str, Import]]:
    return [(layer, found) for layer, path in _files() for found in _imports(path)]


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "mindssd"


def test_every_file_belongs_to_a_layer_of_the_table():
    assert {layer for layer, _ in _files()} == set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_of_ours_only_what_the_table_allows(layer):
    allowed = LAYERS[layer].ours | {layer, "errors"}
    offences = []
    for importer, found in _all_imports():
        if importer == layer and _is_ours(found.module):
            imported = _layer_of(tuple(found.module.split(".")[1:]))
            if imported not in allowed:
                offences.append(f"{found}, but {layer} may not import {imported}")
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_of_others_only_what_the_table_allows(layer):
    allowed = LAYERS[layer].third_party
    offences = [
        str(found)
        for importer, found in _all_imports()
        if importer == layer
        and not _is_ours(found.module)
        and (name := found.module.partition(".")[0]) not in sys.stdlib_module_names
        and name not in allowed
    ]
    assert not offences, "\n".join(offences)


def test_onnx_and_its_runtimes_are_imported_in_deploy_alone():
    offences = [
        str(found)
        for _, found in _all_imports()
        if found.module.partition(".")[0] in ("onnx", "onnxruntime", "openvino")
        and found.path.parent.name != "deploy"
    ]
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_library_with_one_home_is_imported_nowhere_else(package):
    homes = {layer for layer, found in _all_imports() if found.module.partition(".")[0] == package}
    assert homes == {ONLY_IN[package]}


def test_the_framework_is_reached_inside_a_function_of_build_alone():
    """So that nothing imports a framework before the engine's settings stand, or without need."""
    doors = {
        (found.path.name, found.at_load)
        for layer, found in _all_imports()
        if found.module.startswith(("mindssd.engines.mindspore", "mindssd.engines.torch"))
        and not layer.startswith("engines.")
    }
    assert doors == {("build.py", False)}


def test_nothing_is_unpickled():
    """A pickle runs what it holds: neither files nor other processes are trusted so far."""
    banned = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
    assert [str(i) for _, i in _all_imports() if i.module.partition(".")[0] in banned] == []


def test_a_command_imports_at_its_top_only_what_its_help_needs():
    light = {"typer", *sys.stdlib_module_names}
    offences = [
        str(found)
        for layer, found in _all_imports()
        if layer == "cli"
        and found.at_load
        and found.module.partition(".")[0] not in light
        and not found.module.startswith(("mindssd.cli", "mindssd.errors"))
    ]
    assert not offences, "\n".join(offences)


def test_no_init_file_imports_anything_of_weight():
    offences = [
        str(found)
        for _, found in _all_imports()
        if found.path.name == "__init__.py"
        and found.at_load
        and found.module.partition(".")[0] not in sys.stdlib_module_names
    ]
    assert not offences, "\n".join(offences)


HEAVY = (
    *("mindspore", "mindcv", "torch", "onnx", "onnxruntime", "openvino"),
    *("grain", "cv2", "av", "faster_coco_eval", "tensorboardX", "safetensors"),
)


@pytest.mark.parametrize(
    "code",
    [
        "import mindssd",
        "import mindssd.types, mindssd.errors",
        "import sys; sys.argv = ['mindssd', '--help']\n"
        "from mindssd.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0, end",
    ],
    ids=["import mindssd", "types and errors", "mindssd --help"],
)
def test_what_must_be_quick_imports_no_framework(code):
    probe = f"{code}\nimport sys\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
