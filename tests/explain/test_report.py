"""The whole report of small evaluations: its figures, tables, page and folder."""

import csv
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from mindssd.errors import MindSSDError
from mindssd.evaluation.decomposition import KINDS
from mindssd.explain import examples, words
from mindssd.explain.folder import DETECTIONS, FIGURES, KIND, OBJECTS, PAGE, claim
from mindssd.explain.images import brightness_and_sharpness
from mindssd.explain.job import write_report
from mindssd.explain.measured import measure
from mindssd.explain.page import page
from mindssd.explain.tree import tree
from mindssd.pages.pictures import Album
from tests.browser import axe_findings, chromium, screenshot
from tests.explain.made import CAT, FOUND, PICTURES, made, with_thresholds


@pytest.fixture
def measured(tmp_path: Path):
    return measure(made(tmp_path / "set"))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_report_is_a_page_its_figures_and_two_tables(tmp_path):
    told = []
    folder = tmp_path / "new" / "report"
    claim(folder)
    detected = made(tmp_path / "set")
    write_report(detected, folder, lambda *done: told.append(done))
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [PAGE, FIGURES, OBJECTS, DETECTIONS]
    )
    assert told[-1] == (4, 4)
    assert [(row["image"], row["class"], row["outcome"]) for row in rows(folder / OBJECTS)] == [
        ("a.png", "cat", "found"),
        ("a.png", "dog", "found"),
        ("b.png", "cat", "found"),
        ("b.png", "dog", "missed"),
        ("c <i>.png", "cat", "missed"),
    ]
    found = rows(folder / DETECTIONS)
    assert [(row["score"], row["outcome"]) for row in found] == [
        ("0.900000", "right"),
        ("0.850000", "Cls"),
        ("0.800000", "right"),
        ("0.750000", "Loc"),
        ("0.700000", "right"),
        ("0.650000", "Dupe"),
        ("0.600000", "Bkg"),
    ]
    assert found[0]["image"] == "a.png" and found[0]["x2"] == "120.000"


def test_the_figures_are_plain_json_and_those_of_the_evaluation(measured):
    figures = json.loads(json.dumps(tree(measured), allow_nan=False))
    assert figures["kind"] == KIND
    assert figures["evaluation"]["AP"] == pytest.approx(figures["intervals"]["AP"]["value"])
    assert figures["errors"]["counts"] == dict(zip(KINDS, [1, 1, 0, 1, 1, 0], strict=True))
    assert figures["confusion"]["classes"] == ["cat", "dog", "background"]
    # At 0.70 and above: of 3 right and 2 wrong, F1 is 6 / (5 + 5).
    assert figures["score_curves"]["all"]["best_f1"]["f1"] == pytest.approx(0.6)
    assert 0.65 <= figures["threshold"] < 0.7
    assert figures["confusion"]["counts"] == [[2, 0, 1], [1, 1, 0], [1, 0, 0]]
    assert figures["missed"] == {"num_missed": 2, "within_reach": 2, "out_of_reach": 0}
    assert len(figures["precision_recall"]["IoU 0.50"]["cat"]) == 101
    assert sum(group["num_truths"] for group in figures["recall_by"]["size"]) == 5
    assert figures["advice"]


def test_a_model_counts_by_the_thresholds_that_it_has_saved(tmp_path):
    """At 0.74 the objects of a.png are right, a dog taken for a cat and a bad box wrong."""
    metadata = with_thresholds(cat=0.74, dog=0.74)
    saved = measure(made(tmp_path / "set", metadata=metadata))
    figures = json.loads(json.dumps(tree(saved), allow_nan=False))
    assert figures["threshold"] == figures["confusion"]["score_threshold"] == 0.74
    assert figures["confusion"]["counts"] == [[1, 0, 2], [1, 1, 0], [1, 0, 0]]
    assert figures["missed"]["num_missed"] == 3
    counted = figures["counted"]
    assert (counted["saved"], counted["by"]) == (True, "precision 0.95 on 60 images")
    assert (counted["precision"], counted["recall"]) == (0.5, 0.4)
    assert counted["per_class"]["dog"] == {"threshold": 0.74, "precision": 1, "recall": 0.5} | {
        "f1": pytest.approx(2 / 3)
    }
    text = page(saved)
    assert "above 0.74, the threshold that the model has saved (precision 0.95 on 60 imag" in text
    row = "<td>0.74</td><td>0.500</td><td>0.400</td><td>0.444</td>"
    assert f"<td>saved in the model (precision 0.95 on 60 images)</td>{row}" in text
    assert "<td>highest F1</td>" in text  # beside it
    assert "Circles at the saved threshold, 0.74: precision 0.50, recall 0.40, F1 0.44." in text
    assert "<td>0.67 at 0.74</td>" in text  # of the class


