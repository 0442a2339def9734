"""Small pictures of image files, to compare many of them: read once, in several threads."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mindssd.errors import ImageError
from mindssd.images import decode_image
from mindssd.platform import available_cores
from mindssd.types import Array

SIDE = 48
"""Of a grey thumbnail, whatever the picture's shape."""

CLOSER_SIDE = 128
"""Of the coloured one that two pictures are compared in closely."""

Progress = Callable[[int, int], None]
"""Called with how many are done, and of how many."""


@dataclass(frozen=True, eq=False)
class Thumbnails:
    """Of N files: `grey` (N, SIDE, SIDE) uint8, and `digests`, equal where files are byte by byte.

    Of a file that cannot be read the digest is empty, and `unreadable` says why.
    """

    grey: Array
    digests: list[bytes]
    unreadable: dict[int, str]


def read_thumbnails(
    paths: Sequence[str], threads: int | None = None, progress: Progress | None = None
) -> Thumbnails:
    """Decode every file once, wholly, so that a damaged one is found too."""
    grey = np.zeros((len(paths), SIDE, SIDE), np.uint8)
    digests = [b""] * len(paths)
    unreadable: dict[int, str] = {}

    def read(place: int) -> None:
        try:
            data = Path(paths[place]).read_bytes()
            picture = decode_image(data, paths[place])
        except (ImageError, OSError, ValueError) as error:
            unreadable[place] = str(error)
            return
        small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        grey[place] = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        digests[place] = hashlib.blake2b(data, digest_size=16).digest()

    with ThreadPoolExecutor(threads or available_cores()) as pool:
        for done, _ in enumerate(pool.map(read, range(len(paths))), start=1):
            if progress is not None:
                progress(done, len(paths))
    return Thumbnails(grey, digests, dict(sorted(unreadable.items())))


class CloserLooks:
    """Coloured thumbnails by path, read when they are asked for; the last ones are kept.

    May be called from several threads.
    """

    def __init__(self, keep: int = 512) -> None:
        self._keep = keep
        self._kept: OrderedDict[str, Array] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, path: str) -> Array:
        """(CLOSER_SIDE, CLOSER_SIDE, 3) uint8; ImageError where the file has gone meanwhile."""
        with self._lock:
            if path in self._kept:
                self._kept.move_to_end(path)
                return self._kept[path]
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise ImageError(f"{path}: cannot be read: {error.strerror}") from error
        side = (CLOSER_SIDE, CLOSER_SIDE)
        small = cv2.resize(decode_image(data, path), side, interpolation=cv2.INTER_AREA)
        with self._lock:
            self._kept[path] = np.asarray(small)
            if len(self._kept) > self._keep:
                self._kept.popitem(last=False)
        return np.asarray(small)
