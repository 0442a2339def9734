"""The whole inspection of small sets: what it finds, and the page that shows it."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from mindssd.config.load import load_config
from mindssd.errors import DatasetError, EngineError
from mindssd.inspect import job
from mindssd.inspect.advice import advice
from mindssd.inspect.job import inspect, write_json
from mindssd.inspect.mending import Option
from mindssd.inspect.page import page
from mindssd.pages.pictures import Album
from tests.browser import axe_findings, screenshot
from tests.build.test_reach import GRIDS
from tests.inspect.sets import noise, write_part


@pytest.fixture(autouse=True)
def grids(monkeypatch):
    """Known, so that no engine is needed."""
    monkeypatch.setattr("mindssd.inspect.anchors.read_grids", lambda _: GRIDS["small_data"])


def look(data_dir: Path, *settings: str, recipe: str = "small_data"):
    return inspect(load_config(recipe, [*settings, f"data_dir={data_dir}"]), recipe, settings)


def typed(line: str) -> list[str]:
    """The words that a shell makes of the command at a line's end."""
    _, command = line.split("mindssd train ")
    return shlex.split(command)


@pytest.fixture
def odd_set(tmp_path: Path) -> Path:
    """One image in both parts, one cut short, boxes annotated twice, a class that val lacks."""
    folder = tmp_path / "odd <b>set</b>"
    boxes = [("cat", [20, 20, 60, 50]), ("dog", [150, 100, 80, 70])]
    twice = [*boxes, ("cat", [21, 20, 60, 50])]
    train = {f"{i}.png": (noise(i), twice if i == 3 else boxes) for i in range(6)}
    shrunk = cv2.resize(noise(2), (200, 150))
    write_part(folder, "train", train)
    write_part(folder, "val", {"v.jpg": (shrunk, boxes[:1]), "w.png": (noise(9), boxes[:1])})
    cut = folder / "train2017" / "4.png"
    cut.write_bytes(cut.read_bytes()[:3000])
    return folder


def test_it_finds_what_is_odd(odd_set):
    found, _ = look(odd_set)
    assert {name: part.num_images for name, part in found.parts.items()} == {"train": 6, "val": 2}
    assert found.problems == ()
    assert found.alike.num_shared == 1
    (pair,) = found.alike.pairs
    assert (pair.first.file_name, pair.second.file_name, pair.crosses) == ("2.png", "v.jpg", True)
    assert [one.image.file_name for one in found.alike.unreadable] == ["4.png"]
    assert found.num_suspects == {"train": {"twins": 1}, "val": {}}
    said = "\n".join(advice(found))
    assert "of 2 validation images 1 is nearly the same as training images" in said
    assert "1 image file cannot be read, such as 4.png" in said
    assert "val has no boxes of dog" in said
    assert typed(advice(found)[-1]) == ["--config", "small_data", f"data_dir={odd_set}"]


def test_the_command_at_its_end_has_what_is_advised(tmp_path):
    """Objects of 8 pixels, which the recipe as it is does not reach."""
    boxes = [("cat", [20 + 40 * i, 30 * i, 8, 8]) for i in range(7)]
    images = {f"{i}.png": (noise(i, (480, 640)), boxes) for i in range(3)}
    write_part(tmp_path / "set", "train", images)
    write_part(tmp_path / "set", "val", {"9.png": (noise(9), boxes[:1])})
    found, _ = look(tmp_path / "set")
    first, *_, last = advice(found)
    assert first.startswith(
        "the default boxes of small_data reach no truth: mindssd train … image_"
    )
    words = ["--config", "small_data", f"data_dir={tmp_path / 'set'}"]
    assert typed(last) == [*words, *found.anchors.advised.settings]


def test_the_command_at_its_end_keeps_what_was_asked_for(odd_set):
    found, _ = look(odd_set, "format=coco", "augment.hue=0.1")
    words = ["--config", "small_data", f"data_dir={odd_set}", "format=coco", "augment.hue=0.1"]
    assert typed(advice(found)[-1]) == words


def test_what_is_advised_takes_the_place_of_what_was_asked_for(odd_set):
    found, _ = look(odd_set, "format=coco", "image_size=[96, 128]")
    for advised, left in (
        (("default_boxes.aspect_ratios=[2.0, 3.0]",), ["image_size=[96, 128]"]),
        (("image_size=[192, 256]",), []),
        (("--config", "other recipe.yaml", "image_size=400"), []),
    ):
        option = Option("any", "mindssd train", advised, 1.0, 1.0, 0.5, 1.0)
        anchors = replace(found.anchors, share=0.5, advised=option)
        recipe = "small_data" if advised[0] != "--config" else advised[1]
        own = advised if advised[0] != "--config" else advised[2:]
        assert typed(advice(replace(found, anchors=anchors))[-1]) == [
            *("--config", recipe, f"data_dir={odd_set}", "format=coco"),
            *left,
            *own,
        ]


