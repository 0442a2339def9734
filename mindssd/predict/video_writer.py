"""Videos written with PyAV: each frame at its own time, whole under their name or not at all."""

import os
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import cv2

from mindssd.errors import MindSSDError
from mindssd.files import FileAside
from mindssd.platform import available_cores
from mindssd.predict.opening import import_pyav
from mindssd.types import Array, ImageSize

TICKS = 60_000
"""So many parts of a second tell times apart: whole numbers of them make up 24, 25, 29.97, 30, …"""

_LONGEST_TICKS = 2**31 - 1  # MP4 shows a frame for ten hours at most

_ENCODERS: Mapping[str, Mapping[str, str]] = {
    # H.264 plays in every browser, telephone and player. x264 is in PyAV's wheels, under the GPL as
    # they are; nothing of it is in mindssd. bf: no frame waits for later ones.
    "libx264": {"preset": "veryfast", "crf": "23", "bf": "0"},
    # For builds of FFmpeg without x264: MPEG-4 part 2, FFmpeg's own, which no browser plays.
    "mpeg4": {"qmin": "2", "qmax": "7"},
}
_MOST_THREADS = 4
_BT709, _STUDIO_RANGE = 1, 1  # as FFmpeg numbers them


class VideoWriter:
    """An MP4 file of frames, each shown from its own time on. A context, which ends it.

    `size` is (height, width); a picture of another one is fitted in, its aspect kept, on black. An
    odd height or width grows by a pixel: H.264 halves the colours' resolution. The last frame is
    shown as long as a `rate`, in frames a second, says. An exception in the context leaves no file,
    unless `finish` was called before, as where an interrupted run keeps what it has. MindSSDError
    for what cannot be written, such as on a full disk.
    """

    def __init__(self, path: Path, size: ImageSize, rate: float) -> None:
        self._path = path
        self._size = size
        self._frame_ticks = max(1, round(TICKS / rate))
        self._last: int | None = None
        self._av = import_pyav()
        self._reformatter = self._av.video.reformatter.VideoReformatter()
        self._container: Any = None
        try:
            self._aside = FileAside(path)
            self._output = _Output(self._aside.file)
        except OSError as error:
            raise self._cannot_be_written(error) from error
        try:
            self._container = self._av.open(self._output, "w", format="mp4")
            self._stream = self._add_stream(rate)
            self._container.start_encoding()
            self._output.check()
        except BaseException as error:
            self._discard()
            raise self._as_ours(error) from error

    def write(self, image: Array, seconds: float) -> None:
        """Add (H, W, 3) uint8 RGB, shown from `seconds` on: later than those before."""
        ticks = round(seconds * TICKS)
        if self._last is not None:
            ticks = min(max(ticks, self._last + 1), self._last + _LONGEST_TICKS)
        self._last = ticks
        try:
            frame = self._av.VideoFrame.from_ndarray(fitted(image, self._size), format="rgb24")
            frame = self._reformatter.reformat(
                frame,
                format="yuv420p",
                dst_colorspace=_BT709,
                dst_color_range=_STUDIO_RANGE,
                threads=1,
            )
            frame.pts, frame.time_base = ticks, Fraction(1, TICKS)
            self._put(frame)
        except Exception as error:
            raise self._as_ours(error) from error

    def finish(self) -> None:
        """Give the file its name, with the frames so far; without a frame there is none."""
        if self._container is None:
            return
        try:
            if self._last is not None:
                self._put(None)
                self._container.close()
                self._output.finish()
                self._aside.keep()
        except Exception as error:
            raise self._as_ours(error) from error
        finally:
            self._discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.finish()
        self._discard()

    def _add_stream(self, rate: float) -> Any:
        height, width = (side + side % 2 for side in self._size)
        name = next((n for n in _ENCODERS if n in self._av.codecs_available), "mpeg4")
        stream = self._container.add_stream(
            name, rate=Fraction(rate).limit_denominator(1001), options=dict(_ENCODERS[name])
        )
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = Fraction(1, TICKS)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _STUDIO_RANGE
        context.thread_count = min(_MOST_THREADS, available_cores())
        return stream

    def _put(self, frame: Any) -> None:
        """Encode a frame, or with None the end, and write what that gives."""
        for packet in self._stream.encode(frame):
            packet.duration = self._frame_ticks  # of the last; the next one's time ends the others
            self._container.mux(packet)
        self._output.check()

    def _discard(self) -> None:
        """Let go of the encoder and of a file that has not got its name."""
        self._output.close()
        if self._container is not None:
            self._container.close()
            self._container = self._stream = None
        self._aside.close()

    def _as_ours(self, error: BaseException) -> BaseException:
        """What PyAV or the disk raised as a MindSSDError; an interruption as it is."""
        if isinstance(self._output.error, OSError):
            error = self._output.error
        return self._cannot_be_written(error) if isinstance(error, Exception) else error

    def _cannot_be_written(self, error: Exception) -> MindSSDError:
        height, width = self._size
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return MindSSDError(
            f"{self._path}: a video of {width} × {height} pixels cannot be written there ({why}); "
            "check the folder's room and rights, or leave `drawn` out of --save"
        )


class _Output:
    """A file for PyAV, which may lose or print an error inside of `write`: it is kept for `check`.

    `closed` tells PyAV that nothing more is to be written.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end = 0
        self.closed = False
        self.error: BaseException | None = None

    def write(self, data: bytes) -> int:
        try:
            if self.error is None and not self.closed:
                self._file.write(data)
                self._end = max(self._end, self._file.tell())
        except BaseException as error:
            self.error = error
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def check(self) -> None:
        if self.error is not None:
            raise self.error

    def finish(self) -> None:
        """Bring all to the disk; OSError where it is not there."""
        self.check()
        self._file.flush()
        os.fsync(self._file.fileno())
        size = os.fstat(self._file.fileno()).st_size
        if size != self._end:
            raise OSError(None, f"{size} of {self._end} bytes are there")

    def close(self) -> None:
        self.closed = True
        try:
            self._file.close()
        except OSError as error:  # what was left to write: told before, or of no use
            self.error = self.error or error


def fitted(image: Array, size: ImageSize) -> Array:
    """Fit an image into (height, width) on black, its aspect kept; odd sizes grow by a pixel."""
    height, width = size
    if image.shape[:2] != size:
        scale = min(height / image.shape[0], width / image.shape[1])
        inner_height = max(1, min(round(scale * image.shape[0]), height))
        inner_width = max(1, min(round(scale * image.shape[1]), width))
        image = cv2.resize(image, (inner_width, inner_height), interpolation=cv2.INTER_AREA)
        top, left = (height - inner_height) // 2, (width - inner_width) // 2
        bottom, right = height - inner_height - top, width - inner_width - left
        image = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT)
    if height % 2 or width % 2:
        image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return image
