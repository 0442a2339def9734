"""Detect in files, videos and streams, and write what was found."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mindssd.detector import Detector, load
from mindssd.errors import ConfigError, ImageError, MindSSDError
from mindssd.images import IMAGE_SUFFIXES
from mindssd.predict.frames import Frame
from mindssd.predict.kinds import VIDEO_SUFFIXES
from mindssd.predict.media import open_media
from mindssd.predict.sinks import (
    CROPS_FOLDER,
    CSV_FILE,
    JSON_FILE,
    LABELS_FOLDER,
    Place,
    Tables,
    write_crops,
    write_image,
    write_yolo,
)
from mindssd.predict.sources import (
    ImageFile,
    Source,
    StandardInput,
    Video,
    find_sources,
)
from mindssd.predict.video import VideoReader
from mindssd.predict.video_writer import VideoWriter
from mindssd.predictor import ahead
from mindssd.types import Array, Detections
from mindssd.visualize import contact_sheet, draw

SAVED = ("drawn", "json", "csv", "yolo", "crops")
"""What `save` may name."""

SHEET_IMAGES = 24
"""A contact sheet shows at most so many."""

_SHEET = "contact_sheet.jpg"
_RESERVED = (_SHEET, JSON_FILE, CSV_FILE, LABELS_FOLDER, CROPS_FOLDER)
_WRITERS = 2
"""Threads that draw and encode; the network has the cores otherwise."""


@dataclass(frozen=True)
class Wanted:
    """What to leave in the folder `out`, and of which detections."""

    out: Path
    save: Sequence[str] = ("drawn", "json")
    sheet: bool = False
    classes: Sequence[str] | None = None
    score_threshold: float | None = None

    def __post_init__(self) -> None:
        for name in self.save:
            if name not in SAVED:
                raise ConfigError(f"--save {name}: expected some of {', '.join(SAVED)}")
        if not self.save and not self.sheet:
            raise ConfigError(f"--save is empty: expected some of {', '.join(SAVED)}")
        if self.classes is not None and not self.classes:
            raise ConfigError(
                "--classes is empty: expected names with commas; leave it out for all"
            )


def predict_files(
    model: Path,
    words: Sequence[str],
    wanted: Wanted,
    settings: Mapping[str, Any],
    console: Console,
) -> list[ImageError]:
    """Detect in all that `words` name; return the errors of what could not be read.

    `settings` are further ones of `mindssd.load`. MindSSDError, before anything is done, where a
    file to be written is a source.
    """
    if model.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
        raise ConfigError(f"{model} is no model, which comes first: mindssd predict MODEL SOURCE…")
    found = find_sources(words)
    sources = found.sources
    out = wanted.out.expanduser()
    names = _output_names(sources)
    _require_other_files(sources, out, names)
    detector = load(model, score_threshold=wanted.score_threshold, **settings)
    chosen = _class_ids(detector, wanted.classes)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if "yolo" in wanted.save:
            (out / LABELS_FOLDER).mkdir(exist_ok=True)
    except OSError as error:
        raise MindSSDError(
            f"{out}: cannot be made ({error.strerror}); choose another --out"
        ) from error
    for note in found.notes:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    with _bar(console, sources) as bar, _Writing(detector, wanted, out) as writing:
        job = _Job(detector, writing, names, chosen, bar, console)
        for kind, group in groupby(sources, key=type):
            if kind is ImageFile:
                job.images([source for source in group if isinstance(source, ImageFile)])
                continue
            for source in group:
                if not isinstance(source, ImageFile):
                    job.media(source)
    rate = job.done / max(time.perf_counter() - job.began, 1e-9)
    unit = "frame" if all(isinstance(s, Video) for s in sources) else "image"
    console.print(
        f"{_count(writing.num_detections, 'detection')} in {_count(job.done, unit)}: {out}"
        + (f"; {_count(len(job.errors), 'file')} skipped" if job.errors else "")
        + (f"; {rate:.1f} {unit}s/s" if job.done > 1 else ""),
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return job.errors


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")


class _Job:
    """Goes through the sources with one detector."""

    def __init__(
        self,
        detector: Detector,
        writing: "_Writing",
        names: Mapping[Source, str],
        chosen: Array | None,
        bar: "_Bar",
        console: Console,
    ) -> None:
        self._predictor = detector.predictor
        self._writing = writing
        self._names = names
        self._stems = _unique({source: source.stem for source in names}, set())
        self._chosen = chosen
        self._bar = bar
        self._console = console
        self.errors: list[ImageError] = []
        self.done = 0
        self.began = time.perf_counter()

    def images(self, sources: Sequence[ImageFile]) -> None:
        results = self._predictor.stream_with_images([source.path for source in sources])
        for source, result in zip(sources, results, strict=True):
            self._bar.advance()
            if isinstance(result, ImageError):
                self._skip(result)
            else:
                name = self._names[source]
                self._put(Place(source.name, self._stems[source]), name, *result)

    def media(self, source: Video | StandardInput) -> None:
        """One image, or a video."""
        try:
            media = open_media(source)
        except ImageError as error:
            self._skip(error)
            return
        if isinstance(media, VideoReader):
            self._video(source, media)
            return
        self._bar.advance()
        for result in self._predictor.stream_with_images([media]):
            if not isinstance(result, ImageError):
                name = self._names[source].removesuffix(".mp4")
                name = name if Path(name).suffix in {".jpg", ".jpeg", ".png"} else f"{name}.jpg"
                self._put(Place(source.name, self._stems[source]), name, *result)

    def _video(self, source: Video | StandardInput, reader: VideoReader) -> None:
        """Frame by frame; a live one goes on until it ends or is interrupted."""
        is_live = isinstance(source, Video) and source.is_live
        self._bar.expect(reader.num_frames)
        faults: list[ImageError] = []
        seconds: deque[float] = deque()
        with ExitStack() as stack:
            video = stack.enter_context(self._writing.video(self._names[source], reader.rate))
            if is_live:  # which is how it is meant to be ended: what was seen is kept
                self._console.print(f"{source.name}: Ctrl-C ends it", highlight=False)
                stack.enter_context(suppress(KeyboardInterrupt))
            taken = ahead(_until_fault(reader.frames(), faults))
            images = stack.enter_context(_closing(_images(taken, seconds)))
            results = self._predictor.stream_with_images(images)
            for index, result in enumerate(results):
                self._bar.advance()
                if isinstance(result, ImageError):
                    raise result  # a frame is an array, which cannot be unreadable
                place = Place(source.name, self._stems[source], index, seconds.popleft())
                self._put(place, None, *result, video)
        if reader.num_lost:
            lost = f"{source.name}: {_count(reader.num_lost, 'frame')} could not be decoded"
            self._console.print(lost, highlight=False, markup=False, soft_wrap=True)
        for fault in faults:
            self._skip(fault)

    def _put(
        self,
        place: Place,
        name: str | None,
        picture: Array,
        detections: Detections,
        video: "_VideoFile | None" = None,
    ) -> None:
        if self._chosen is not None:
            detections = detections.of_classes(self._chosen)
        self.done += 1
        self._writing.put(place, name, picture, detections, video)

    def _skip(self, error: ImageError) -> None:
        self.errors.append(error)
        self._console.print(f"skipped: {error}", highlight=False, markup=False, soft_wrap=True)


class _Writing:
    """Draws and writes beside the detection, some images behind it, and the tables at the end.

    A context: what could not be written is the MindSSDError of `put` or of its end.
    """

    def __init__(self, detector: Detector, wanted: Wanted, out: Path) -> None:
        self._save = frozenset(wanted.save)
        self._sheet = wanted.sheet
        self._out = out
        self._tables = Tables(detector.metadata)
        self._pool = ThreadPoolExecutor(_WRITERS, thread_name_prefix="mindssd-writer")
        self._pending: deque[Future[None]] = deque()
        self._for_sheet: list[Array] = []
        self.num_detections = 0

    def __enter__(self) -> "_Writing":
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        try:
            if kind is None:
                self._wait(0)
        finally:
            self._pool.shutdown(cancel_futures=True)
        if kind is not None:
            return
        if "json" in self._save:
            self._tables.write_json(self._out / JSON_FILE)
        if "csv" in self._save:
            self._tables.write_csv(self._out / CSV_FILE)
        if self._for_sheet:
            write_image(self._out / _SHEET, contact_sheet(self._for_sheet))

    @contextmanager
    def video(self, name: str, rate: float) -> Iterator["_VideoFile | None"]:
        """A file that takes the drawn frames of a video, or None where they are not wanted."""
        if "drawn" not in self._save:
            yield None
            return
        with _VideoFile(self._out / name, rate) as video:
            yield video
            video.finish()

    def put(
        self,
        place: Place,
        name: str | None,
        picture: Array,
        detections: Detections,
        video: "_VideoFile | None" = None,
    ) -> None:
        """Take one image's detections; `name` is the drawn image's file, None of a frame."""
        self.num_detections += len(detections)
        if self._save & {"json", "csv"}:
            self._tables.add(place, picture, detections)
        if "yolo" in self._save:
            path = self._out / LABELS_FOLDER / f"{place.file_stem}.txt"
            self._later(lambda: write_yolo(path, picture, detections))
        if "crops" in self._save:
            folder = self._out / CROPS_FOLDER
            self._later(lambda: write_crops(folder, place.file_stem, picture, detections))
        if self._sheet and len(self._for_sheet) < SHEET_IMAGES:
            self._for_sheet.append(draw(picture, detections, 0.0))
        if video is not None:
            drawn = self._pool.submit(draw, picture, detections, 0.0, enlarge=False)
            video.put(drawn, place.seconds or 0.0)
        elif "drawn" in self._save and name is not None:
            path = self._out / name
            self._later(lambda: write_image(path, draw(picture, detections, 0.0)))

    def _later(self, work: Callable[[], None]) -> None:
        self._pending.append(self._pool.submit(work))
        self._wait(4 * _WRITERS)

    def _wait(self, left: int) -> None:
        while len(self._pending) > left:
            self._pending.popleft().result()


class _VideoFile:
    """A video of drawn frames, as large as the first; drawn in threads, written in order."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path = path
        self._rate = rate
        self._drawing: deque[tuple[Future[Array], float]] = deque()
        self._stack = ExitStack()
        self._writer: VideoWriter | None = None

    def __enter__(self) -> "_VideoFile":
        self._stack.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)

    def put(self, frame: Future[Array], seconds: float) -> None:
        self._drawing.append((frame, seconds))
        self._write(4 * _WRITERS)

    def finish(self) -> None:
        self._write(0)

    def _write(self, left: int) -> None:
        while len(self._drawing) > left:
            future, seconds = self._drawing.popleft()
            frame = future.result()
            if self._writer is None:
                size = (frame.shape[0], frame.shape[1])
                self._writer = self._stack.enter_context(VideoWriter(self._path, size, self._rate))
            self._writer.write(frame, seconds)


