"""What a person and a program read of an evaluation."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from mindssd.errors import MindSSDError
from mindssd.evaluation.protocol import COCO, MINDCV
from mindssd.evaluation.report import print_report, protocol_line, write_json
from mindssd.evaluation.scores import ClassResult, Evaluation
from mindssd.files import require_writable


def evaluation(unreadable: tuple[str, ...] = ()) -> Evaluation:
    return Evaluation(
        ap=0.4751,
        ap50=0.757,
        ap75=0.5,
        ap_small=None,
        ap_medium=0.3,
        ap_large=0.6,
        ar1=0.1,
        ar10=0.2,
        ar100=0.3,
        ar_small=None,
        ar_medium=0.4,
        ar_large=0.5,
        per_class=(
            ClassResult("worse", 3, 0.2, 0.3, 0.4),
            ClassResult("[red] cell", 0, None, None, None),
            ClassResult("better", 5, 0.7502, 0.9, 0.8),
        ),
        protocol=COCO,
        num_images=72,
        num_truths=8,
        num_crowds=1,
        num_detections=1234,
        seconds=2.0,
        unreadable=unreadable,
    )


def printed(result: Evaluation) -> str:
    console = Console(file=io.StringIO(), width=120)
    print_report(result, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_report_gives_the_figures_and_what_they_depend_on() -> None:
    text = printed(evaluation())
    for part in ("0.475", "0.757", "72 images", "1234 detections", "36.0 images/s", "score > 0.01"):
        assert part in text


def test_classes_come_best_first_and_those_without_truths_last() -> None:
    text = printed(evaluation())
    assert text.index("better") < text.index("worse") < text.index("[red] cell")
    assert "no truths" in text and "nan" not in text


def test_an_unreadable_image_is_reported() -> None:
    assert "1 image could not be read" in printed(evaluation(("val/7.jpg: truncated",)))
    assert "val/7.jpg: truncated" in printed(evaluation(("val/7.jpg: truncated",)))


def test_each_protocol_says_what_it_counts() -> None:
    assert protocol_line(COCO) == (
        "protocol coco: all images, score > 0.01, NMS IoU 0.6, at most 100 detections an image"
    )
    assert protocol_line(MINDCV) == (
        "protocol mindcv: images with boxes and no crowd, score > 0.1, NMS IoU 0.6 (+1 pixel), "
        "at most 100 detections of a class and image"
    )


def test_the_json_holds_everything_and_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    write_json(evaluation(), path)
    read = json.loads(path.read_text(), parse_constant=lambda name: 1 / 0)
    assert read["AP"] == 0.4751 and read["APs"] is None
    assert read["images_per_second"] == 36.0
    assert read["per_class"][1] == {
        "name": "[red] cell",
        "num_truths": 0,
        "ap": None,
        "ap50": None,
        "ar100": None,
    }
    assert read["protocol"]["name"] == "coco" and read["num_images"] == 72


def test_a_report_that_cannot_be_written_is_one_line_that_names_it(tmp_path: Path) -> None:
    for write in (lambda path: write_json(evaluation(), path), require_writable):
        for path in (tmp_path / "absent" / "e.json", tmp_path):
            with pytest.raises(MindSSDError, match=f"{path}: cannot be written"):
                write(path)
    assert list(tmp_path.iterdir()) == []


def test_where_a_report_can_be_written_nothing_is_said_and_nothing_made(tmp_path: Path) -> None:
    require_writable(tmp_path / "evaluation.json")
    require_writable("/dev/null")
    write_json(evaluation(), "/dev/null")
    assert list(tmp_path.iterdir()) == [] and not Path("/dev/null").is_file()
