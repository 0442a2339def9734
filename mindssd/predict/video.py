"""Videos read with PyAV: files, streams of bytes, and addresses."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from itertools import repeat
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from mindssd.errors import ImageError
from mindssd.platform import available_cores
from mindssd.predict.byte_streams import ByteStream, is_server_gone
from mindssd.predict.containers import declared_size
from mindssd.predict.frames import Clock, Frame, UprightFrames
from mindssd.predict.opening import head_of, import_pyav, in_words, open_container, size_of
from mindssd.types import Array

UNKNOWN_RATE = 25.0
"""Frames a second where a video, camera or stream does not tell."""

HIGHEST_RATE = 240.0
"""More than that is the fineness of a clock, not a rate of frames."""

_MOST_THREADS = 4
_LARGE_PIXELS = 1920 * 1088
_MOST_FAULTS = 100
"""A container that has so many faults in a row is given up."""

# A jump of a transport stream's time stamps means that they begin anew, as FFmpeg has it too.
_LONGEST_GAP_S, _LONGEST_GAP_OF_BROADCASTS_S = 86400.0, 10.0


class _DamagedError(Exception):
    """A packet that the container itself holds damaged."""


class VideoReader:
    """Frames of a video in their order, upright, each at its own time.

    `file` is a local file's path, a stream's address, or what bytes are read from. `rate`, frames
    a second, and `num_frames` are nominal; `num_frames` is None where it is not known or there is
    no end. `num_lost` counts the frames that could not be decoded, once the others have been read.
    ImageError, which calls the video `name`, where it cannot be opened.
    """

    def __init__(
        self,
        file: Path | str | IO[bytes] | ByteStream,
        name: str | None = None,
        *,
        is_live: bool = False,
        format_name: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name or str(file)
        self.num_lost = 0
        self._file = file
        self._fault: str | None = None
        self._ended_damaged = False
        self._stream: Any = None
        with ExitStack() as stack:
            if not isinstance(file, Path | str):
                stack.callback(file.close)
            self._container = open_container(file, self.name, format_name, options or {})
            stack.pop_all()
        av = import_pyav()
        self._kind = str(self._container.format.name)
        # Time stamps and packets of a broadcast may jump and be damaged without meaning an end.
        self._is_broadcast = bool(self._container.format.flags & av.format.Flags.ts_discont.value)
        try:
            self._stream = self._video_stream(av)
        except BaseException:
            self.close()
            raise
        context = self._stream.codec_context
        # Threads that each decode a frame delay a camera's pictures, and PyAV 18 loses some frames
        # after a damaged one that is among the last: for what is too slow without them.
        is_large = context.width * context.height > _LARGE_PIXELS
        context.thread_type = "AUTO" if is_large and not is_live else "SLICE"
        context.thread_count = min(_MOST_THREADS, available_cores())
        rates = (self._stream.average_rate, self._stream.guessed_rate)
        known = [float(rate) for rate in rates if rate and 0 < rate <= HIGHEST_RATE]
        self.rate = known[0] if known else UNKNOWN_RATE
        self.num_frames = self._announced_frames()

    @property
    def ended_as_told(self) -> bool:
        """Whether what has ended without a fault had said that it would; a live stream never does.

        A container that announces its frames or duration has, and a list of pieces that is closed.
        """
        if isinstance(self._file, str):
            return self._kind in ("hls", "dash")
        if isinstance(self._file, ByteStream):
            is_endless = self._kind == "mpjpeg"
            return self.num_frames is not None or (self._file.ended_as_told and not is_endless)
        return True

    def close(self) -> None:
        """Let go of the file or connection; `frames` does so when it ends or is closed."""
        self._container.close()
        self._stream = None  # and its decoder's threads
        if not isinstance(self._file, Path | str):
            self._file.close()

    def frames(self) -> Iterator[Frame]:
        """Each frame; ImageError at the end where there was none, or where the video broke off."""
        gap = _LONGEST_GAP_OF_BROADCASTS_S if self._is_broadcast else _LONGEST_GAP_S
        clock, num_frames = Clock(1 / self.rate, gap), 0
        try:
            with closing(self._pictures(import_pyav())) as pictures:
                for image, stamp in pictures:
                    yield Frame(image, clock.seconds(stamp))
                    num_frames += 1
            fault = self._why_it_ended()
        finally:
            self.close()
        if num_frames == 0:
            why = f" ({fault})" if fault else ""
            raise ImageError(f"{self.name}: has no frame that can be read{why}")
        if fault:
            raise ImageError(f"{self.name}: breaks off after {num_frames} frames: {fault}")

    def _pictures(self, av: ModuleType) -> Generator[tuple[Array, float | None]]:
        """Pictures and their time stamps in seconds; what cannot be decoded goes to `num_lost`."""
        upright = UprightFrames(av)
        num_packets = num_shown = num_faults = 0
        try:
            for packet in self._packets(av):
                num_packets += packet is None or (packet.size > 0 and not packet.is_discard)
                try:
                    frames = self._decode(packet)
                except (av.FFmpegError, _DamagedError):
                    num_faults += 1
                    continue
                for frame in frames:
                    try:
                        image = upright.to_rgb(frame)
                    except (av.FFmpegError, ValueError, MemoryError):  # a layout of no use
                        num_faults += 1
                        continue
                    stamp = frame.pts if frame.pts is not None else frame.dts
                    yield image, None if stamp is None else float(stamp * self._stream.time_base)
                    num_shown += 1
        finally:
            # Some codecs have packets without a frame of their own, so that nothing is lost where
            # no fault was told; where one was, the frames that need the lost one are lost too.
            self.num_lost = max(num_faults, num_packets - num_shown) if num_faults else 0

    def _decode(self, packet: Any) -> list[Any]:
        """The frames that a packet completes."""
        if packet is None or (packet.is_corrupt and not self._is_broadcast):
            raise _DamagedError  # the container has a part of it alone: never half a picture
        frames: list[Any] = packet.decode()
        return frames

    def _packets(self, av: ModuleType) -> Iterator[Any]:
        """Packets of PyAV, None for each that the container holds damaged, and the last empty."""
        num_faults = 0
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    if packet.size:
                        yield from repeat(None, num_faults)
                        num_faults = 0
                        self._ended_damaged = packet.is_corrupt
                        yield packet
                    # An empty one in the midst, as AVI has them, repeats the frame before.
                break
            except av.error.InvalidDataError as error:
                num_faults += 1
                if num_faults < _MOST_FAULTS:
                    continue
                self._fault = in_words(error)
            except av.FFmpegError as error:
                self._fault = in_words(error)
            except IndexError:
                pass  # PyAV 18 at the end of what has more streams than its beginning told
            break
        # FFmpeg takes the mark that ends a server's Motion JPEG for a damaged picture.
        if self._kind != "mpjpeg":
            yield from repeat(None, num_faults)
        if isinstance(self._file, ByteStream):
            self._file.check()
        last = av.Packet()
        last.stream = self._stream
        yield last

    def _why_it_ended(self) -> str | None:
        """A fault at the end, None of a proper one. A count of frames that is announced is none."""
        if isinstance(self._file, str):
            is_gone = self._fault is None and is_server_gone(self._file)
            return "its server has gone" if is_gone else self._fault
        ends = [
            stream.index_entries[-1].pos + stream.index_entries[-1].size
            for stream in self._container.streams
            if len(stream.index_entries)
        ]
        head = self._file.head if isinstance(self._file, ByteStream) else head_of(self._file)
        expected = max([declared_size(head) or 0, *ends])
        if isinstance(self._file, ByteStream):
            while self._file.num_bytes < expected and self._file.read():
                pass  # what lies behind the frames, such as an index
            if self._file.fault:
                return self._file.fault
        is_damaged = self._ended_damaged and not self._is_broadcast
        if self._fault is None and (expected > size_of(self._file) or is_damaged):
            return "the file is cut off"
        return self._fault

    def _video_stream(self, av: ModuleType) -> Any:
        """The container's largest video, of several the first; a cover picture is none."""
        cover = av.stream.Disposition.attached_pic
        streams = [s for s in self._container.streams.video if not s.disposition & cover]
        if not streams:
            raise ImageError(f"{self.name}: has no video in it")
        known = [s for s in streams if s.codec_context is not None]
        if not known:
            raise ImageError(f"{self.name}: its video is cut off, or PyAV cannot decode its kind")
        return max(known, key=lambda s: s.codec_context.width * s.codec_context.height)

    def _announced_frames(self) -> int | None:
        if self._stream.frames:
            return int(self._stream.frames)
        rate, duration = self._stream.average_rate, self._container.duration
        if not rate or rate > HIGHEST_RATE or not duration:
            return None
        return int(duration / 1_000_000 * rate)
