"""The documents say what the program does: their commands parse, their tables are the code's.

A failure here names the file and line to mend. `docs/training.md` has every key of the schema with
its values and default; the test below shows the row as it should read.
"""

import ast
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import typer
import yaml
from typer.testing import CliRunner

from mindssd.cli.main import app
from mindssd.config.keys import KINDS
from mindssd.config.load import load_config, recipe_names
from mindssd.config.schema import Config
from mindssd.evaluation.protocol import PROTOCOLS
from mindssd.evaluation.scores import Evaluation
from mindssd.files import CACHE_VARIABLE
from mindssd.weights.download import BASE_URL_VARIABLE
from mindssd.weights.published import PUBLISHED

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
NUM_CHEAP_COMMANDS = 3


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def fenced_blocks(path: Path, language: str) -> list[tuple[int, str]]:
    """Each ```language block of a document: the line where it starts, and its text."""
    text = path.read_text(encoding="utf-8")
    pattern = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [(text[: found.start()].count("\n") + 2, found[1]) for found in pattern.finditer(text)]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each `mindssd …` command of the documents: where it stands, and its words after `mindssd`."""
    for path in DOCUMENTS:
        name = path.relative_to(ROOT)
        for first_line, block in fenced_blocks(path, "sh"):
            joined = block.replace("\\\n", "  ")
            for number, line in enumerate(joined.splitlines()):
                if line.startswith("mindssd "):
                    yield f"{name}:{first_line + number}", shlex.split(line, comments=True)[1:]
        prose = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
        for found in re.finditer(r"`mindssd ([^`]+)`", prose):
            yield f"{name}: mindssd {found[1]}", shlex.split(found[1])


COMMANDS = list(commands())


def parse(words: list[str]) -> tuple[str, dict]:
    """Parse a command line without running it: the command's name and what it would be called with.

    A word that the command does not take is typer's error, which says which.
    """
    group = typer.main.get_command(app)
    with group.make_context("mindssd", list(words)) as context:
        name, command, rest = group.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        with command.make_context(name, rest, parent=context) as inner:
            return name, inner.params


@pytest.mark.parametrize(("place", "words"), COMMANDS, ids=[place for place, _ in COMMANDS])
def test_each_command_in_the_documents_is_one_that_mindssd_takes(place, words):
    if words[-1] == "--help":
        return  # run below
    if len(words) == 1 and " " in place:  # prose that names a command
        assert words[0] in typer.main.get_command(app).commands
        return
    name, params = parse(words)
    if name in ("train", "eval"):
        config = params["config"]
        if config is not None and not config.endswith((".yaml", ".yml")):
            assert config in recipe_names()
        recipe = config if config in recipe_names() else "ssd_mobilenetv2"
        # Unknown keys and values out of their range are errors here.
        load_config(recipe, params["overrides"] or [])
    if name == "weights" and params["words"]:
        assert params["words"][0] == "fetch"
        assert set(params["words"][1:]) <= {*PUBLISHED, "all"}
    if name == "doctor":
        assert all(word.startswith("data_dir=") for word in params["words"] or [])


def test_the_commands_that_take_no_time_run(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setenv(BASE_URL_VARIABLE, "http://127.0.0.1:9")
    cheap = {tuple(words) for _, words in COMMANDS if words[-1] == "--help" or words == ["weights"]}
    assert len(cheap) >= NUM_CHEAP_COMMANDS
    for words in sorted(cheap):
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == 0, f"mindssd {' '.join(words)}: {done.output}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_each_yaml_file_in_the_documents_is_a_configuration(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line, block in fenced_blocks(path, "yaml"):
        Path("recipe.yaml").write_text(block, encoding="utf-8")
        assert isinstance(yaml.safe_load(block), dict), f"{path.name}:{line}"
        load_config("recipe.yaml")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_each_python_example_imports_what_exists(path):
    for line, block in fenced_blocks(path, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)
            elif isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    name = f"{node.module}.{alias.name}"
                    known = hasattr(module, alias.name) or importlib.util.find_spec(name)
                    assert known, f"{path.name}:{line}: {name}"


def test_each_recipe_stands_in_the_readme():
    readme = read("README.md")
    assert [name for name in recipe_names() if f"`{name}`" not in readme] == []


def slug(heading: str) -> str:
    """A heading's anchor as GitHub makes it."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_each_relative_link_leads_somewhere(path):
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = path.parent / target if target else path
        assert file.exists(), f"{path.name}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), f"{path.name}: {link}"


def test_each_make_target_in_the_documents_is_in_the_makefile():
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        named = re.findall(r"^make ([a-z]+)|`make ([a-z]+)", text, re.MULTILINE)
        assert {a or b for a, b in named} <= targets, path.name


def test_no_document_names_a_place_on_somebodys_machine():
    pattern = re.compile(r"(?<![\w.~])/(?:root|home|work|tmp|opt|Users|mnt)\b")
    for path in [*DOCUMENTS, ROOT / "Makefile", ROOT / ".ci" / "run"]:
        assert pattern.findall(path.read_text(encoding="utf-8")) == [], path.name


