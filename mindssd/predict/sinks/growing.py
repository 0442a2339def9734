"""Files that grow with each image: what was appended is whole, whatever ends the job."""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from mindssd.files import not_written
from mindssd.platform import reserve

_SLACK = (1 << 18, 1 << 16, 1 << 14)
"""Bytes beside what is asked for: for buffers, ends and a contact sheet; less on a small disk."""


class Records:
    """Whole records appended to a binary file; one that was begun and failed is cut off again."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._is_whole = True
        self.size = 0

    def append(self, record: bytes) -> None:
        """OSError where it cannot be written."""
        self.repair()
        self._is_whole = False
        self._file.write(record)
        self.size += len(record)
        self._is_whole = True

    def cut(self, size: int) -> None:
        """Take back what was appended since the file had `size` bytes."""
        self._is_whole = self._is_whole and size == self.size
        self.size = size

    def repair(self) -> None:
        """Bring the file to what was appended whole."""
        if not self._is_whole:
            self._file.flush()
            self._file.seek(self.size)
            self._file.truncate()
            self._is_whole = True


class Reserve:
    """Room on a folder's disk to end in when that is full, as far as the file system has it."""

    def __init__(self, folder: Path) -> None:
        self._size = 0
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - held until `release`
        except OSError as error:
            raise not_written(folder, error) from error
        self.hold(0)

    def hold(self, size: int) -> None:
        """Keep room for so many bytes, and some more."""
        if size + _SLACK[-1] <= self._size or self._file.closed:
            return
        for slack in _SLACK:
            with suppress(OSError):  # the disk is nearly full: who writes next finds out
                reserve(self._file.fileno(), size + slack)
                self._size = size + slack
                return

    def release(self) -> None:
        self._file.close()
