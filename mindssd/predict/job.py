"""Detect in files, videos and streams, and write what was found as it comes."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from signal import SIGINT
from typing import Any

from rich.console import Console

from mindssd.build.model import load
from mindssd.build.published import find_model
from mindssd.deploy.manifest import threshold_line
from mindssd.errors import ConfigError, ImageError, MindSSDError
from mindssd.files import looks_like_address, shown
from mindssd.images import IMAGE_SUFFIXES, counted_remarks
from mindssd.inference.ahead import ahead
from mindssd.inference.detector import Detector
from mindssd.predict.following import (
    Follow,
    Following,
    require_moving,
    still,
    thresholds_of,
    with_weak,
)
from mindssd.predict.frames import Frame
from mindssd.predict.kinds import VIDEO_SUFFIXES
from mindssd.predict.media import open_media
from mindssd.predict.naming import Names, Naming
from mindssd.predict.originals import require_other_files
from mindssd.predict.progress import Display, Tally, counted, counts_table, display, say
from mindssd.predict.reconnect import Reconnect, Reconnecting
from mindssd.predict.sinks.base import Seen
from mindssd.predict.sources import ImageFile, Source, StandardInput, Video, find_sources
from mindssd.predict.stop import Stop
from mindssd.predict.video import VideoReader
from mindssd.predict.writing import Outputs, Writing
from mindssd.types import Array, Detections
from mindssd.weights.hub import is_hub_address


def predict_files(
    model: Path,
    words: Sequence[str],
    outputs: Outputs,
    settings: Mapping[str, Any],
    console: Console,
    stop: Stop | None = None,
    follow: Follow | None = None,
    reconnect: Reconnect | None = None,
) -> Tally:
    """Detect in all that `words` name; return what was seen, and what of it went wrong.

    With `follow` objects are followed through videos, and counted; with `reconnect` what is live
    may break off and come back. `settings` are those of `mindssd.load`. `stop` is entered once
    there can be something to keep; when it asks for the end, what was seen is kept. MindSSDError,
    before anything is done, where a file to be written is a source, and later where nothing more
    can be written.
    """
    is_address = looks_like_address(str(model)) and not (is_hub_address(model) or model.exists())
    if is_address or model.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
        raise ConfigError(
            f"{shown(model)} is not a model; give the model first: mindssd predict MODEL SOURCE…"
        )
    found = find_sources(words)
    sources = found.sources
    if follow is not None:
        require_moving(sources)
    out = outputs.out.expanduser()
    naming = Naming(sources, outputs.save, out)
    require_other_files(sources, out, naming.names.values())
    detector = load(find_model(model, lambda line: say(console, line)), **settings)
    own = threshold_line(detector.metadata)
    if own is not None and settings.get("score_threshold") is None:
        say(console, f"{shown(model)}: {own}")
    unit = "frame" if all(isinstance(source, Video) for source in sources) else "image"
    tally = Tally(unit)
    asked = _Asked(follow, thresholds_of(detector.predictor), reconnect)
    if follow is not None:
        detector = Detector(with_weak(detector.predictor), detector.metadata)
    with stop or Stop() as ended, counted_remarks() as remarks:
        try:
            with (
                display(console, sum(not isinstance(s, Video) for s in sources)) as show,
                Writing(outputs, out, detector.metadata, show, tally, follow) as writing,
            ):
                for note in found.notes:
                    show.say(note)
                _Job(detector, asked, writing, naming, show, tally, ended).run(sources)
        except MindSSDError:
            if tally.num_images:
                _sum_up(tally, out, console)
            raise
        for line in remarks.lines():
            say(console, line)
        _sum_up(tally, out, console)
    return tally


def _sum_up(tally: Tally, out: Path, console: Console) -> None:
    if rows := tally.totals.rows():
        console.print(counts_table(rows))
    say(console, tally.summary(out))


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is asked of videos; `thresholds` (C,) are the scores of detections by themselves."""

    follow: Follow | None
    thresholds: Array
    reconnect: Reconnect | None


