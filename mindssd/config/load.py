"""From a recipe's name or a YAML file and `key=value` overrides to a checked `Config`."""

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import msgspec
import yaml

from mindssd.config.schema import Config
from mindssd.errors import ConfigError

Tree = dict[str, Any]

NAMED_ELSEWHERE = {
    "lr": "schedule.learning_rate",
    "batch": "batch_size",
    "imgsz": "image_size",
    "workers": "num_workers",
    "data": "data_dir",
    "weights": "initial_weights",
    "pretrained": "backbone_ckpt_path",
}
"""What other programs call our keys."""

_TYPES = {"int": "integer", "float": "number", "str": "text", "bool": "true or false"} | {
    "array": "list",
    "object": "group",
}
"""msgspec's names of types, and those of docs/training.md."""

BESIDE_TRAINING = (
    *("device", "data_dir", "backbone_ckpt_path", "initial_weights", "runs_dir", "name"),
    *("num_workers", "max_bad_steps", "deterministic"),
    *("evaluation.every_epochs", "evaluation.protocol", "evaluation.batch_size"),
)
"""Keys that a run may change on its way and still take the same steps."""


def recipe_names() -> list[str]:
    """The recipes that come with mindssd."""
    files = resources.files("mindssd.config.recipes").iterdir()
    return sorted(Path(file.name).stem for file in files if file.name.endswith(".yaml"))


def load_config(source: str, overrides: Sequence[str] = ()) -> Config:
    """Read a recipe or file, lay the overrides over it and check the result.

    `overrides` are `key=value`, the value in YAML. Raises ConfigError that names the key, the value
    and the nearest known key.
    """
    return _checked(_read_tree(source), overrides, where=source)


def override(config: Config, overrides: Sequence[str]) -> Config:
    """Lay `key=value` overrides over a whole configuration."""
    return _checked(to_tree(config), overrides, where="the command line")


def _checked(tree: Tree, overrides: Sequence[str], where: str) -> Config:
    for text in overrides:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise ConfigError(
                f"{text!r} is not key=value, such as data_dir=PATH (no space on either side of =)"
            )
        key = key.strip()
        # A path or name is taken as typed: 2017 and no are folders, not a number and false.
        _set(tree, key, value if _is_text(key, value) else _parse_value(value, text))
    return from_tree(tree, where)


def from_tree(tree: Mapping[str, Any], where: str) -> Config:
    """Check a plain tree (from YAML or a model file) and make the Config."""
    _check_keys(tree, where)
    try:
        config = msgspec.convert(dict(tree), Config, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {_explain(str(error), tree)}") from None
    for fault in _faults(config):
        raise ConfigError(f"{where}: {fault}")
    return config


def _faults(config: Config) -> Iterator[str]:
    """What no single value's type and range can say."""
    for key, value in _numbers(to_tree(config)):
        if not math.isfinite(value):
            yield f"{key}={value}: expected a finite number"
    indices = config.backbone.out_indices
    if list(indices) != sorted(set(indices)):
        yield f"backbone.out_indices={list(indices)}: expected them rising, finest map first"
    low, high = config.augment.crop_scale
    if not low <= high <= 1:
        yield f"augment.crop_scale={[low, high]}: expected [smallest, largest] up to 1"
    low, high = config.augment.scale_jitter
    if low > high:
        yield f"augment.scale_jitter={[low, high]}: expected [smallest, largest]"
    if config.name == ".." or Path(config.name or "").name != (config.name or ""):
        yield f"name={config.name!r}: expected a folder's name; runs_dir says where it is"


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _numbers(item, f"{key}.{name}" if key else name)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item, key)
    elif isinstance(value, float):
        yield key, value


def to_tree(config: Config) -> Tree:
    """The resolved configuration as plain values, ready for YAML or JSON."""
    tree = msgspec.to_builtins(config)
    assert isinstance(tree, dict)
    return tree


def training_settings(config: Config) -> Tree:
    """The keys that decide a run's steps, as `schedule.learning_rate`, and their plain values."""
    tree = _lists(to_tree(config))
    settings = {}
    for key in _known_keys(Config):
        group, _, name = key.rpartition(".")
        if key not in BESIDE_TRAINING:
            settings[key] = tree[group][name] if group else tree[name]
    return settings


def to_yaml(config: Config) -> str:
    tree = _lists(to_tree(config))
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, default_flow_style=None)


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value