class _Bar:
    """The progress on a terminal: how many of how many, and images a second."""

    def __init__(self, progress: Progress, total: int | None) -> None:
        self._progress = progress
        self._total = total
        self._task = progress.add_task("detecting", total=total)

    def expect(self, count: int | None) -> None:
        """Make room for so many more; None where the end is not known."""
        self._total = None if self._total is None or count is None else self._total + count
        self._progress.update(self._task, total=self._total)

    def advance(self) -> None:
        self._progress.advance(self._task)


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} images/s")


@contextmanager
def _bar(console: Console, sources: Sequence[Source]) -> Iterator[_Bar]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
    )
    disable = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disable) as progress:
        yield _Bar(progress, sum(not isinstance(source, Video) for source in sources))


@contextmanager
def _closing(frames: Iterator[Array]) -> Iterator[Iterator[Array]]:
    """Close a generator at the end, so that the camera or file is let go."""
    try:
        yield frames
    finally:
        if isinstance(frames, Generator):
            frames.close()


def _images(frames: Iterator[Frame], seconds: deque[float]) -> Iterator[Array]:
    """The frames' pictures; their times go into `seconds`."""
    with _closing(frames):  # type: ignore[arg-type]
        for frame in frames:
            seconds.append(frame.seconds)
            yield frame.image