def test_each_class_may_have_a_saved_threshold_of_its_own(tmp_path):
    metadata = with_thresholds(cat=0.88, dog=0.5)
    saved = measure(made(tmp_path / "set", metadata=metadata))
    figures = json.loads(json.dumps(tree(saved), allow_nan=False))
    assert figures["threshold"] is None and figures["confusion"]["score_threshold"] is None
    assert figures["confusion"]["counts"] == [[1, 0, 2], [0, 1, 1], [0, 1, 0]]
    text = page(saved)
    assert "above each class’s threshold, as the model has them saved (precision" in text
    assert "<td>each class’s</td>" in text
    assert words.of_background(saved).endswith(
        "keep to the thresholds that the model has saved, as `mindssd predict` does."
    )


def test_a_model_without_saved_thresholds_counts_by_the_highest_f1(tmp_path, measured):
    none_saved = measure(made(tmp_path / "other", metadata=with_thresholds()))
    assert tree(none_saved)["counted"] == tree(measured)["counted"]
    assert tree(measured)["counted"]["saved"] is False
    assert "saved in the model" not in page(measured)


def test_the_page_fetches_nothing_and_is_all_escaped(measured):
    text = page(measured)
    addresses = re.findall(r'(?:src|href)="([^"]{0,40})', text)
    assert addresses and all(address.startswith("data:") for address in addresses)
    assert "<script" not in text and "url(" not in text and "://" not in text
    assert "c &lt;i&gt;.png" in text and "c <i>" not in text
    opened = set(re.findall(r'popovertarget="(image\d+)"', text))
    assert opened == set(re.findall(r'popover id="(image\d+)"', text)) and len(opened) == 2
    for title in ("What to do", "Where the missing AP went", "Missed objects", "Confusion"):
        assert f"<h2>{title}</h2>" in text


def test_what_is_shown_is_the_worst(measured):
    worst = examples.worst_images(measured)
    assert [example.words for example in worst] == [
        "0 right, 1 wrong, 1 missed: c <i>.png",
        "1 right, 1 wrong, 1 missed: b.png",
    ]
    assert [example.words for example in examples.confident_wrong(measured)] == [
        "cat 0.85, in truth dog: b.png",
        "cat 0.75, badly placed: c <i>.png",
    ]
    missed = [example.words.partition(";")[0] for example in examples.missed_objects(measured)]
    assert missed == ["cat, missed", "dog, missed"] or missed == ["dog, missed", "cat, missed"]
    ((truth, taken, count, shown),) = examples.confused_pairs(measured)
    assert (truth, taken, count, len(shown)) == ("dog", "cat", 1, 1)


def test_truths_are_dashed_and_detections_solid_in_colours_of_their_own(measured):
    (confused,) = examples.confused_pairs(measured)[0][3]
    drawn = examples.marks(measured, confused)
    assert [(mark.words, mark.colour, mark.is_dashed) for mark in drawn] == [
        ("cat 0.85", examples.WRONG_COLOUR, False),
        ("dog", examples.TRUTH, True),
    ]
    whole = examples.marks(measured, examples.Example(confused.image, ""))
    assert len(whole) == 4  # the second finding of the cat lies below the threshold


def test_a_page_has_a_bound_and_says_what_is_left_out(measured, monkeypatch):
    monkeypatch.setattr("mindssd.explain.page_pictures.Album", lambda: Album(left=15_000))
    text = page(measured)
    assert "more pictures would have made the page too large" in text
    named = set(re.findall(r'popovertarget="(image\d+)"', text))
    assert named == set(re.findall(r'popover id="(image\d+)"', text))  # nothing opens in vain
    assert 'src=""' not in text


@pytest.mark.parametrize(
    ("pictures", "found", "said"),
    [
        (PICTURES, [], "The model detects nothing at all"),
        ({"a.png": [], "b.png": []}, FOUND[:3], "There are no truths to score against"),
        ({"a.png": [], "b.png": []}, [], "There are no truths to score against"),
        ({"a.png": [("cat", CAT)]}, [(1, "cat", CAT, 0.9)], "One image says next to nothing"),
        ({"a.png": [("cat", CAT)], "b.png": []}, FOUND[:2], "No kind of error stands out"),
    ],
    ids=["no detections", "no truths", "neither", "one image", "no truths of a class"],
)
def test_where_there_is_nothing_the_report_says_so(tmp_path, pictures, found, said):
    measured = measure(made(tmp_path / "set", pictures, found))
    figures = json.loads(json.dumps(tree(measured), allow_nan=False))
    assert re.search(said, " ".join(figures["advice"]))
    text = page(measured)
    assert "<h2>In numbers</h2>" in text and not re.search(r"\bnan\b", text)


