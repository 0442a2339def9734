"""Who may import whom: the table of the design, enforced.

The rules stand in `LAYERS`, a layer a line, as in
docs/architecture.md. Every import statement of the package
is read with `ast`, those inside functions and under `if TYPE_CHECKING` too: a lazy import is a
dependency like any other.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "mindssd"


@dataclass(frozen=True)
class Layer:
    """What a layer may import beside itself, the standard library and `errors`."""

    ours: frozenset[str]
    third_party: frozenset[str]
    words: str
    """`ours` as docs/architecture.md says it."""


LAYERS: dict[str, Layer] = {}


def _layer(name: str, ours: str = "", third_party: str = "") -> None:
    """Add a layer; arrows go down only, so it may import those that stand above it here."""
    above = set(LAYERS) if ours == "all" else set(LAYERS) - OUTER
    names = above if ours in WORDS else set(ours.split())
    assert names <= set(LAYERS), f"{name}: arrows go down only"
    words = WORDS.get(ours) or ", ".join(ours.split()) or "–"
    LAYERS[name] = Layer(frozenset(names), frozenset(third_party.split()), words)


WORDS = {
    "all": "all above",
    "below": "all above deploy",
}
OUTER = {
    "card",
    "deploy",
    "predict",
    "launch",
    "doctor",
    "tune",
    "review",
    "inspect",
    "explain",
    "serve",
}
"""These stand beside each other: what one of them needs of another belongs below."""

_layer("errors")
_layer("types", third_party="numpy supervision pandas")
_layer("platform")
_layer("files", "platform")
_layer("http", "files")
_layer("config.versions")
_layer("config", "config.versions", "yaml msgspec")
_layer("geometry", "types", "numpy cv2")
_layer("decoders", "types platform", "numpy cv2 PIL simplejpeg")
_layer("images", "types files decoders", "numpy cv2")
_layer("drawing", "types images", "numpy cv2 PIL anyascii")
_layer("data", "types files platform geometry decoders images", "numpy cv2 grain msgspec")
_layer("pages", "types images drawing data", "numpy cv2")
_layer("demo", "types files geometry images", "numpy cv2 PIL")
_layer(
    "weights",
    "types files platform config.versions",
    "numpy safetensors google rich huggingface_hub",
)  # google.protobuf
_layer("engines")
_layer("engines.base", "types", "numpy")
_layer("engines.mindspore", "types files platform engines.base", "numpy mindspore mindcv")
_layer("engines.torch", "types platform engines.base", "numpy torch")
_layer("inference", "types files http platform geometry images weights", "numpy")
_layer("evaluation", "types files geometry inference", "numpy faster_coco_eval rich")
_layer("launch.heartbeat")
# safetensors: the file that a run resumes from.
_layer(
    "training",
    "types files platform config.versions images data weights engines.base inference evaluation"
    " drawing launch.heartbeat",
    "numpy tensorboardX rich safetensors mlflow wandb swanlab",
)
_layer("deploy.manifest", "types geometry weights", "msgspec")
_layer(
    "deploy.sessions",
    "types platform geometry weights inference deploy.manifest",
    "numpy onnxruntime openvino ai_edge_litert ncnn",
)
_layer("build", "below", "numpy msgspec rich")
_layer("deploy", "below", "numpy cv2 msgspec rich onnx onnxruntime openvino flatbuffers")
_layer("predict", "below", "numpy cv2 PIL av msgspec rich")
_layer("launch", "below")
_layer("doctor", "below", "packaging")
_layer("tune", "below", "numpy rich")
_layer("review", "below", "numpy cv2 rich msgspec")
_layer("inspect", "below", "numpy rich msgspec")
_layer("explain", "below", "numpy cv2 rich")
_layer(
    "serve",
    "below",
    "numpy cv2 msgspec fastapi starlette pydantic uvicorn prometheus_client python_multipart",
)
_layer("card", "below")
_layer("api", "all", "rich")
_layer("cli", "all", "typer rich")
_layer("__init__", "build inference predict api")  # `import mindssd`
_layer("__main__", "cli")  # `python -m mindssd`

EMPTY = {"engines", "__init__", "__main__"}
"""Layers that the architecture's table need not name."""

