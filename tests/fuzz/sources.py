"""Random folders of good, bad and oddly named files, predicted in with random options.

Each file is made with what should be found in it. A finding is a crash, a hang, a source without
exactly its results, or results that do not agree with each other.
"""

import csv
import io
import itertools
import json
import os
import random
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from signal import SIGTERM
from typing import Any
from unittest import mock

import av
import numpy as np
from PIL import Image
from rich.console import Console

from mindssd.errors import ImageError, MindSSDError, OutputError
from mindssd.predict import job
from mindssd.predict.stop import Stop
from mindssd.predict.video_writer import VideoWriter
from mindssd.predict.writing import SAVED, Outputs
from mindssd.types import Array
from tests.predict import formula

PATIENCE_S = 120.0
SHADES = {"": 20, "cat": 120, "dog": 220}
"""What is found in a half of a picture, by its brightness."""

_SIZE = (24, 32)
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".JPG", ".png", ".bmp", ".tif", ".webp", ".gif", ".ppm")
_STEMS = (
    *("a", "A", "a_1", "a_2", "clip", "clip_000001", "clip_000002", "CLIP_000000", "stdin"),
    *("contact_sheet", "detections", "labels", "crops", "100%", "a b", " a", "a.", "-", "[a]"),
    *("caf\u00e9", "cafe\u0301", "\u732b", "a\nb", "a\x1b[2J", "a:b", "http:", "0", "'\"", "*?"),
    *(b"\xff\xfe".decode("utf-8", "surrogateescape"), "n" * 245, "\u00fc" * 122, "x" * 200),
)

Found = tuple[str, ...]
"""The classes in a picture, the surest first."""


@dataclass(frozen=True)
class Made:
    """A file, and what is in each of its pictures; `is_sure` where nothing else may come of it."""

    path: Path
    pictures: tuple[Found, ...]
    is_video: bool = False
    is_sure: bool = True


@dataclass
class Trial:
    """One call of the job, and how it went."""

    made: list[Made]
    out: Path
    save: list[str]
    sheet: bool
    tile: int | None
    stop_after: int | None
    errors: list[MindSSDError] = field(default_factory=list)
    printed: str = ""


def run(seed: int, seconds: float, say: Callable[[str], None]) -> list[str]:
    """Try for so long; a line for each finding, with the seed that leads to it again."""
    findings: list[str] = []
    end = time.monotonic() + seconds
    for number in itertools.count():
        if time.monotonic() >= end:
            break
        with tempfile.TemporaryDirectory(prefix="fuzz-sources-") as folder:
            found = try_once(f"{seed}-{number}", Path(folder))
        for finding in found:
            say(f"{seed}-{number}: {finding}")
            findings.append(f"{seed}-{number}: {finding}")
        if any(finding.startswith("hang") for finding in found):
            break  # its thread still holds what the next one would need
        if number % 50 == 49:
            say(f"{number + 1} folders tried, {len(findings)} findings")
    return findings


def try_once(seed: str, folder: Path) -> list[str]:
    """What is wrong with one random folder's results."""
    rng = random.Random(seed)
    made = _make_files(rng, folder / "in")
    trial = Trial(
        made,
        folder / "out",
        rng.sample(SAVED, rng.randint(1, len(SAVED))),
        sheet=rng.random() < 0.3,
        tile=rng.choice([None, None, 32]),
        stop_after=rng.choice([None, None, None, rng.randint(0, 6)]),
    )
    if rng.random() < 0.3:
        trial.save = list(SAVED)
    failed: list[str] = []

    def work() -> None:
        try:
            _predict(trial, _words(rng, folder / "in", made))
        except MindSSDError as error:
            if not (isinstance(error, ImageError) and not made):
                failed.append(f"refused: {error}")
        except BaseException:
            failed.append(f"crash: {traceback.format_exc()}")

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    if thread.is_alive():
        return [f"hang: {trial}"]
    if failed or not made:
        return failed
    try:
        _check(trial)
    except Exception as error:
        return [f"{error!r} in {trial}"]
    return []


def _predict(trial: Trial, words: list[str]) -> None:
    printed = io.StringIO()
    settings = {} if trial.tile is None else {"tile": trial.tile}
    stop = _StopAfter(trial.stop_after)
    with mock.patch.object(job, "load", stop.load):
        trial.errors = job.predict_files(
            Path("model"),
            words,
            Outputs(trial.out, trial.save, trial.sheet),
            settings,
            Console(file=printed, width=200),
            stop,
        ).errors
    trial.printed = printed.getvalue()