def _read_tree(source: str, seen: tuple[str, ...] = ()) -> Tree:
    """The YAML of a recipe or file with all that it inherits laid under it."""
    if source in seen:
        raise ConfigError(f"{source} inherits from itself: {' -> '.join((*seen, source))}")
    text, folder = _read_text(source, seen[-1] if seen else None)
    try:
        tree = yaml.load(text, _Loader) or {}
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{source} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{source}: expected keys and values, found {type(tree).__name__}")
    parent = tree.pop("inherits", None)
    if parent is None:
        return tree
    if folder is not None and (folder / str(parent)).is_file():
        parent = str(folder / str(parent))
    return _merge(_read_tree(str(parent), (*seen, source)), tree)


def _read_text(source: str, child: str | None) -> tuple[str, Path | None]:
    if source in recipe_names():
        recipe = resources.files("mindssd.config.recipes") / f"{source}.yaml"
        return recipe.read_text(encoding="utf-8"), None
    path = Path(source).expanduser()
    if len(path.name) > 255 or not path.is_file():
        inherited = f" (which {child} inherits from)" if child else ""
        near = difflib.get_close_matches(source, recipe_names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"{source}{inherited} is neither a file nor a recipe{hint} "
            f"(recipes: {', '.join(recipe_names())})"
        )
    try:
        return path.read_text(encoding="utf-8"), path.parent
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source} cannot be read: {error}") from None


def _merge(under: Tree, over: Tree) -> Tree:
    merged = dict(under)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _parse_value(text: str, override: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError):
        raise ConfigError(f"{override!r}: the value is not valid YAML") from None


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-3 as text; everybody who types it means a number."""


class _Dumper(yaml.SafeDumper):
    """Puts the text 1e-3 in quotes, so that `_Loader` reads text again."""


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"),
        list("-+0123456789"),
    )


def _set(tree: Tree, key: str, value: Any) -> None:
    node = tree
    *groups, last = key.split(".")
    for group in groups:
        node = node.setdefault(group, {})
        if not isinstance(node, dict):
            raise ConfigError(f"{key}: {group} is a value, not a group")
    node[last] = value


def _known_keys(struct: type[msgspec.Struct], prefix: str = "") -> Iterator[str]:
    for field in msgspec.structs.fields(struct):
        group = _group(struct, field.name)
        if group is not None:
            yield from _known_keys(group, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def _group(struct: type[msgspec.Struct], name: str) -> type[msgspec.Struct] | None:
    for field in msgspec.structs.fields(struct):
        if field.name == name:
            kind = field.type
            return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None
    return None


def _is_text(key: str, value: str) -> bool:
    """Whether a key holds a path or name, and the value is one rather than none."""
    texts = [f.name for f in msgspec.structs.fields(Config) if f.type in (str, str | None)]
    return key in texts and value not in ("", "null")


def _check_keys(tree: Mapping[str, Any], where: str) -> None:
    known = list(_known_keys(Config))
    groups = {key.partition(".")[0] for key in known if "." in key}
    for key in _flatten(tree, groups):
        if key in known:
            continue
        if key in groups:
            raise ConfigError(f"{where}: {key} is a group; set one of its keys, as {key}.KEY=VALUE")
        near = [name for name in (NAMED_ELSEWHERE.get(key),) if name]
        near += difflib.get_close_matches(key, known, n=1)
        near += [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{where}: unknown key {key}{hint}")


def _flatten(tree: Mapping[str, Any], groups: set[str]) -> Iterator[str]:
    for key, value in tree.items():
        if key in groups and isinstance(value, Mapping):
            for inner in value:
                yield f"{key}.{inner}"
        else:
            yield str(key)


def _explain(message: str, tree: Mapping[str, Any]) -> str:
    """msgspec says what was expected and where; add the value that was found there."""
    text, _, path = message.partition(" - at `$.")
    key = path.rstrip("`")
    if not key:
        return text
    value: Any = tree
    for part in key.partition("[")[0].split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    key = key.partition("[")[0]
    if text.startswith("Invalid enum value"):
        return f"{key}={value!r}: expected one of {', '.join(_choices(key))}"
    text = re.sub(
        r"`([a-z| ]+)`",
        lambda types: " or ".join(_TYPES.get(t, t) for t in types[1].split(" | ")),
        text,
    )
    return f"{key}={value!r}: {text[0].lower()}{text[1:]}"


def _choices(key: str) -> tuple[str, ...]:
    """The values that a key of a `Literal` type may have."""
    *groups, last = key.split(".")
    struct: type[msgspec.Struct] = Config
    for group in groups:
        struct = _group(struct, group) or struct
    return get_args(next(f.type for f in msgspec.structs.fields(struct) if f.name == last))
