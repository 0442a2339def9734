"""Cameras of this machine, by their number, with OpenCV: what PyAV has no one way to open."""

import time
from collections.abc import Iterator
from typing import Any

import cv2

from mindssd.errors import ImageError
from mindssd.predict.frames import Frame
from mindssd.predict.video import HIGHEST_RATE, UNKNOWN_RATE, VideoReader


class Camera(VideoReader):
    """Frames of a camera, each at the time of its arrival, until the camera is unplugged."""

    def __init__(self, number: int, name: str) -> None:
        self.name = name
        self.num_frames = None
        self.num_lost = 0
        opencv: Any = cv2
        log = opencv if hasattr(opencv, "getLogLevel") else opencv.utils.logging  # 4's and 5's
        log_level = log.getLogLevel()
        log.setLogLevel(0)  # the ImageError says it
        try:
            self._capture: Any = cv2.VideoCapture(number)
        finally:
            log.setLogLevel(log_level)
        if not self._capture.isOpened():
            raise ImageError(f"{name}: there is no such camera, or another program uses it")
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate = rate if 0 < rate <= HIGHEST_RATE else UNKNOWN_RATE  # NaN is neither

    ended_as_told = False

    def close(self) -> None:
        self._capture.release()

    def frames(self) -> Iterator[Frame]:
        """Each frame; ImageError when no more come, for a camera has no end of its own."""
        began: float | None = None
        try:
            while True:
                got, image = self._capture.read()
                if not got:
                    break
                now = time.monotonic()
                began = now if began is None else began
                yield Frame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image), now - began)
        finally:
            self.close()
        raise ImageError(f"{self.name}: gives no more frames")