class _StopAfter(Stop):
    """Asks for the end once the network has looked so many times."""

    def __init__(self, looks: int | None) -> None:
        super().__init__()
        self._left = looks

    def load(self, path: Path, **settings: Any) -> Any:
        detector = formula.load(path, **settings)
        predictor = getattr(detector.predictor, "predictor", detector.predictor)
        original = predictor.forward

        def forward(images: Array) -> tuple[Array, ...]:
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    self.number = SIGTERM
            return original(images)

        object.__setattr__(predictor, "forward", forward)
        if predictor is not detector.predictor:
            object.__setattr__(detector.predictor._of_views, "forward", forward)
        return detector


def _check(trial: Trial) -> None:
    """AssertionError for what does not agree."""
    out, save = trial.out, set(trial.save)
    kinds = {path.name for path in out.iterdir()}
    hidden = [path for path in out.rglob("*") if path.name.startswith(".mindssd-")]
    assert not hidden, hidden
    is_whole = trial.stop_after is None
    is_sure = is_whole and all(made.is_sure for made in trial.made)
    expected = Counter(found for made in trial.made for found in made.pictures)
    unreadable = sum(not made.pictures for made in trial.made)
    not_written = [error for error in trial.errors if isinstance(error, OutputError)]
    assert not not_written, not_written
    if is_sure:
        assert len(trial.errors) == unreadable, (len(trial.errors), unreadable)
    if "json" in save and (is_whole or "detections.json" in kinds):
        seen = _check_json(trial, is_sure)
        assert is_whole is False or not is_sure or seen == expected, (seen, expected)
        if "csv" in save:
            with (out / "detections.csv").open(newline="") as file:
                rows = list(csv.DictReader(file))
            assert Counter(row["class"] for row in rows) == _classes(seen), rows
        if "yolo" in save:
            assert _labels(out) == seen, (_labels(out), seen)
        if "crops" in save:
            crops = Counter(path.parent.name for path in out.glob("crops/*/*.jpg"))
            assert crops == _classes(seen), crops
    if "drawn" in save:
        _check_drawn(trial, is_sure)


def _check_json(trial: Trial, is_sure: bool) -> Counter[Found]:
    """What the JSON has of each picture; it names each source as often as it should."""
    tree = json.loads((trial.out / "detections.json").read_text(encoding="utf-8"))
    images, annotations = tree["images"], tree["annotations"]
    assert [image["id"] for image in images] == list(range(1, len(images) + 1))
    assert [a["id"] for a in annotations] == list(range(1, len(annotations) + 1))
    by_image: dict[int, list[str]] = {image["id"]: [] for image in images}
    for annotation in annotations:
        by_image[annotation["image_id"]].append(annotation["category_name"])
    if is_sure:
        named = Counter(image["file_name"] for image in images)
        shown = {str(m.path).encode("utf-8", "surrogateescape"): m for m in trial.made}
        expected = Counter({name.decode("utf-8", "replace"): 0 for name in shown})
        for name, made in shown.items():
            expected[name.decode("utf-8", "replace")] += len(made.pictures)
        assert named == +expected, (named, expected)
    return Counter(tuple(classes) for classes in by_image.values())


def _labels(out: Path) -> Counter[Found]:
    return Counter(
        tuple(formula.CLASS_NAMES[int(line[0])] for line in path.read_text().splitlines())
        for path in (out / "labels").iterdir()
    )


def _classes(seen: Counter[Found]) -> Counter[str]:
    return Counter(name for found in seen.elements() for name in found)


def _check_drawn(trial: Trial, is_sure: bool) -> None:
    """A drawing for each picture, with the shades of its own labels; videos with each frame."""
    out = trial.out
    drawn = [
        path
        for path in out.iterdir()
        if path.is_file()
        and path.suffix.lower() in (".jpg", ".jpeg", ".png")
        and not (trial.sheet and path.name == "contact_sheet.jpg")
    ]
    for path in drawn:
        shades = _shades(np.asarray(Image.open(path).convert("RGB")))
        label = out / "labels" / f"{path.stem}.txt"
        if "yolo" in trial.save:
            named = [formula.CLASS_NAMES[int(line[0])] for line in label.read_text().splitlines()]
            assert sorted(named) == sorted(filter(None, shades)), (path, shades)
    videos = []
    for path in out.glob("*.mp4"):
        with av.open(str(path)) as container:
            videos.append(sum(1 for _ in container.decode(video=0)))
    if is_sure:
        pictures = [made for made in trial.made if made.pictures and not made.is_video]
        assert len(drawn) == len(pictures), (len(drawn), len(pictures))
        expected = Counter(len(made.pictures) for made in trial.made if made.is_video)
        assert Counter(videos) == expected, (videos, expected)