def test_an_image_that_cannot_be_read_has_no_picture_and_no_brightness(tmp_path):
    detected = made(tmp_path / "set")
    (tmp_path / "set" / "val2017" / "b.png").write_bytes(b"no image")
    values = brightness_and_sharpness(detected.dataset, [0, 1])
    assert not np.isnan(values[0]).any() and np.isnan(values[1]).all()
    text = page(measure(detected))
    named = set(re.findall(r'popovertarget="(image\d+)"', text))
    assert named == set(re.findall(r'popover id="(image\d+)"', text))


def test_a_brighter_and_a_sharper_image_have_higher_values(tmp_path):
    detected = made(tmp_path / "set", {"a.png": [], "b.png": []}, [])
    folder = tmp_path / "set" / "val2017"
    grey = np.full((240, 320, 3), 40, np.uint8)
    cv2.imwrite(str(folder / "a.png"), grey)
    grey[:, ::8] = 240
    cv2.imwrite(str(folder / "b.png"), grey)
    values = brightness_and_sharpness(detected.dataset, [0, 1])
    assert values[0] == pytest.approx([40, 0]) and values[1, 0] == pytest.approx(65)
    assert values[1, 1] > 1000


def test_of_very_many_images_some_are_looked_at_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("mindssd.explain.measured.MOST_IMAGES", 3)
    measured = measure(made(tmp_path / "set"))
    assert measured.num_looked_at == tree(measured)["num_images_looked_at"] == 3
    assert "are those of 3 of the 4 images, drawn at random" in page(measured)


def test_a_folder_of_a_report_is_replaced_and_no_other_one(tmp_path):
    folder = tmp_path / "report"
    claim(folder)
    claim(folder)  # empty
    (folder / FIGURES).write_text(json.dumps({"kind": KIND}))
    (folder / "notes.txt").write_text("mine")
    claim(folder)
    assert (folder / "notes.txt").read_text() == "mine"
    for content in ('{"kind": "another"}', "[]", "no json"):
        (folder / FIGURES).write_text(content)
        with pytest.raises(MindSSDError, match=r"holds what is no report .* name a new folder"):
            claim(folder)
    with pytest.raises(MindSSDError, match="is a file, or in one; --report takes a folder"):
        claim(folder / "notes.txt")
    with pytest.raises(MindSSDError, match="is a file, or in one; --report takes a folder"):
        claim(folder / "notes.txt" / "below")


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_shows_the_page_without_complaint(measured, tmp_path, width):
    path = tmp_path / "report.html"
    path.write_text(page(measured), encoding="utf-8")
    picture, complaints = screenshot(path, width, tmp_path)
    assert complaints == []
    shot = cv2.imread(str(picture))
    assert shot is not None and shot.std() > 10


@pytest.mark.slow
def test_a_click_opens_the_whole_image(measured, tmp_path):
    script = (
        "<script>document.querySelector('button.open').click();"
        "document.title = document.querySelector('[popover]:popover-open').id;</script></body>"
    )
    text = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", page(measured))
    path = tmp_path / "report.html"
    path.write_text(text.replace("</body>", script), encoding="utf-8")
    dumped, complaints = chromium(path, "--dump-dom", folder=tmp_path)
    assert complaints == [] and re.search(r"<title>image\d</title>", dumped)


@pytest.mark.slow
def test_axe_finds_nothing_serious_on_the_page(measured, tmp_path):
    assert axe_findings(page(measured), tmp_path) == []


@pytest.mark.slow
def test_axe_looks_at_light_and_dark(tmp_path):
    """An image without words, and text that is seen on a light ground alone."""
    style = (
        "body{background:#fff;color:#222}@media(prefers-color-scheme:dark){body{background:#111}}"
    )
    text = (
        f'<html lang="en"><title>t</title><style>{style}</style><body><p>words</p>'
        '<img src="data:,"></body></html>'
    )
    found = [one["rule"] for one in axe_findings(text, tmp_path)]
    assert found == ["image-alt", "color-contrast", "image-alt"]