ONLY_IN = {
    "mindspore": "engines.mindspore",
    "mindcv": "engines.mindspore",
    "torch": "engines.torch",
    "typer": "cli",
    "grain": "data",
    "tensorboardX": "training",
    "mlflow": "training",
    "wandb": "training",
    "swanlab": "training",
    "faster_coco_eval": "evaluation",
    "yaml": "config",
    "av": "predict",
    "fastapi": "serve",
    "uvicorn": "serve",
    "supervision": "types",
    "huggingface_hub": "weights",
    "pandas": "types",
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
            # `from mindssd import files` imports a module of ours
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
    """`("engines", "base")` to `engines.base`: the longest name in the table that fits."""
    for end in range(len(parts), 0, -1):
        if (name := ".".join(parts[:end])) in LAYERS:
            return name
    return ".".join(parts)


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


def test_no_module_imports_itself_by_way_of_others():
    graph: dict[str, set[str]] = {}
    for _, found in _all_imports():
        name = ".".join(found.path.relative_to(PACKAGE.parent).with_suffix("").parts)
        if _is_ours(found.module) and found.module != name:
            graph.setdefault(name, set()).add(found.module)
    assert list(TopologicalSorter(graph).static_order())  # CycleError names a circle


def test_the_architectures_table_is_this_one():
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \| .+ \| (.+) \|$", text, re.MULTILINE)
    assert rows == [(name, layer.words) for name, layer in LAYERS.items() if name not in EMPTY]


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
        if found.module.partition(".")[0]
        in ("onnx", "onnxruntime", "openvino", "ai_edge_litert", "ncnn")
        and not found.path.is_relative_to(PACKAGE / "deploy")
    ]
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_library_with_one_home_is_imported_nowhere_else(package):
    homes = {layer for layer, found in _all_imports() if found.module.partition(".")[0] == package}
    assert homes == {ONLY_IN[package]}


def test_a_framework_is_reached_inside_a_function_of_build_alone():
    """So that nothing imports a framework before the engine's settings stand, or without need."""
    doors = {
        (found.path.relative_to(PACKAGE).as_posix(), found.at_load)
        for layer, found in _all_imports()
        if found.module.startswith(("mindssd.engines.mindspore", "mindssd.engines.torch"))
        and not layer.startswith("engines.")
    }
    assert doors == {("build/engine.py", False), ("build/graph.py", False)}


def test_nothing_is_unpickled():
    """A pickle runs what it holds: neither files nor other processes are trusted so far."""
    banned = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
    assert [str(i) for _, i in _all_imports() if i.module.partition(".")[0] in banned] == []


def test_a_command_imports_at_its_top_only_what_its_help_needs():
    """`mindssd.api` imports what does the work where it is called."""
    light = {"typer", *sys.stdlib_module_names}
    offences = [
        str(found)
        for layer, found in _all_imports()
        if layer == "cli"
        and found.at_load
        and found.module.partition(".")[0] not in light
        and not found.module.startswith(("mindssd.cli", "mindssd.errors", "mindssd.api"))
    ]
    assert not offences, "\n".join(offences)


ALWAYS_THERE = {"numpy", "cv2", "msgspec", "yaml", "packaging", "safetensors", "anyascii"}


def test_what_is_always_there_is_imported_at_the_top():
    """Inside a function: an engine, what is optional or slow, and all that a command needs."""
    offences = [
        str(found)
        for layer, found in _all_imports()
        if not found.at_load
        and found.path.name != "__init__.py"  # whose import is to be quick
        and (
            found.module.partition(".")[0] in ALWAYS_THERE | sys.stdlib_module_names
            or found.module == "mindssd.errors"
            or (
                _is_ours(found.module)
                and layer not in {"api", "cli", "build", "deploy", "engines.mindspore"}
            )
        )
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
    *("ai_edge_litert", "ncnn"),
    *("grain", "cv2", "av", "faster_coco_eval", "tensorboardX", "safetensors"),
)


@pytest.mark.parametrize(
    "code",
    [
        "import mindssd",
        "import mindssd; mindssd.train, mindssd.evaluate, mindssd.predict, mindssd.export",
        "import mindssd.types, mindssd.errors",
        "import sys; sys.argv = ['mindssd', '--help']\n"
        "from mindssd.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0, end",
    ],
    ids=["import mindssd", "the functions", "types and errors", "mindssd --help"],
)
def test_what_must_be_quick_imports_no_framework(code):
    probe = f"{code}\nimport sys\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
