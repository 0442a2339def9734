"""Settings as Python has them, as the words of a command line."""

import json
from collections.abc import Mapping, Sequence
from os import PathLike, fspath

from mindssd.config.keys import KEYS, flatten
from mindssd.errors import ConfigError

Settings = Mapping[str, object] | Sequence[str] | str
"""`{"epochs": 30, "schedule": {"learning_rate": 0.01}}`, or `["epochs=30"]`, or one such word."""


def as_overrides(settings: Settings) -> list[str]:
    """The `key=value` of each setting; ConfigError for a value that no setting can be."""
    if isinstance(settings, str):
        return [settings]
    if not isinstance(settings, Mapping):
        return list(settings)
    return [f"{key}={_value(key, value)}" for key, value in flatten(settings)]


def _value(key: str, value: object) -> str:
    """In YAML, of which JSON is a part; a path or name as it is typed."""
    if isinstance(value, PathLike):
        value = fspath(value)
    known = KEYS.get(key)
    if isinstance(value, str) and known is not None and known.type in (str, str | None):
        return value
    try:
        return json.dumps(value, default=_plain)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{key}={value!r}: expected text, numbers, lists or groups") from error


def _plain(value: object) -> object:
    """A path in a list or group, or a number of NumPy's, as JSON has it."""
    if isinstance(value, PathLike):
        return fspath(value)
    item = getattr(value, "item", None)
    if item is None:
        raise TypeError(type(value).__name__)
    return item()