def _until_fault(frames: Iterable[Frame], faults: list[ImageError]) -> Iterator[Frame]:
    """The frames up to an ImageError, which goes into `faults`: what came before it counts."""
    try:
        yield from frames
    except ImageError as error:
        faults.append(error)


def _class_ids(detector: Detector, names: Sequence[str] | None) -> Array | None:
    if names is None:
        return None
    known = detector.class_names
    for name in names:
        if name not in known:
            raise ConfigError(f"--classes {name}: the model knows {', '.join(known)}")
    return np.array([known.index(name) for name in names], np.int32)


def _output_names(sources: Sequence[Source]) -> dict[Source, str]:
    """The file's own name, a video's as .mp4; a number is added where two have the same."""
    wanted = {}
    for source in sources:
        suffix = ".mp4"
        if isinstance(source, ImageFile):
            suffix = source.path.suffix
            suffix = suffix if suffix.lower() in {".jpg", ".jpeg", ".png"} else ".jpg"
        wanted[source] = f"{source.stem}{suffix}"
    return _unique(wanted, set(_RESERVED))


def _unique(wanted: Mapping[Source, str], taken: set[str]) -> dict[Source, str]:
    """Number the names that occur again or are taken."""
    names = {}
    for source, name in wanted.items():
        stem, dot, suffix = name.rpartition(".") if name[-5:].count(".") else (name, "", "")
        unique, number = name, 2
        while unique.casefold() in taken:  # some file systems take A.jpg and a.jpg for one file
            unique, number = f"{stem}_{number}{dot}{suffix}", number + 1
        taken.add(unique.casefold())
        names[source] = unique
    return names


def _require_other_files(sources: Sequence[Source], out: Path, names: Mapping[Source, str]) -> None:
    """Refuse to write over a source, under whatever name it goes."""
    paths = [s.path for s in sources if isinstance(s, ImageFile | Video) and s.path.exists()]
    originals = {_identity(path) for path in paths}
    for name in (*names.values(), *_RESERVED):
        if (out / name).exists() and _identity(out / name) in originals:
            raise _would_overwrite(out / name)
    folders = [(out / name).resolve() for name in (LABELS_FOLDER, CROPS_FOLDER)]
    for path in paths:
        if any(path.resolve().is_relative_to(folder) for folder in folders):
            raise _would_overwrite(path)


def _would_overwrite(path: Path) -> MindSSDError:
    return MindSSDError(
        f"{path} is one of the sources and would be overwritten; choose another folder with --out"
    )


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
