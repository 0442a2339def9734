"""`--track` from the clip to what is written: numbers, times, counts, drawings."""

import csv
import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from mindssd.errors import ConfigError
from mindssd.predict import job
from mindssd.predict.call import Predicted, predict
from mindssd.predict.following import Follow
from mindssd.predict.frames import Frame
from mindssd.predict.places import find_places
from mindssd.predict.stop import Stop
from mindssd.predict.video import VideoReader
from mindssd.predict.writing import Outputs
from tests.predict import moving

av = pytest.importorskip("av")

RATE = 12
UNTIL = 8.0
ACROSS = 160
GATE = f"gate={ACROSS},0,{ACROSS},180"  # downwards: its left is the right half of the picture


@pytest.fixture(autouse=True)
def _model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "load", moving.load)


@pytest.fixture(scope="module")
def movers() -> list[moving.Mover]:
    return moving.crossing_scene(3)


def times(kind: str) -> list[float]:
    rng = np.random.default_rng(4)
    even = np.arange(0, UNTIL, 1 / RATE)
    if kind == "even":
        return list(even)
    if kind == "with losses":
        return list(even[rng.random(len(even)) > 0.2])
    steps = np.cumsum(rng.choice([1 / 30, 1 / 12, 0.2], 200, p=[0.3, 0.6, 0.1]))
    return [0.0, *steps[steps < UNTIL]]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, movers: list[moving.Mover]) -> Path:
    return moving.write(tmp_path_factory.mktemp("clips") / "ten.mp4", movers, times("even"), RATE)


@pytest.fixture(scope="module")
def zones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zones") / "zones.json"
    path.write_text('{"name": "right half", "polygon": [[0.5, 0], [1, 0], [1, 1], [0.5, 1]]}')
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def counted(out: Path, place: str) -> Counter[tuple[str, str]]:
    rows = rows_of(out / "counts.csv")
    return Counter((row["class"], row["direction"]) for row in rows if row["place"] == place)


def expected(movers: list[moving.Mover]) -> Counter[tuple[str, str]]:
    ways = moving.crossings_of(movers, ACROSS, UNTIL)
    return Counter({(n, "in" if to == "right" else "out"): k for (n, to), k in ways.items()})


@pytest.mark.parametrize("kind", ["even", "with losses", "uneven"])
def test_ten_objects_that_cross_are_counted_exactly(kind: str, tmp_path: Path, zones: Path) -> None:
    movers = moving.crossing_scene(5)
    clip = moving.write(tmp_path / "ten.mp4", movers, times(kind), RATE)
    done = predict(
        "model",
        clip,
        out=tmp_path / "out",
        save="json,csv",
        track=True,
        count_line=GATE,
        count_zone=zones,
        quiet=True,
    )
    truth = expected(movers)
    assert done.counts == tmp_path / "out" / "counts.csv" and sum(truth.values()) == 10
    assert counted(tmp_path / "out", "gate") == truth
    zone = counted(tmp_path / "out", "right half")
    for name in moving.CLASS_NAMES:  # those that come from the right appear in it
        assert zone[name, "in"] == truth[name, "in"] and zone[name, "out"] == truth[name, "out"]
        assert zone[name, "appeared"] == truth[name, "out"]
    when = sorted(float(row["seconds"]) for row in rows_of(tmp_path / "out" / "counts.csv"))
    assert 0 < when[0] < when[-1] < UNTIL


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, clip: Path, zones: Path
) -> tuple[Path, Predicted]:
    out = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "load", moving.load)
        done = predict(
            "model",
            clip,
            out=out,
            save="drawn,json,csv",
            track=True,
            count_line=GATE,
            count_zone=zones,
            quiet=True,
        )
        return out, done


def test_all_that_is_written_agrees(finished: tuple[Path, Predicted]) -> None:
    out, done = finished
    found = json.loads((out / "detections.json").read_text(encoding="utf-8"))
    table = rows_of(out / "detections.csv")
    assert len(found["annotations"]) == len(table) == done.num_detections > 300
    ids = [one.get("track_id") for one in found["annotations"]]
    assert ids == [int(row["track_id"]) if row["track_id"] else None for row in table]
    assert {one for one in ids if one} >= set(range(1, 11))
    seconds = {one["id"]: one["seconds"] for one in found["images"]}
    assert [seconds[one["image_id"]] for one in found["annotations"]] == [
        float(row["seconds"]) for row in table
    ]
    crossings, rows = found["crossings"], rows_of(out / "counts.csv")
    assert len(crossings) == len(rows) > 20
    for one, row in zip(crossings, rows, strict=True):
        image = found["images"][one["image_id"] - 1]
        assert (image["frame"], image["seconds"]) == (int(row["frame"]), float(row["seconds"]))
        assert (one["place"], one["direction"]) == (row["place"], row["direction"])
        assert one["seconds"] == image["seconds"] and one["track_id"] == int(row["track_id"])
    for count in found["counts"]:
        for direction in ("in", "out", "appeared"):
            key = (count["category_name"], direction)
            assert count[direction] == counted(out, count["place"])[key]


