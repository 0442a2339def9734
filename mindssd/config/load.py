"""From a recipe's name or a YAML file and `key=value` overrides to a checked `Config`."""

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import msgspec

from mindssd.config import yaml_text
from mindssd.config.effects import require_effect
from mindssd.config.keys import (
    KEYS,
    KIND,
    KINDS,
    Tree,
    flatten,
    foreign,
    kind_of,
    require_known,
    without,
    without_other_kinds,
)
from mindssd.config.schema import Auto, Config
from mindssd.config.versions import FORMAT_VERSION, Steps, read_version, upgrade
from mindssd.config.versions import KEY as VERSION_KEY
from mindssd.errors import ConfigError

_TYPES = {"int": "integer", "float": "number", "str": "text", "bool": "true or false"} | {
    "array": "list",
    "object": "group",
}
"""msgspec's names of types, and those of docs/training.md."""

_PART = "_"
"""What the name of a part begins with."""

_STEPS: Steps = {1: without_other_kinds}

BESIDE_TRAINING = (
    *("device", "data_dir", "format", "val_share", "group_by"),
    *("backbone_ckpt_path", "initial_weights", "class_map", "runs_dir", "name"),
    *("num_workers", "max_bad_steps", "deterministic", "trackers"),
    *("evaluation.every_epochs", "evaluation.protocol", "evaluation.batch_size"),
    *("evaluation.patience", "evaluation.smoothing"),
)
"""Keys that a run may change on its way and still take the same steps."""


def recipe_names() -> list[str]:
    """The recipes that come with mindssd."""
    return [name for name in _files() if not name.startswith(_PART)]


def _files() -> list[str]:
    """The recipes, and parts that several of them inherit."""
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


def with_values(config: Config, values: Mapping[str, Any], where: str) -> Config:
    """The same configuration with other values of some top-level keys, checked."""
    return _to_config({**to_tree(config), **values}, where)


def _checked(tree: Tree, overrides: Sequence[str], where: str) -> Config:
    asked = read_overrides(overrides)
    for key, value in asked.items():
        _set(tree, key, value)
    _take_kinds(tree, set(asked))
    config = _to_config(tree, where)
    require_effect(asked, to_tree(config), where)
    return config


def read_overrides(overrides: Sequence[str]) -> Tree:
    """The values of `key=value`, by key as it was typed; the last of a key counts."""
    asked: Tree = {}
    for text in overrides:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise ConfigError(
                f"{text!r} is not key=value, such as data_dir=PATH (no space on either side of =)"
            )
        key = key.strip()
        asked.pop(key, None)  # so that it stands where it was last said
        # A path or name is taken as typed: 2017 and no are folders, not a number and false.
        asked[key] = value if _is_text(key, value) else _parse_value(value, text)
    return asked


def _take_kinds(tree: Tree, asked: set[str]) -> None:
    """Where another kind of a group is asked for, drop what was of the kind before."""
    for group in KINDS:
        values = tree.get(group)
        if f"{group}.{KIND}" in asked and isinstance(values, dict):
            old = [name for name in foreign(group, values) if f"{group}.{name}" not in asked]
            tree[group] = without(values, old)


def from_tree(tree: Mapping[str, Any], where: str, version: int = FORMAT_VERSION) -> Config:
    """Check a whole plain tree, as a model's file of that version has it, and make the Config."""
    return _to_config(upgrade(dict(tree), version, _STEPS), where)


def _to_config(tree: Tree, where: str) -> Config:
    require_known(tree, where)
    for group in KINDS:
        values = tree.get(group, {})
        tree[group] = {**values, KIND: kind_of(group, values)}
    try:
        config = msgspec.convert(tree, Config, strict=True)
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
    for name in ("scale_jitter", "blur_sigma"):
        low, high = getattr(config.augment, name)
        if low > high:
            yield f"augment.{name}={[low, high]}: expected [smallest, largest]"
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
    settings = flatten(_lists(to_tree(config)))
    return {key: value for key, value in settings if key not in BESIDE_TRAINING}