def _shades(picture: Array) -> list[str]:
    """What is found in the halves of a drawn picture, at points that no letters cover."""
    height, width = picture.shape[:2]
    row = picture[int(0.6 * height)]
    points = (row[width // 4].mean(), row[3 * width // 4].mean())
    return [min(SHADES, key=lambda name: abs(SHADES[name] - point)) for point in points]


def _make_files(rng: random.Random, folder: Path) -> list[Made]:
    folder.mkdir()
    made: list[Made] = []
    kinds = [_picture, _picture, _picture, _video, _bad]
    kinds += [_cut_video] * (rng.random() < 0.3)
    stems = rng.sample(_STEMS, rng.randint(1, 6))  # few, so that they meet
    if rng.random() < 0.3:
        stems = ["clip", "clip_000001", "CLIP_000000", "clip_000001_2"]
    for _ in range(rng.randint(0, 12)):
        place = folder / rng.choice(["", "", "", "b", "c c"])
        place.mkdir(exist_ok=True)
        found = rng.choice(kinds)(rng, place / rng.choice(stems))
        if found is not None:
            made = [m for m in made if m.path != found.path] + [found]
    return made


def _random_picture(rng: random.Random) -> tuple[Array, Found]:
    left, right = rng.choice(list(SHADES)), rng.choice(list(SHADES))
    picture = np.full((*_SIZE, 3), SHADES[left], np.uint8)
    picture[:, _SIZE[1] // 2 :] = SHADES[right]
    found = [name for name in (left, right) if name]
    return picture, tuple(sorted(found, key=["dog", "cat"].index))


def _with_suffix(stem: Path, suffix: str) -> Path | None:
    path = stem.with_name(stem.name + suffix)
    is_too_long = len(os.fsencode(path.name)) > 255
    return None if is_too_long or path.is_dir() else path


def _picture(rng: random.Random, stem: Path) -> Made | None:
    path = _with_suffix(stem, rng.choice(_PICTURE_SUFFIXES))
    if path is None:
        return None
    picture, found = _random_picture(rng)
    kind = rng.choice(["JPEG", "PNG"]) if rng.random() < 0.1 else None
    path.unlink(missing_ok=True)
    Image.fromarray(picture).save(path, kind or Image.registered_extensions()[path.suffix.lower()])
    return Made(path, (found,))


def _video(rng: random.Random, stem: Path) -> Made | None:
    path = _with_suffix(stem, rng.choice([".mp4", ".MP4", ".m4v", ".mov"]))
    if path is None:
        return None
    path.unlink(missing_ok=True)
    pictures = [_random_picture(rng) for _ in range(rng.randint(1, 8))]
    with VideoWriter(path, _SIZE, 10) as video:
        for index, (picture, _) in enumerate(pictures):
            video.write(picture, index / 10)
    return Made(path, tuple(found for _, found in pictures), is_video=True)


def _cut_video(rng: random.Random, stem: Path) -> Made | None:
    made = _video(rng, stem)
    if made is None:
        return None
    data = made.path.read_bytes()
    made.path.write_bytes(data[: rng.randint(1, len(data) - 1)])
    return Made(made.path, made.pictures, is_video=True, is_sure=False)


def _bad(rng: random.Random, stem: Path) -> Made | None:
    path = _with_suffix(stem, rng.choice([*_PICTURE_SUFFIXES, ".mp4", ".avi"]))
    if path is None:
        return None
    path.unlink(missing_ok=True)
    kind = rng.choice(["empty", "text", "cut", "link"])
    if kind == "link":
        path.symlink_to("nowhere")
    elif kind == "cut":
        data = io.BytesIO()
        Image.fromarray(_random_picture(rng)[0]).save(data, "PNG")
        path.write_bytes(data.getvalue()[: rng.randint(1, 60)])
    else:
        path.write_text("no image" if kind == "text" else "")
    return Made(path, ())


def _words(rng: random.Random, folder: Path, made: list[Made]) -> list[str]:
    """Words that name all files at least once: as they are, by folders, by globs."""
    # A word that is nothing is refused before anything is done, a link in a folder is not.
    folders = {m.path.parent for m in made if m.path.is_symlink() or rng.random() < 0.2}
    words = [str(m.path) for m in made if m.path.parent not in folders] + list(map(str, folders))
    rng.shuffle(words)
    if rng.random() < 0.3 and any(folder.rglob("*.jpg")):
        words.append(f"{escape(str(folder))}/**/*.jpg")
    return words or [str(folder)]