def test_the_results_are_what_the_schema_says(finished: tuple[Path, Predicted]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    from tests.predict.test_schema import SCHEMA, closed

    found = json.loads((finished[0] / "detections.json").read_text(encoding="utf-8"))
    jsonschema.validate(found, SCHEMA, jsonschema.Draft202012Validator)
    jsonschema.validate(found, closed(SCHEMA), jsonschema.Draft202012Validator)


def test_lines_zones_and_trails_are_on_the_drawn_video(finished: tuple[Path, Predicted]) -> None:
    with av.open(str(finished[0] / "ten.mp4")) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert len(frames) == len(times("even"))
    first = frames[0].astype(int)
    assert first[60:170, ACROSS].min() > 150  # the line, white on the grey ground
    assert first[120:170, 80].max() < 70 and first[120:170, 240].min() > 55  # the zone is lighter


def test_without_track_nothing_is_written_otherwise(clip: Path, tmp_path: Path) -> None:
    predict("model", clip, out=tmp_path, save="json,csv", quiet=True)
    found = json.loads((tmp_path / "detections.json").read_text(encoding="utf-8"))
    assert set(found) == {"categories", "annotations", "images"}
    assert not any("track_id" in one for one in found["annotations"])
    assert "track_id" not in rows_of(tmp_path / "detections.csv")[0]
    assert not (tmp_path / "counts.csv").exists()


def test_track_alone_counts_nothing(clip: Path, tmp_path: Path) -> None:
    done = predict("model", clip, out=tmp_path, save="json", track=True, quiet=True)
    found = json.loads((tmp_path / "detections.json").read_text(encoding="utf-8"))
    assert "counts" not in found and done.counts is None
    assert any("track_id" in one for one in found["annotations"])
    assert not (tmp_path / "counts.csv").exists()


def test_each_video_begins_with_number_one(
    clip: Path, tmp_path: Path, movers: list[moving.Mover]
) -> None:
    other = moving.write(tmp_path / "b.mp4", movers, times("even")[:40], RATE)
    predict(
        "model",
        [clip, other],
        out=tmp_path / "out",
        save="csv",
        track=True,
        count_line=GATE,
        quiet=True,
    )
    rows = rows_of(tmp_path / "out" / "detections.csv")
    for path in (clip, other):
        ids = [int(r["track_id"]) for r in rows if r["file"] == str(path) and r["track_id"]]
        assert ids[0] == 1


def test_pictures_that_change_their_size_show_the_same_place(
    tmp_path: Path, movers: list[moving.Mover], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a stream that goes on in half the resolution."""

    class Reader(VideoReader):
        def __init__(self) -> None:
            self.name, self.rate, self.num_frames, self.num_lost = "x", RATE, None, 0

        def close(self) -> None: ...

        def frames(self) -> Any:
            for number, seconds in enumerate(times("even")):
                size = (180, 320) if number < 45 else (90, 160)
                yield Frame(moving.picture(movers, seconds, size), float(seconds))

    monkeypatch.setattr(job, "open_media", lambda source: Reader())
    (tmp_path / "x.mp4").touch()
    predict(
        "model", tmp_path / "x.mp4", out=tmp_path / "out", track=True, count_line=GATE, quiet=True
    )
    assert counted(tmp_path / "out", "gate") == expected(movers)


class StopAfter(Stop):
    """Asks for the end after so many looks at it, as a Ctrl-C does."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    @property
    def requested(self) -> bool:
        self.looks -= 1
        if self.looks < 0:
            self.number = signal.SIGINT
        return self.looks < 0


def test_an_end_in_the_middle_leaves_whole_files_that_agree(
    clip: Path, zones: Path, tmp_path: Path
) -> None:
    outputs = Outputs(tmp_path, ["json", "csv", "drawn"])
    follow = Follow(find_places([GATE], [str(zones)]))
    console = Console(quiet=True)
    tally = job.predict_files(
        Path("model"), [str(clip)], outputs, {}, console, StopAfter(150), follow
    )
    assert 0 < tally.num_images < len(times("even"))
    found = json.loads((tmp_path / "detections.json").read_text(encoding="utf-8"))
    rows = rows_of(tmp_path / "counts.csv")
    assert len(found["images"]) == tally.num_images
    assert len(found["crossings"]) == len(rows) > 0
    assert all(int(row["frame"]) < tally.num_images for row in rows)
    hidden = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert hidden == []


@pytest.mark.parametrize("kind", ["named", "in a folder", "by its content"])
def test_still_images_are_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("photo" if kind == "by its content" else "photo.png")
    Image.new("RGB", (40, 30)).save(path, "PNG")
    source = tmp_path if kind == "in a folder" else path
    if kind == "by its content":
        done = predict("model", source, out=tmp_path / "out", track=True, quiet=True)
        (error,) = done.errors
    else:
        with pytest.raises(ConfigError) as raised:
            predict("model", source, out=tmp_path / "out", track=True, quiet=True)
        error = raised.value
        assert not (tmp_path / "out").exists()
    assert "is a still image; --track follows objects" in str(error) and "\n" not in str(error)


def test_a_line_beside_a_videos_pictures_skips_that_video(clip: Path, tmp_path: Path) -> None:
    done = predict(
        "model", clip, out=tmp_path, track=True, count_line="900,0,900,50", quiet=True, save="json"
    )
    (error,) = done.errors
    assert "outside of the picture, 320 × 180 pixels" in str(error) and "ten.mp4" in str(error)
    assert done.num_images == 0


def test_counting_needs_tracks(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give track"):
        predict("model", clip, out=tmp_path, count_line=GATE)
    with pytest.raises(ConfigError, match="--count-anchor feet: expected centre or bottom"):
        predict("model", clip, out=tmp_path, track=True, count_anchor="feet")  # type: ignore[arg-type]


def test_the_end_says_what_was_counted(
    clip: Path, zones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(
        "model",
        clip,
        out=tmp_path,
        save="json",
        track=True,
        count_line=[GATE, "never=1,1,2,2"],
        count_zone=[zones],
    )
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["place", "class", "in", "out", "appeared"] in lines
    assert ["gate", "car", "3", "2"] in lines and ["never", "-", "0", "0"] in lines
    assert ["right", "half", "person", "3", "2", "2"] in lines
