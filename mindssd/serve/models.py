"""The models of a service by name, each opened again when its file was replaced."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mindssd.build.model import OpenedModel, open_model
from mindssd.errors import ConfigError, printable
from mindssd.serve.runner import Batched, Runner
from mindssd.weights.beside import beside

_log = logging.getLogger(__name__)

Stamp = tuple[tuple[int, int, int] | None, ...]
"""What tells a file from another in its place, of a model's files: inode, time and size."""

Reloaded = Callable[[str, bool], None]
"""Told a model's name, and whether the new file took the old one's place."""


@dataclass(eq=False)
class Served:
    """A model under its name: what runs it now, and what came of the last try to replace it."""

    name: str
    path: Path
    runner: Runner
    opened: OpenedModel
    stamp: Stamp
    generation: int = 1
    reload_error: str | None = None
    seen: Stamp = field(init=False)

    def __post_init__(self) -> None:
        self.seen = self.stamp


class Models:
    """Opens models at once, and again each time that a file was replaced; the first is the default.

    `settings` are those of `build.model.open_model`.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        settings: Mapping[str, Any],
        start: Callable[[Callable[[], OpenedModel], Batched], Runner],
        batched: Callable[[str], Batched],
        reloaded: Reloaded,
    ) -> None:
        self._settings = settings
        self._start = start
        self._batched = batched
        self._reloaded = reloaded
        self.by_name: dict[str, Served] = {}
        for name, path in paths.items():
            stamp = stamp_of(path)  # before it is read: a change meanwhile is one
            runner = self._runner(name, path)
            self.by_name[name] = Served(name, path, runner, runner.opened(), stamp)

    @property
    def default(self) -> Served:
        return next(iter(self.by_name.values()))

    def _runner(self, name: str, path: Path) -> Runner:
        return self._start(partial(open_model, path, **self._settings), self._batched(name))

    async def watch(self, every_s: float) -> None:
        """Look at the files again and again, and open what was replaced; for ever."""
        while True:
            await asyncio.sleep(every_s)
            for served in self.by_name.values():
                stamp = await asyncio.to_thread(stamp_of, served.path)
                # Unchanged between two looks, so that one in the middle of a copy is left alone.
                is_steady, served.seen = stamp == served.seen, stamp
                if is_steady and stamp != served.stamp and stamp[0] is not None:
                    await self._reload(served, stamp)

    async def _reload(self, served: Served, stamp: Stamp) -> None:
        served.stamp = stamp  # a broken file is tried once
        try:
            runner = self._runner(served.name, served.path)
            opened = await asyncio.to_thread(runner.opened)
        except Exception as error:
            served.reload_error = printable(" ".join(str(error).split())) or repr(error)
            _log.warning(
                "%s: the new file is not taken, the old model goes on: %s",
                served.name,
                served.reload_error,
            )
            self._reloaded(served.name, False)
            return
        old = served.runner
        served.runner, served.opened, served.reload_error = runner, opened, None
        served.generation += 1
        old.close()
        _log.warning("%s: %s was replaced, and is served now", served.name, served.path)
        self._reloaded(served.name, True)

    def close(self) -> None:
        """End what runs, behind what was asked of it."""
        for served in self.by_name.values():
            served.runner.close()
        for served in self.by_name.values():
            served.runner.join()


def named(words: list[str]) -> dict[str, str]:
    """`MODEL` and `NAME=MODEL` by name; a model without a name has its file's, without suffix."""
    models: dict[str, str] = {}
    for word in words:
        name, equals, model = word.partition("=")
        # A file whose own name has = in it is one.
        if not equals or Path(word).exists() or "/" in name:
            name, model = Path(word).stem, word
        if not name or not model:
            raise ConfigError(f"{word}: expected MODEL or NAME=MODEL")
        if name in models:
            raise ConfigError(f"two models are called {name}; name one of them: other={model}")
        models[name] = model
    return models


def stamp_of(path: Path) -> Stamp:
    """Of a model's file, and of those that belong to it."""
    return tuple(_stamp(one) for one in (path, *beside(path)))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
