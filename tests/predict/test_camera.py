"""Cameras by their number: frames at the time of their arrival, until they are unplugged."""

from typing import Any

import cv2
import numpy as np
import pytest

from mindssd.errors import ImageError
from mindssd.predict import camera
from mindssd.predict.media import open_media
from mindssd.predict.sources import Video


class Capture:
    """A camera that says 30 frames a second and gives three, 0.1 s apart."""

    def __init__(self, number: int) -> None:
        assert number == 1
        self.left = 3
        self.is_open = True

    def isOpened(self) -> bool:  # noqa: N802 (the name is OpenCV's)
        return self.is_open

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FPS: 30.0}[what]

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        clock.append(clock[-1] + 0.1)
        return self.left >= 0, np.full((4, 6, 3), (0, 0, 200), np.uint8)

    def release(self) -> None:
        self.is_open = False


clock = [100.0]


def test_a_cameras_frames_have_the_times_of_their_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(camera.time, "monotonic", lambda: clock[-1])
    reader = open_media(Video("1", is_live=True))
    assert isinstance(reader, camera.Camera) and reader.rate == 30 and reader.num_frames is None
    seen = []
    with pytest.raises(ImageError, match="camera 1: gives no more frames"):
        for frame in reader.frames():
            seen.append((round(frame.seconds, 3), frame.image[0, 0].tolist()))
    assert seen == [(0, [200, 0, 0]), (0.1, [200, 0, 0]), (0.2, [200, 0, 0])]
    assert not reader._capture.isOpened()


def test_a_camera_that_is_not_there_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    log = cv2 if hasattr(cv2, "getLogLevel") else cv2.utils.logging  # OpenCV 4's and 5's
    level = log.getLogLevel()
    with pytest.raises(ImageError, match="camera 99: there is no such camera"):
        open_media(Video("99", is_live=True))
    assert capfd.readouterr() == ("", "") and log.getLogLevel() == level
