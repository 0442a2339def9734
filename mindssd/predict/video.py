"""Videos read and written with OpenCV's FFmpeg."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2

from mindssd.errors import ImageError, MindSSDError
from mindssd.types import Array, ImageSize

UNKNOWN_RATE = 25.0
"""Frames a second where a camera or stream does not tell."""

_HIGHEST_RATE = 1000.0
_LOST = 0.05
"""A file may end this share of its announced frames early: many announce a rounded number."""


class VideoReader:
    """Frames of a file, camera or stream in their order, (H, W, 3) uint8 RGB, upright.

    `num_frames` is what a file announces, None where it does not or there is no end. ImageError
    where it cannot be opened.
    """

    def __init__(self, address: str, is_live: bool = False) -> None:
        self.address = address
        source = int(address) if is_live and address.isdigit() else address
        log_level = cv2.getLogLevel()
        cv2.setLogLevel(0)  # the ImageError says it
        try:
            # FFmpeg alone for files and addresses: others take a name with % for many images.
            by = cv2.CAP_ANY if isinstance(source, int) else cv2.CAP_FFMPEG
            self._capture: Any = cv2.VideoCapture(source, by)
        finally:
            cv2.setLogLevel(log_level)
        if not self._capture.isOpened():
            what = "no such camera or stream" if is_live else "cannot be read as a video"
            raise ImageError(f"{address}: {what}")
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate = rate if 0 < rate <= _HIGHEST_RATE else UNKNOWN_RATE  # NaN is neither
        count = float(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.num_frames = int(count) if not is_live and math.isfinite(count) and count > 0 else None

    def frames(self) -> Iterator[Array]:
        """Each frame; ImageError at the end where a file ends well before it should."""
        done = 0
        try:
            while True:
                got, frame = self._capture.read()
                if not got:
                    break
                done += 1
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB, dst=frame)
        finally:
            self._capture.release()
        if done == 0:
            raise ImageError(f"{self.address}: has no frame that can be read")
        if self.num_frames is not None and done < (1 - _LOST) * self.num_frames - 1:
            raise ImageError(
                f"{self.address}: ends after {done} of {self.num_frames} frames: truncated or "
                "damaged"
            )


class VideoWriter:
    """Writes frames (H, W, 3) uint8 RGB of one size as MPEG-4, under its name only when whole.

    A context: what was written stands at `path` when it ends well, and nothing otherwise.
    """

    def __init__(self, path: Path, size: ImageSize, rate: float) -> None:
        self._path = path
        # FFmpeg chooses the container by the suffix.
        self._temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
        height, width = size
        codec = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(self._temporary), codec, rate, (width, height))
        if not self._writer.isOpened():
            self._temporary.unlink(missing_ok=True)
            raise MindSSDError(
                f"{path}: a video of {width} × {height} pixels cannot be written there; check the "
                "folder's room and rights, or leave `drawn` out of --save"
            )

    def write(self, frame: Array) -> None:
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.release()
        if kind is None:
            self._temporary.replace(self._path)
        self._temporary.unlink(missing_ok=True)