def drawn(folder: Path, *names: str) -> None:
    for place, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / name), noise(place))


def test_the_format_is_told_and_how_it_is_known(odd_set, tmp_path):
    assert look(odd_set)[0].layout.words() == "COCO, recognised by annotations"
    asked = look(odd_set, "format=coco")[0].layout
    assert asked.words() == "COCO, as format=coco asks, by annotations"

    yolo = tmp_path / "yolo"
    drawn(yolo, "train/images/a.png", "test/images/b.png")
    for part, name in (("train", "a"), ("test", "b")):
        (yolo / part / "labels").mkdir()
        (yolo / part / "labels" / f"{name}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (yolo / "data.yaml").write_text("train: train/images\ntest: test/images\nnames: [cat]\n")
    found, datasets = look(yolo)
    words = "YOLO, recognised by data.yaml; its part test serves for validation"
    assert found.layout.words() == words
    assert words in page(found, datasets)

    table = tmp_path / "table"
    drawn(table, "a.png", "b.png", "c.png", "d.png")
    rows = [f"{name}.png,10,10,90,80,cat" for name in "abcd"]
    (table / "boxes.csv").write_text("\n".join(["file,x1,y1,x2,y2,class", *rows]))
    found, _ = look(table)
    assert found.layout.words() == "CSV, recognised by boxes.csv; without a validation part"
    assert {name: part.num_images for name, part in found.parts.items()} == {"train": 3, "val": 1}


def test_the_json_holds_it_all(odd_set, tmp_path):
    found, _ = look(odd_set)
    write_json(found, tmp_path / "report.json")
    tree = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert tree["alike"]["pairs"][0]["second"] == {"part": "val", "image": 0, "file_name": "v.jpg"}
    assert tree["anchors"]["num_truths"] == tree["parts"]["train"]["num_boxes"] == 13


def test_the_page_fetches_nothing_and_is_all_escaped(odd_set):
    text = page(*look(odd_set))
    addresses = re.findall(r'(?:src|href)="([^"]{0,40})', text)
    assert addresses and all(address.startswith("data:") for address in addresses)
    assert "<script" not in text and "url(" not in text
    assert "odd &lt;b&gt;set&lt;/b&gt;" in text and "<b>set</b>" not in text
    assert text.count("<figure") > 6 and 'class="figures pair crosses"' in text


def test_a_page_has_a_bound_and_says_what_is_left_out(odd_set, monkeypatch):
    monkeypatch.setattr("mindssd.inspect.page.Album", lambda: Album(left=10_000))
    text = page(*look(odd_set))
    assert len(text) < 100_000
    assert "more pictures would have made the page too large" in text


def test_without_an_engine_the_rest_is_told(odd_set, monkeypatch):
    def none(_):
        raise EngineError("neither is installed")

    monkeypatch.setattr("mindssd.inspect.anchors.read_grids", none)
    found, datasets = look(odd_set)
    assert found.anchors is None and found.no_anchors == "neither is installed"
    assert "Not looked at: neither is installed" in page(found, datasets)


def test_a_set_without_boxes_is_a_problem_and_has_a_page(tmp_path):
    write_part(tmp_path / "set", "train", {"0.png": (noise(0), [])})
    found, datasets = look(tmp_path / "set")
    assert "has no boxes to learn from" in found.problems[0]
    text = page(found, datasets)
    assert "no boxes to learn from" in text
    assert "no truths to reach" in text and "of 0 truths" not in text
    assert found.anchors.fitted == ("default_boxes.grid_scale=4, as there are no boxes",)


def test_a_folder_that_is_no_data_set_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="has no files; expected images and their annotations"):
        look(tmp_path)


def test_of_very_many_suspicious_boxes_all_are_counted_and_some_are_listed(odd_set, monkeypatch):
    monkeypatch.setattr(job, "SUSPECTS_OF_A_KIND", 0)
    found, _ = look(odd_set)
    assert found.num_suspects["train"] == {"twins": 1} and found.suspects == ()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_shows_the_page_without_complaint(odd_set, tmp_path, width):
    path = tmp_path / "report.html"
    path.write_text(page(*look(odd_set)), encoding="utf-8")
    picture, complaints = screenshot(path, width, tmp_path)
    assert complaints == []
    shot = cv2.imread(str(picture))
    assert shot is not None and shot.std() > 10


@pytest.mark.slow
def test_axe_finds_nothing_serious_on_the_page(odd_set, tmp_path):
    assert axe_findings(page(*look(odd_set)), tmp_path) == []
