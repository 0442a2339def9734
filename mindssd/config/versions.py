"""The version of what mindssd writes and reads again: models, exports, checkpoints, a run's config.

A file says its version under `format_version`; one that does not is of version 1, as mindssd 0.1.0
wrote it. What a version changed is undone where that kind of file is read, by a function for each.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from mindssd.errors import VersionError

FORMAT_VERSION = 2
"""What this mindssd writes.

1: a configuration has each key of every kind of a group; a checkpoint has no losses.
2: a configuration has the keys of a group's own kind alone; a checkpoint has losses.
"""

KEY = "format_version"

Content = dict[str, Any]

Steps = Mapping[int, Callable[[Content], Content]]
"""By version, what makes of its content that of the next one; none where nothing has changed."""


def read_version(found: object, where: str, written_by: str = "") -> int:
    """The version that a file says; `written_by` is mindssd's own version, if it says that too.

    None, of a file that says none, is 1. VersionError for a newer one than this mindssd reads.
    """
    if found is None:
        return 1
    if type(found) is not int or found < 1:
        raise VersionError(f"{where}: {KEY}={found!r}: expected a whole number from 1")
    if found > FORMAT_VERSION:
        writer = f" (mindssd {written_by})" if written_by else ""
        raise VersionError(
            f"{where}: has format version {found}{writer}, and mindssd {version('mindssd')}, which "
            f"is installed here, reads up to version {FORMAT_VERSION}; upgrade mindssd"
        )
    return found


def upgrade(content: Content, found: int, steps: Steps) -> Content:
    """What a file of version `found` says, as this version would say it."""
    for number in range(found, FORMAT_VERSION):
        if number in steps:
            content = steps[number](content)
    return content
