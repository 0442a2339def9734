"""The sizes of many image files: read by threads, kept in the user's cache, as many as time allows.

A file's entry in the cache is found by its name, its time of change and its length, so that one
that has changed is read again.
"""

import hashlib
import io
import os
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mindssd.data.file_search import path_of
from mindssd.decoders.headers import read_header
from mindssd.errors import ImageError, MindSSDError
from mindssd.files import cache_dir, write_file
from mindssd.types import Array

UNREAD, UNREADABLE = 0, -1
"""In the place of a height."""

WORTH_CACHING = 1000
"""Fewer files are read in the time that the cache would take."""
_BLOCK = 256
_THREADS = 16
_SLOW_SECONDS = 200e-6
"""A header of a file that memory holds takes a tenth of this, but by threads, which wait for each
other, three times as long. One that a disk or server has yet to bring takes much more, and they
bring several at once."""
_ENTRY = np.dtype([("key", "<u8"), ("height", "<i4"), ("width", "<i4"), ("turned", "?")])


class FileHeaders:
    """Headers of the files of one folder, each read when first asked for.

    `columns` (N, 3) int32 has (height, width, turned) of each file as stored, UNREAD or UNREADABLE
    as its height.
    """

    def __init__(self, image_dir: Path, file_names: Sequence[str]) -> None:
        self.image_dir = image_dir
        self.file_names = file_names
        self.columns = np.zeros((len(file_names), 3), np.int32)
        self._cache_file = _cache_file(image_dir) if len(file_names) >= WORTH_CACHING else None
        self._cached = _read_cache(self._cache_file)
        self._keys = np.zeros(len(file_names), np.uint64)
        self._num_read = 0

    def read(self, rows: Array, seconds: float | None = None) -> None:
        """Read the headers of the files at `rows`, or as many of them as `seconds` allow.

        In an order that spreads over them, so that those read in time stand for the rest.
        """
        rows = rows[self.columns[rows, 0] == UNREAD]
        now = time.monotonic()
        end = np.inf if seconds is None else now + seconds
        stride = max(1, -(-len(rows) // _BLOCK))
        blocks = deque(rows[first::stride] for first in range(stride))
        while blocks:
            start, now = now, time.monotonic()
            if now - start > _SLOW_SECONDS * _BLOCK:
                break
            self._num_read += self._read_block(blocks.popleft(), end)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="mindssd-headers") as pool:
            self._num_read += sum(pool.map(lambda block: self._read_block(block, end), blocks))

    def save(self) -> None:
        """Write what was read into the user's cache, if it was much and there is a cache."""
        if self._cache_file is None or not self._num_read:
            return
        known = (self.columns[:, 0] > 0) & (self._keys > 0)
        entries = np.zeros(int(known.sum()), _ENTRY)
        entries["key"] = self._keys[known]
        for place, name in enumerate(("height", "width", "turned")):
            entries[name] = self.columns[known, place]
        if len(self._cached) < 2 * len(self.file_names):  # else most are of files that are gone
            entries = np.concatenate([entries, self._cached])
        _, first = np.unique(entries["key"], return_index=True)
        content = io.BytesIO()
        np.save(content, entries[first])
        try:
            self._cache_file.parent.mkdir(parents=True, exist_ok=True)
            write_file(self._cache_file, content.getvalue())
        except (OSError, MindSSDError):
            pass  # the next start reads them again

    def _read_block(self, rows: Array, end: float) -> int:
        """Fill in a block's rows until the time is over; the number of headers read from files."""
        if time.monotonic() > end:
            return 0
        paths = [path_of(self.image_dir, self.file_names[row]) for row in rows.tolist()]
        left = rows
        if self._cache_file is not None:
            left, paths = self._from_cache(rows, paths, end)
        num_read = 0
        for row, path in zip(left.tolist(), paths, strict=True):
            if time.monotonic() > end:
                break
            try:
                header = read_header(path)
                self.columns[row] = header.height, header.width, header.turned
            except (ImageError, OverflowError):
                self.columns[row] = UNREADABLE
            num_read += 1
        return num_read

    def _from_cache(self, rows: Array, paths: list[str], end: float) -> tuple[Array, list[str]]:
        """Fill in what the cache knows; the rows and paths of the rest."""
        for row, path in zip(rows.tolist(), paths, strict=True):
            if time.monotonic() > end:
                break
            self._keys[row] = _key(self.file_names[row], path)
        if not len(self._cached):
            return rows, paths
        keys = self._keys[rows]
        places = np.minimum(np.searchsorted(self._cached["key"], keys), len(self._cached) - 1)
        found = self._cached[places]
        known = found["key"] == keys
        for place, name in enumerate(("height", "width", "turned")):
            self.columns[rows[known], place] = found[name][known]
        return rows[~known], [path for path, k in zip(paths, known, strict=True) if not k]


def _key(file_name: str, path: str) -> int:
    """A digest of a file as it is now; 0 where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path costs more than this
    except (OSError, ValueError):
        return 0
    words = f"{file_name}\0{status.st_mtime_ns}\0{status.st_size}"
    digest = hashlib.blake2b(words.encode("utf-8", "surrogateescape"), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def _cache_file(image_dir: Path) -> Path | None:
    folder = os.fsencode(os.path.realpath(image_dir))
    try:
        name = hashlib.blake2b(folder, digest_size=12).hexdigest()
        return cache_dir() / "image_sizes" / f"{name}.npy"
    except MindSSDError:  # a user without a home
        return None


def _read_cache(path: Path | None) -> Array:
    """Read the entries, by ascending key; none where there is no such file or it is damaged."""
    try:
        if path is not None:
            entries: Array = np.load(path, allow_pickle=False)
            keys = entries["key"] if entries.dtype == _ENTRY else entries
            if entries.dtype == _ENTRY and (keys[1:] > keys[:-1]).all():
                return entries
    except (OSError, ValueError, EOFError):
        pass
    return np.zeros(0, _ENTRY)
