"""All checks, one after the other."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from mindssd.doctor.data import check_data
from mindssd.doctor.engines import check_mindspore, check_torch
from mindssd.doctor.finding import Finding
from mindssd.doctor.machine import check_disk, check_machine, check_python
from mindssd.doctor.packages import check_packages


def all_findings(data_dir: Path | None, timeout: float) -> Iterator[Finding]:
    """Yield line by line, so that the slow ones do not hold back the quick ones."""
    yield from _guarded("Python", lambda: check_python(sys.version_info[:3]))
    yield from _guarded("machine", check_machine)
    yield from _guarded("disk", lambda: check_disk(Path.cwd()))
    yield from _guarded("packages", check_packages)
    yield from _guarded("MindSpore", lambda: check_mindspore(timeout))
    yield from _guarded("PyTorch", lambda: check_torch(timeout))
    if data_dir is not None:
        yield from _guarded("data", lambda: check_data(data_dir))


def _guarded(subject: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """A machine odd enough to break a check is exactly the one whose other lines are needed."""
    try:
        return check()
    except Exception as error:
        return [Finding("problem", subject, f"cannot be checked: {error!r}")]
