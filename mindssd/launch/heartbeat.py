"""A worker's heartbeat: a file by which its launcher knows that it still works."""

import os
import stat
import struct
import time
from pathlib import Path

HEARTBEAT = "MINDSSD_HEARTBEAT"
"""Names the file of a `Heartbeat`, in the environment of the process that writes into it."""

_HEARTBEAT_START = b"mindssd heartbeat\n"
"""A heartbeat's file begins with this; no other file is written to."""


class Heartbeat:
    """A file that a process started with `environment` writes the time into as it works.

    The process does so by `beat`; `last` tells when it last did. No beat yet counts from now. The
    file lies in `folder`, which is nobody else's to write to.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._began = time.monotonic()
        self._file = folder / name
        # As long as it will be, so that a full disk does not stop the heartbeat.
        self._file.write_bytes(_HEARTBEAT_START + struct.pack("d", 0.0))
        self.environment = {HEARTBEAT: str(self._file)}

    @property
    def begun(self) -> bool:
        """Whether the process has written at all."""
        return self._time() > 0

    def last(self) -> float:
        """On the clock of `time.monotonic`, which all processes of a machine share."""
        return self._time() or self._began

    def _time(self) -> float:
        (seconds,) = struct.unpack("d", self._file.read_bytes()[len(_HEARTBEAT_START) :])
        return float(seconds)


def beat() -> None:
    """Tell the launcher, if one listens, that this process goes on.

    The variable may be stale, or somebody else's: what is not a heartbeat's file of this user is
    left alone. It is opened each time, for a descriptor that was kept may be another file by now.
    """
    path = os.environ.get(HEARTBEAT)
    if path is None:
        return
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # the launcher has gone, and its files with it
        return
    try:
        status = os.fstat(descriptor)
        ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if ours and os.pread(descriptor, len(_HEARTBEAT_START), 0) == _HEARTBEAT_START:
            now = struct.pack("d", time.monotonic())
            os.pwrite(descriptor, now, len(_HEARTBEAT_START))
    finally:
        os.close(descriptor)