class _Job:
    """Goes through the sources with one detector."""

    def __init__(
        self,
        detector: Detector,
        asked: _Asked,
        writing: Writing,
        naming: Naming,
        show: Display,
        tally: Tally,
        stop: Stop,
    ) -> None:
        self._predictor = detector.predictor
        self._asked = asked
        self._writing = writing
        self._naming = naming
        self._show = show
        self._tally = tally
        self._stop = stop

    def run(self, sources: Sequence[Source]) -> None:
        """Take one source after the other until the stop is requested."""
        # Images that follow each other are read ahead together.
        for _, group in groupby(sources, key=lambda source: isinstance(source, ImageFile)):
            some = list(group)
            self._images([source for source in some if isinstance(source, ImageFile)])
            for source in some:
                if not isinstance(source, ImageFile) and not self._stop.requested:
                    self._media(source)
        self._tally.ended_by = self._stop.number

    def _images(self, sources: Sequence[ImageFile]) -> None:
        if self._stop.requested:
            return
        with closing(self._predictor.stream_with_images(s.path for s in sources)) as results:
            for source, result in zip(sources, results, strict=True):
                self._show.advance()
                if isinstance(result, ImageError):
                    self._skip(result)
                else:
                    self._put(source, self._naming.names[source], *result)
                if self._stop.requested:
                    break

    def _media(self, source: Video | StandardInput) -> None:
        """Open and read in another thread, so that what hangs holds up no end."""
        is_live = isinstance(source, Video) and source.is_live
        with ExitStack() as stack:
            left = threading.Event()

            def is_over() -> bool:
                return left.is_set() or self._stop.requested

            opened = _parts(partial(self._open, source, is_over))
            parts = stack.enter_context(closing(ahead(opened, until=is_over)))
            try:
                media = next(parts, None)
            except MindSSDError as error:  # it cannot be read, or not without PyAV
                self._skip(error)
                return
            if isinstance(media, VideoReader):
                if is_live:
                    self._show.say(f"{source.name}: Ctrl-C ends it")
                self._frames(source, media, parts, left)
                if is_live and self._stop.number == SIGINT:
                    self._stop.forget()  # which is how it is meant to be ended
            elif media is not None:
                self._still(source, media)

    def _open(
        self, source: Video | StandardInput, is_over: Callable[[], bool]
    ) -> Array | VideoReader:
        media = open_media(source)
        if not isinstance(media, VideoReader):
            if self._asked.follow is not None:
                raise ImageError(still(source.name))
            return media
        reconnect = self._asked.reconnect
        if reconnect is None or not isinstance(source, Video) or not source.is_live:
            return media
        again = partial(open_media, source)
        return Reconnecting(source, media, again, reconnect, self._show.say, is_over)

    def _still(self, source: Source, picture: Array) -> None:
        self._show.advance()
        names = self._naming.as_picture(source)
        for detections in self._predictor.detect([picture]):
            self._put(source, names, picture, detections)

    def _frames(
        self, source: Source, reader: VideoReader, parts: Iterator[Any], left: threading.Event
    ) -> None:
        """Detect frame by frame; what came before a fault or the stop counts."""
        names = self._naming.names[source]
        self._say_cut(source, names)
        self._show.expect(reader.num_frames)
        times: deque[tuple[float, bool]] = deque()
        following: Following | None = None
        faults: list[ImageError] = []
        with ExitStack() as stack:
            video = stack.enter_context(self._writing.video(names, reader.rate))
            pictures = _pictures(parts, times, faults)
            results = stack.enter_context(closing(self._predictor.stream_with_images(pictures)))
            stack.callback(left.set)  # before the results are closed, which end with their frames
            for index, result in enumerate(results):
                self._show.advance()
                if isinstance(result, ImageError):
                    raise result  # a frame is an array, which cannot be unreadable
                seconds, after_break = times.popleft()
                stem = names.frame_stem(index)
                seen = Seen(source.name, stem, *result, frame=index, seconds=seconds)
                if self._asked.follow is not None:
                    try:
                        following = following or self._begin(seen, reader.rate)
                    except ConfigError as error:  # a line is not on this video's pictures
                        faults.append(ImageError(f"{source.name}: {error}"))
                        break
                    seen = following.see(seen, after_break)
                self._writing.put(seen, video)
                if self._stop.requested:
                    break
        if reader.num_lost:
            lost = counted(reader.num_lost, "frame")
            self._show.say(f"{source.name}: {lost} could not be decoded")
        for fault in faults:
            self._skip(fault)

    def _begin(self, first: Seen, rate: float) -> Following:
        """What follows the objects of a video from its first frame on."""
        assert self._asked.follow is not None
        size = (first.picture.shape[0], first.picture.shape[1])
        following = Following(self._asked.follow, self._asked.thresholds, rate, size)
        self._tally.totals.expect(first.source, self._asked.follow.places)
        return following

    def _put(self, source: Source, names: Names, picture: Array, detections: Detections) -> None:
        self._say_cut(source, names)
        self._writing.put(Seen(source.name, names.stem, picture, detections, names.picture))

    def _say_cut(self, source: Source, names: Names) -> None:
        if names.is_cut:
            self._show.say(f"{source.name}: its name is too long; its files are {names.stem}…")

    def _skip(self, error: MindSSDError) -> None:
        self._tally.errors.append(error)
        self._show.say(f"skipped: {error}")


def _parts(open_source: Callable[[], Array | VideoReader]) -> Iterator[Any]:
    """What a source is, opened, and if it moves, its frames behind it."""
    media = open_source()
    if not isinstance(media, VideoReader):
        yield media
        return
    with closing(media):
        yield media
        yield from media.frames()


def _pictures(
    frames: Iterable[Frame], times: deque[tuple[float, bool]], faults: list[ImageError]
) -> Iterator[Array]:
    """The frames' pictures up to an ImageError, which goes into `faults`.

    Their times, and whether they are the first after a break, go into `times`.
    """
    try:
        for frame in frames:
            times.append((frame.seconds, frame.after_break))
            yield frame.image
    except ImageError as error:
        faults.append(error)