def read_training_settings(settings: Mapping[str, Any], where: str, version: int) -> Tree:
    """What `training_settings` gave in that version, as it would be today."""
    tree: Tree = {}
    for key, value in settings.items():
        _set(tree, key, value)
    return training_settings(from_tree(tree, where, version))


def to_yaml(config: Config) -> str:
    """The resolved configuration as a file that `load_config` reads, in any later version too."""
    tree = {VERSION_KEY: FORMAT_VERSION, **_lists(to_tree(config))}
    return yaml_text.write(tree)


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value


def _read_tree(source: str, seen: tuple[str, ...] = ()) -> Tree:
    """The YAML of a recipe or file with all that it inherits laid under it.

    Of several that it inherits, each is laid over those before it.
    """
    if source in seen:
        raise ConfigError(f"{source} inherits from itself: {' -> '.join((*seen, source))}")
    text, folder = _read_text(source, seen[-1] if seen else None)
    try:
        tree = yaml_text.read(text) or {}
    except ValueError as error:
        raise ConfigError(f"{source} is not valid YAML: {error}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{source}: expected keys and values, found {type(tree).__name__}")
    tree = upgrade(tree, read_version(tree.pop(VERSION_KEY, None), source), _STEPS)
    parents = tree.pop("inherits", None) or []
    under: Tree = {}
    for parent in map(str, parents if isinstance(parents, list) else [parents]):
        if folder is not None and (folder / parent).is_file():
            parent = str(folder / parent)
        under = _merge(under, _read_tree(parent, (*seen, source)))
    return _merge(under, tree)


def _read_text(source: str, child: str | None) -> tuple[str, Path | None]:
    if source in (_files() if child else recipe_names()):
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
    """Lay groups over groups, key by key; another kind of a group keeps what both kinds have."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            if key in KINDS and KIND in value:
                below = without(below, foreign(key, {**below, KIND: value[KIND]}))
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged


def _parse_value(text: str, override: str) -> Any:
    try:
        return yaml_text.read(text)
    except ValueError:
        raise ConfigError(f"{override!r}: the value is not valid YAML") from None


def _set(tree: Tree, key: str, value: Any) -> None:
    node = tree
    *groups, last = key.split(".")
    for group in groups:
        node = node.setdefault(group, {})
        if not isinstance(node, dict):
            raise ConfigError(f"{key}: {group} is a value, not a group")
    node[last] = value


def _is_text(key: str, value: str) -> bool:
    """Whether a key holds a path or name, and the value is one rather than none."""
    texts = [f.name for f in msgspec.structs.fields(Config) if f.type in (str, str | None)]
    return key in texts and value not in ("", "null")


def _explain(message: str, tree: Mapping[str, Any]) -> str:
    """msgspec says what was expected and where; add the value that was found there."""
    text, _, path = message.replace("`key` in ", "").partition(" - at `$.")
    key = path.rstrip("`")
    if not key:
        return text
    value: Any = tree
    for part in key.partition("[")[0].split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    key = key.partition("[")[0]
    kind = KEYS[key].type if key in KEYS else None
    if Auto in get_args(kind) and ("enum" in text or "str" in text):
        return f"{key}={value!r}: expected a number or auto"
    if key == "class_map":
        return f"{key}={value!r}: expected {{CLASS: CLASS THERE, …}}, names as no and 1 in quotes"
    if text.startswith("Invalid enum value"):
        return f"{key}={value!r}: expected one of {', '.join(get_args(kind))}"
    text = re.sub(
        r"`([a-z| ]+)`",
        lambda types: " or ".join(_TYPES.get(t, t) for t in types[1].split(" | ")),
        text,
    )
    return f"{key}={value!r}: {text[0].lower()}{text[1:]}"
