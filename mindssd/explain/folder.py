"""The folder of a report: made, or that of an older report, and never one of anything else."""

import json
from pathlib import Path

from mindssd.errors import MindSSDError
from mindssd.files import not_written, require_writable

PAGE, FIGURES, OBJECTS, DETECTIONS = "index.html", "report.json", "objects.csv", "detections.csv"

KIND = "mindssd evaluation report"
"""What report.json says of itself. It is written first, so that what is cut short is known too."""


def claim(folder: Path) -> None:
    """Make the folder of a report, with its parents, before the work that is to fill it.

    One that is there must be empty or hold a report, whose files are then replaced and no others;
    MindSSDError otherwise.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(path.name for path in folder.iterdir())
    except (FileExistsError, NotADirectoryError) as error:
        raise MindSSDError(f"{folder} is a file, or in one; --report takes a folder") from error
    except OSError as error:
        raise not_written(folder, error) from error
    if names and not _is_ours(folder / FIGURES):
        raise MindSSDError(
            f"{folder} holds what is no report of `mindssd eval`, such as {names[0]}; "
            "name a new folder"
        )
    for name in (PAGE, FIGURES, OBJECTS, DETECTIONS):
        require_writable(folder / name)


def _is_ours(path: Path) -> bool:
    try:
        tree = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(tree, dict) and tree.get("kind") == KIND
