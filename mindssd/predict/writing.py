"""All that a job leaves in its folder: the sinks that were asked for, behind one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from mindssd.errors import ConfigError, MindSSDError, OutputError
from mindssd.files import remove_left_behind
from mindssd.predict.following import Follow
from mindssd.predict.naming import (
    CONTACT_SHEET,
    COUNTS_FILE,
    CROPS_FOLDER,
    CSV_FILE,
    JSON_FILE,
    LABELS_FOLDER,
    Names,
)
from mindssd.predict.progress import Display, Tally
from mindssd.predict.sinks.base import Seen, Sink, Writers
from mindssd.predict.sinks.coco_json import CocoJson
from mindssd.predict.sinks.crops import Crops
from mindssd.predict.sinks.drawn import DrawnImages, DrawnVideo
from mindssd.predict.sinks.growing import Reserve
from mindssd.predict.sinks.sheet import ContactSheet
from mindssd.predict.sinks.table import CountsTable, CsvTable
from mindssd.predict.sinks.yolo import YoloLabels
from mindssd.weights.safetensors_file import ModelMetadata

SAVED = ("drawn", "json", "csv", "yolo", "crops")
"""What `save` may name."""


@dataclass(frozen=True)
class Outputs:
    """What to leave in the folder `out`."""

    out: Path
    save: Sequence[str] = ("drawn", "json")
    sheet: bool = False

    def __post_init__(self) -> None:
        for name in self.save:
            if name not in SAVED:
                raise ConfigError(f"--save {name}: expected some of {', '.join(SAVED)}")
        if not self.save and not self.sheet:
            raise ConfigError(f"--save is empty: expected some of {', '.join(SAVED)}")


class Writing:
    """Gives each image to the sinks that are wanted.

    A context: what was seen is kept at its end, whatever ends it, and the files of an earlier call
    stay where nothing was. What cannot be written while the rest can is said and goes into `tally`;
    what ends the writing is the MindSSDError of `put` or of the context's end.
    """

    def __init__(
        self,
        outputs: Outputs,
        out: Path,
        metadata: ModelMetadata,
        show: Display,
        tally: Tally,
        follow: Follow | None = None,
    ) -> None:
        self._out = out
        self._save = frozenset(outputs.save)
        self._show = show
        self._tally = tally
        make_folder(out)
        for folder in (out, out / LABELS_FOLDER, *(out / CROPS_FOLDER).glob("*")):
            remove_left_behind(folder)
        self._writers = Writers(self._note)
        self._reserve = Reserve(out)
        self._sinks: list[Sink] = []
        try:
            self._open(metadata, outputs.sheet, follow)
        except BaseException:
            self._close(keep=False)
            raise

    def _open(self, metadata: ModelMetadata, sheet: bool, follow: Follow | None) -> None:
        out, names = self._out, metadata.class_names
        totals = self._tally.totals if follow is not None and follow.places else None
        if "json" in self._save:
            self._sinks.append(
                CocoJson(out / JSON_FILE, names, metadata.category_ids, self._reserve, totals)
            )
        if "csv" in self._save:
            self._sinks.append(CsvTable(out / CSV_FILE, is_followed=follow is not None))
        if totals is not None:
            self._sinks.append(CountsTable(out / COUNTS_FILE))
        if "yolo" in self._save:
            make_folder(out / LABELS_FOLDER)
            self._sinks.append(YoloLabels(out / LABELS_FOLDER, self._writers))
        if "crops" in self._save:
            self._sinks.append(Crops(out / CROPS_FOLDER, names, self._writers))
        if "drawn" in self._save:
            self._sinks.append(DrawnImages(out, self._writers))
        if sheet:
            self._sinks.append(ContactSheet(out / CONTACT_SHEET, self._writers))

    def put(self, seen: Seen, video: DrawnVideo | None = None) -> None:
        """Take one image, or a frame with the video that it is drawn into."""
        self._tally.num_images += 1
        self._tally.num_detections += len(seen.detections)
        for crossing in seen.crossings:
            class_name = seen.detections.class_names[crossing.class_id]
            self._tally.totals.add(seen.source, crossing, class_name)
        for sink in self._sinks if video is None else [*self._sinks, video]:
            try:
                sink.put(seen)
            except OutputError as error:
                self._note(error)

    @contextmanager
    def video(self, names: Names, rate: float) -> Iterator[DrawnVideo | None]:
        """A file that takes the drawn frames of a video, or None where they are not wanted."""
        if "drawn" not in self._save:
            yield None
            return
        video = DrawnVideo(self._out / names.video, rate, self._writers)
        try:
            yield video
        except BaseException:
            self._reserve.release()  # the disk may be full, and the video needs an end too
            raise
        finally:
            try:
                video.close(keep=True)
            except OutputError as error:
                self._note(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        is_whole = kind is None and self._tally.ended_by is None
        faults = self._close(keep=is_whole or self._tally.num_images > 0)
        if kind is None and faults:
            raise faults[0]
        for fault in faults:
            self._show.say(f"not written: {fault}")

    def _close(self, keep: bool) -> list[MindSSDError]:
        """End all sinks, and tell what of theirs could not be written."""
        faults = []
        self._reserve.release()
        ends: list[Callable[[], None]] = [self._writers.finish]
        ends += [partial(sink.close, keep) for sink in self._sinks]
        for end in ends:
            try:
                end()
            except OutputError as error:
                self._note(error)
            except MindSSDError as error:
                faults.append(error)
        return faults

    def _note(self, error: OutputError) -> None:
        self._tally.errors.append(error)
        self._show.say(f"not written: {error}")


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MindSSDError(
            f"{folder}: cannot be made ({error.strerror}); choose another --out"
        ) from error