def test_the_table_of_keys_is_the_schema():
    """`docs/training.md` explains each key, with its values and default as the schema has them."""
    rows = re.findall(
        r"^\| (`[\w.]+`) \| (.+?) \| (`.+?`) \| (.+) \|$", read("docs/training.md"), re.MULTILINE
    )
    stated = [f"| {key} | {values} | {default} |" for key, values, default, _ in rows]
    expected = [
        f"| `{key}` | {values} | `{default}` |" for key, values, default in keys_of_schema()
    ]
    assert stated == expected


def keys_of_schema() -> Iterator[tuple[str, str, str]]:
    """Each key in the schema's order, with its values and default in words."""
    yield from _keys(msgspec.inspect.type_info(Config), "")


def _keys(struct: msgspec.inspect.StructType, prefix: str) -> Iterator[tuple[str, str, str]]:
    for field in struct.fields:
        if isinstance(field.type, msgspec.inspect.StructType):
            yield from _keys(field.type, f"{prefix}{field.name}.")
        elif field.name in KINDS:
            yield from _keys_of_kinds(field, f"{field.name}.")
        else:
            made = field.default_factory
            default = field.default if made is msgspec.NODEFAULT else made()
            yield prefix + field.name, _values(field.type), _default(default)


def _keys_of_kinds(field: msgspec.inspect.Field, prefix: str) -> Iterator[tuple[str, str, str]]:
    """The group's `kind`, then each key of a kind once."""
    kinds = {kind.tag: kind for kind in field.type.types}
    default = type(field.default).__struct_config__.tag
    yield f"{prefix}kind", ", ".join(f"`{tag}`" for tag in sorted(kinds)), default
    first = [kinds[default], *(kind for tag, kind in kinds.items() if tag != default)]
    yield from dict.fromkeys(row for kind in first for row in _keys(kind, prefix))


def _values(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.IntType():
            return "integer" + _bounds(kind)
        case msgspec.inspect.FloatType():
            return "number" + _bounds(kind)
        case msgspec.inspect.LiteralType():
            return ", ".join(f"`{value}`" for value in kind.values)
        case msgspec.inspect.UnionType():
            return " or ".join(_values(member) for member in kind.types)
        case msgspec.inspect.TupleType():
            return f"list of {len(kind.item_types)}: {_values(kind.item_types[0])}"
        case msgspec.inspect.VarTupleType():
            return f"list{_length(kind)}: {_values(kind.item_type)}"
        case msgspec.inspect.StrType():
            return "text"
        case msgspec.inspect.DictType():
            return f"{_values(kind.value_type)} by {_values(kind.key_type)}"
        case msgspec.inspect.BoolType():
            return "`true`, `false`"
        case msgspec.inspect.NoneType():
            return "`null`"
    raise TypeError(f"{kind}: say here how the documents call it")


def _bounds(kind: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" {kind.ge:g} to {kind.le:g}"
    limits = {"≥": kind.ge, ">": kind.gt, "≤": kind.le, "<": kind.lt}
    stated = [f"{sign} {value:g}" for sign, value in limits.items() if value is not None]
    return " " + ", ".join(stated) if stated else ""


def _length(kind: msgspec.inspect.VarTupleType) -> str:
    if kind.min_length is None:
        return ""
    if kind.min_length == kind.max_length:
        return f" of {kind.min_length}"
    return f" of {kind.min_length} or more"


def _default(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case tuple():
            return "[" + ", ".join(map(_default, value)) + "]"
    return str(value)


def test_each_fault_of_a_data_set_is_documented():
    """What loading reports stands in `docs/data.md` in the words of the report."""
    stated = read("docs/data.md")
    treatment = re.compile(
        r".+: (?:dropped|clipped|kept once|read from their files|not trained on|boxes scaled)"
        r"|.+: (?:passed over|the file is right|their boxes put together|that of the box taken)"
        r"|.+: (?:taken for the same|AP says little of new ones)"
        r"|image names .+"
    )
    reported = {
        constant
        for path in (ROOT / "mindssd" / "data").rglob("*.py")
        for constant in strings_in(path)
        if treatment.fullmatch(constant)
    }
    assert len(reported) >= len(("box", "annotation", "category", "image", "name"))
    assert sorted(fault for fault in reported if fault not in stated) == []


def strings_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_each_event_of_the_log_is_documented():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "mindssd").rglob("*.py")]
    events = {kind for text in sources for kind in re.findall(r'\.event\(\s*"(\w+)"', text)}
    assert "train" in events
    stated = read("docs/training.md")
    assert sorted(kind for kind in events if f"`{kind}`" not in stated) == []


def test_each_number_of_an_evaluation_is_documented():
    nothing = Evaluation(*[None] * 12, (), PROTOCOLS["coco"], 0, 0, 0, 0, 0.0)
    stated = read("docs/evaluation.md")
    assert [key for key in nothing.as_dict() if f"`{key}`" not in stated] == []
    assert [name for name in PROTOCOLS if f"`{name}`" not in stated] == []


def test_each_published_name_is_documented():
    stated = read("docs/weights.md")
    assert [b.name for b in PUBLISHED.values() if f"`{b.name}`" not in stated] == []


def test_each_fault_tried_names_tests_that_exist():
    rows = [line for line in read("docs/reliability.md").splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith("| what happens")]
    for row in rows:
        tests = re.findall(r"`([\w/]+\.py)`", row.rpartition(" | ")[2])
        assert tests and all((ROOT / "tests" / test).is_file() for test in tests), row
