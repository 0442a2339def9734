"""`mindssd.predict`: what the command of this name does, for a program."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import fspath
from pathlib import Path

from mindssd.errors import ConfigError, MindSSDError
from mindssd.predict.counting import Anchor
from mindssd.predict.following import Follow
from mindssd.predict.job import predict_files
from mindssd.predict.naming import COUNTS_FILE, JSON_FILE
from mindssd.predict.places import find_places
from mindssd.predict.reconnect import DEFAULT_LIMIT_S, Reconnect
from mindssd.predict.stop import Stop
from mindssd.predict.writing import Outputs
from mindssd.training.progress import SteadyConsole


@dataclass(frozen=True)
class Predicted:
    """What was looked at, and where its results are."""

    out: Path
    """The folder."""
    results: Path | None
    """`detections.json` in it, if that was asked for: `results.schema.json` says what it holds."""
    num_images: int
    """Images and frames."""
    num_detections: int
    errors: tuple[MindSSDError, ...]
    """Of what could not be read or written; the rest was done."""
    counts: Path | None = None
    """`counts.csv`, where lines or zones were given: a row for each crossing."""


def predict(
    model: str | Path,
    sources: str | Path | Sequence[str | Path],
    *,
    out: str | Path = "predictions",
    save: str | Sequence[str] = ("drawn", "json"),
    score: float | None = None,
    classes: str | Sequence[str] | None = None,
    max_detections: int | None = None,
    tile: int | None = None,
    overlap: float | None = None,
    sheet: bool = False,
    batch: int = 1,
    device: str | None = None,
    engine: str | None = None,
    runtime: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    track: bool = False,
    count_line: str | Sequence[str] = (),
    count_zone: str | Path | Sequence[str | Path] = (),
    count_anchor: Anchor = "centre",
    reconnect: bool = False,
    reconnect_limit: float = DEFAULT_LIMIT_S,
    quiet: bool = False,
    stop: Stop | None = None,
) -> Predicted:
    """Detect in images, videos and streams, and write what was found: `mindssd predict`.

    `sources` are files, folders, globs and addresses; `save` is some of drawn, json, csv, yolo and
    crops; a text is taken as a list with commas, as on a command line. With `track` objects get
    numbers, and are counted at lines, each "x1,y1,x2,y2" or "NAME=x1,y1,x2,y2", and in zones, each
    a JSON file; both for several in a list (docs/deploy.md). Prints as the command does,
    unless `quiet`. It ends before its sources do where `stop` says so. MindSSDError where nothing
    can be done.
    """
    chosen = None if classes is None else _words(classes)
    if chosen == []:
        raise ConfigError("--classes is empty: expected names with commas; leave it out for all")
    outputs = Outputs(Path(out), _words(save), sheet)
    settings = {
        "score_threshold": score,
        "classes": chosen,
        "max_detections": max_detections,
        "device": device,
        "engine": engine,
        "batch_size": batch,
        "tile": tile,
        "overlap": overlap,
        "runtime": runtime,
        "precision": precision,
        "threads": threads,
    }
    lines = [count_line] if isinstance(count_line, str) else count_line
    for one in lines:
        if not isinstance(one, str):
            raise ConfigError(f'count_line has {one!r}: expected text, as "0,0.5,1,0.5"')
    zones = [count_zone] if isinstance(count_zone, str | Path) else count_zone
    if (lines or zones) and not track:
        raise ConfigError("count_line and count_zone count objects that are followed: give track")
    follow = Follow(find_places(lines, [fspath(z) for z in zones]), count_anchor) if track else None
    words = [sources] if isinstance(sources, str | Path) else sources
    if not words:
        raise ConfigError("no source is given: expected files, folders, globs or addresses")
    tally = predict_files(
        Path(model),
        [fspath(word) for word in words],
        outputs,
        settings,
        SteadyConsole(quiet=quiet),
        stop,
        follow,
        Reconnect(reconnect_limit) if reconnect else None,
    )
    return Predicted(
        out=outputs.out,
        results=outputs.out / JSON_FILE if "json" in outputs.save else None,
        num_images=tally.num_images,
        num_detections=tally.num_detections,
        errors=tuple(tally.errors),
        counts=outputs.out / COUNTS_FILE if follow is not None and follow.places else None,
    )


def _words(text: str | Sequence[str]) -> list[str]:
    parts = text.split(",") if isinstance(text, str) else text
    return [word.strip() for word in parts if word.strip()]
