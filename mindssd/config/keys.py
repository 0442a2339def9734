"""The schema's keys by name, as `group.key`: of which kind of its group each is, and what is near.

A group such as `neck` has kinds, each with keys of its own; `neck.kind` says which it is.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import msgspec

from mindssd.config.schema import Config
from mindssd.errors import ConfigError

Tree = dict[str, Any]

KIND = "kind"

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


@dataclass(frozen=True)
class Key:
    """What a key may hold, and the kinds of its group that have it; none of a group without."""

    type: Any
    kinds: tuple[str, ...] = ()


def _members(kind: Any) -> list[type[msgspec.Struct]]:
    """The structs that a field's type is one of; none for a plain value."""
    return [t for t in (get_args(kind) or (kind,)) if isinstance(t, type) and _is_struct(t)]


def _is_struct(kind: type) -> bool:
    return issubclass(kind, msgspec.Struct)


def _tag(struct: type[msgspec.Struct]) -> str:
    return str(struct.__struct_config__.tag)


def _keys() -> Iterator[tuple[str, Key]]:
    """Each key in the schema's order; `kind` before those of its group's kinds."""
    for field in msgspec.structs.fields(Config):
        structs = _members(field.type)
        if not structs:
            yield field.name, Key(field.type)
        tags = tuple(_tag(struct) for struct in structs) if len(structs) > 1 else ()
        if tags:
            yield f"{field.name}.{KIND}", Key(str, tags)
        types: dict[str, Any] = {}
        kinds: dict[str, tuple[str, ...]] = {}
        for struct in structs:
            for inner in msgspec.structs.fields(struct):
                types[inner.name] = inner.type
                kinds[inner.name] = (*kinds.get(inner.name, ()), *((_tag(struct),) if tags else ()))
        for name, kind in types.items():
            yield f"{field.name}.{name}", Key(kind, kinds[name])


KEYS = dict(_keys())

KINDS = {
    key.removesuffix(f".{KIND}"): found.kinds
    for key, found in KEYS.items()
    if key.endswith(f".{KIND}")
}
"""The kinds of each group that has some, the default one first."""

GROUPS = {key.partition(".")[0] for key in KEYS if "." in key}


def flatten(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each key of a tree as `group.key`, and its value; a group that is no mapping as it is."""
    for key, value in tree.items():
        if key in GROUPS and isinstance(value, Mapping):
            for inner, inner_value in value.items():
                yield f"{key}.{inner}", inner_value
        else:
            yield str(key), value


def kind_of(group: str, values: Mapping[str, Any]) -> Any:
    """The kind that a group's values say, or the default."""
    return values.get(KIND, KINDS[group][0])


def foreign(group: str, values: Mapping[str, Any]) -> list[str]:
    """Those keys of a group with kinds that exist, but not in the kind that it is."""
    kind = kind_of(group, values)
    known = {name: KEYS.get(f"{group}.{name}") for name in values}
    return [name for name, key in known.items() if key is not None and kind not in key.kinds]


_OF_KINDS_IN_VERSION_1 = {
    "neck.kind",
    "neck.extra_channels",
    "neck.extra_expand_ratios",
    "neck.expand_first",
    "neck.expand_first_style",
    "neck.fpn_channels",
    "neck.fpn_extra_levels",
    "head.kind",
    "head.class_prior",
    "head.tower_depth",
    "default_boxes.kind",
    "default_boxes.min_scale",
    "default_boxes.max_scale",
    "default_boxes.first_level_scale",
    "default_boxes.aspect_ratios",
    "default_boxes.grid_scale",
    "default_boxes.scales_per_octave",
    "default_boxes.grid_aspect_ratios",
}
"""All keys that groups with kinds had then."""


def without_other_kinds(tree: Mapping[str, Any]) -> Tree:
    """A whole configuration of format version 1, without the keys of other kinds than its groups'.

    That version wrote each key of every kind, into models and runs, and those of the others had no
    effect. A tree that has not all of them is left as it is: a person wrote it, who meant them.
    """
    if not {key for key, _ in flatten(tree)} >= _OF_KINDS_IN_VERSION_1:
        return dict(tree)
    return {
        key: without(value, foreign(key, value)) if key in KINDS else value
        for key, value in tree.items()
    }


def without(values: Mapping[str, Any], names: Iterable[str]) -> Tree:
    left_out = set(names)
    return {name: value for name, value in values.items() if name not in left_out}


def require_known(tree: Mapping[str, Any], where: str) -> None:
    """ConfigError that names a key which does not exist, or not in its group's kind."""
    for key in tree:
        group, dot, name = str(key).partition(".")
        if dot and group in GROUPS:
            raise ConfigError(f"{where}: unknown key {key}; in a file write {group}: {{{name}: …}}")
    for key, _ in flatten(tree):
        if key in GROUPS:
            raise ConfigError(f"{where}: {key} is a group; set one of its keys, as {key}.KEY=VALUE")
        if key not in KEYS:
            raise ConfigError(f"{where}: unknown key {key}{did_you_mean(key)}")
    for group, kinds in KINDS.items():
        values = tree.get(group, {})
        kind = kind_of(group, values)
        if kind not in kinds:
            raise ConfigError(
                f"{where}: {group}.{KIND}={kind!r}: expected one of {', '.join(kinds)}"
            )
        for name in foreign(group, values):
            theirs = " or ".join(KEYS[f"{group}.{name}"].kinds)
            raise ConfigError(
                f"{where}: {group}.{name} belongs to {group}.{KIND}={theirs}, and {group}.{KIND} "
                f"is {kind}"
            )


def did_you_mean(key: str, among: Iterable[str] = KEYS) -> str:
    """The end of a sentence that names the nearest of some keys; empty where none is near."""
    known = list(among)
    last = key.rpartition(".")[2]
    near = [name for name in (NAMED_ELSEWHERE.get(key),) if name in known]
    near += [name for name in known if name.startswith(f"{key}_")]  # its first words are right
    near += difflib.get_close_matches(key, known, n=1)
    near += [name for name in known if name.rpartition(".")[2] == last]
    return f"; did you mean {near[0]}?" if near else ""
