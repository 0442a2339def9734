"""The models that are compared: what names them, their classes, and where their images are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from mindssd.build.published import find_model
from mindssd.config.load import load_config
from mindssd.deploy.sessions.opening import is_deployed, open_session
from mindssd.errors import ConfigError
from mindssd.weights.transfer import read_description


@dataclass(frozen=True)
class Candidate:
    """A model to compare: what it is called, its file, and the folder of its run, if it has one."""

    name: str
    path: Path
    run: Path | None
    class_names: tuple[str, ...]


def candidates(words: Sequence[str], console: Console) -> list[Candidate]:
    """The models that words name: files, run folders, published names.

    ConfigError for fewer than two, for one given twice, and for what does not describe itself.
    """

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    if len(words) < 2:
        raise ConfigError("compare takes two models or more: mindssd compare runs/a runs/b")
    found: list[Candidate] = []
    for word in words:
        named = Path(word).expanduser()
        path = named / "best.safetensors" if named.is_dir() else find_model(word, say)
        if named.is_dir() and not path.is_file():
            raise ConfigError(f"{word} has no best.safetensors: it is no run, or has no model yet")
        if any(path.resolve() == other.path.resolve() for other in found):
            raise ConfigError(f"{word} is given twice")
        run = path.parent if (path.parent / "config.yaml").is_file() else None
        found.append(Candidate(word, path, run, _class_names(path)))
    names = _short([word.rstrip("/") for word in words])
    return [replace(one, name=name) for one, name in zip(found, names, strict=True)]


def _short(words: Sequence[str]) -> list[str]:
    """The last parts of paths, as few as tell them apart."""
    parts = [Path(word).parts for word in words]
    for count in range(1, max(map(len, parts))):
        tails = [str(Path(*part[-count:])) for part in parts]
        if len(set(tails)) == len(tails):
            return tails
    return list(words)


def _class_names(path: Path) -> tuple[str, ...]:
    if is_deployed(path):
        return open_session(path).manifest.metadata.class_names
    metadata = read_description(path)
    if metadata is None:
        raise ConfigError(f"{path} does not describe itself; convert it first (docs/weights.md)")
    return metadata.class_names


def shared_classes(found: Sequence[Candidate]) -> tuple[str, ...]:
    """The classes that all have by name, as the first one orders them; ConfigError for none."""
    first, *others = found
    names = tuple(n for n in first.class_names if all(n in other.class_names for other in others))
    if not names:
        listed = "; ".join(f"{one.name}: {', '.join(one.class_names[:5])}" for one in found)
        raise ConfigError(f"the models share no class by name ({listed})")
    return names


def data_of(one: Candidate, overrides: Sequence[str]) -> list[str]:
    """Where the validation images of a run are, where that is not said."""
    if any(word.startswith("data_dir=") for word in overrides):
        return []
    if one.run is None:
        raise ConfigError(f"{one.name} is no run, which would know its images: give data_dir=PATH")
    config = load_config(str(one.run / "config.yaml"))
    settings = {
        key: getattr(config, key) for key in ("data_dir", "format", "val_share", "group_by")
    }
    return [f"{key}={value}" for key, value in settings.items() if value is not None]
