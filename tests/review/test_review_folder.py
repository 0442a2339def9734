"""A review in its folder: trainings that go on, the list, decisions, the corrected copy."""

import csv
import io
import json
import os
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from mindssd.config.load import load_config
from mindssd.data.convert.job import Settings, convert, part_of
from mindssd.data.convert.parts import Changes, Names
from mindssd.data.formats.parsed import assemble
from mindssd.data.formats.recognise import recognise
from mindssd.errors import ConfigError, DatasetError
from mindssd.evaluation.outcomes import rows_of_table
from mindssd.files import write_file
from mindssd.review import job, trainings
from mindssd.review.corrected import corrected, write_corrected
from mindssd.review.editors import as_coco, as_cvat, as_label_studio, proposals
from mindssd.review.listed import as_csv, entries, read_decisions
from mindssd.review.mistakes import Mistake
from mindssd.review.trainings import kept_detections
from mindssd.training.signals import OutOfTime
from tests.browser import axe_findings


def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def training_images(data_dir: Path):
    layout = recognise(data_dir)
    return assemble(layout.parts[layout.training]())


def mistakes() -> list[Mistake]:
    """One of each kind, in images that have one, two and three labels."""
    box = (100.0, 70.0, 150.0, 110.0)
    return [
        Mistake("missing", 0, -1, 0.9, None, None, 1, box, 0.8, 3),
        Mistake("class", 1, 0, 0.8, 0, (1.0, 1.0, 9.0, 9.0), 1, box, 0.7, 0),
        Mistake("box", 1, 1, 0.7, 0, (1.0, 1.0, 9.0, 9.0), 0, box, 0.6, 0),
        Mistake("spurious", 2, 2, 0.6, 1, (1.0, 1.0, 9.0, 9.0), None, None, 0.0, -1),
    ]


def decide(path: Path, content: bytes, word: str = "accept") -> Path:
    rows = list(csv.DictReader(content.decode().splitlines()))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows({**row, "decision": word} for row in rows)
    return path


def test_an_accepted_correction_of_each_kind_is_in_the_copy_and_the_source_stays(
    shapes_dir, tmp_path
):
    dataset = training_images(shapes_dir)
    before = {p: p.read_bytes() for p in shapes_dir.rglob("*") if p.is_file()}
    listed = entries(mistakes(), dataset)
    accepted = read_decisions(decide(tmp_path / "d.csv", as_csv(listed, dataset)), listed)
    assert accepted == listed
    out = tmp_path / "corrected"
    said: list[str] = []
    write_corrected(shapes_dir, out, "auto", dataset, accepted, said.append)
    after = training_images(out)
    assert [len(after[i].labels) - len(dataset[i].labels) for i in range(4)] == [1, 0, -1, 0]
    assert after[0].boxes[-1] == pytest.approx([100, 70, 150, 110]) and after[0].labels[-1] == 2
    assert after[1].labels[0] == 2
    assert after[1].boxes[1] == pytest.approx([100, 70, 150, 110])
    assert after[1].boxes[0] == pytest.approx(dataset[1].boxes[0])
    with pytest.raises(ConfigError, match=r"^--to .*corrected: is there already"):
        write_corrected(shapes_dir, out, "auto", dataset, accepted, said.append)
    # The other parts are there too, and a list of what was done.
    assert (out / "val2017").is_dir()
    assert len((out / "changes.csv").read_text().splitlines()) == 5
    assert sum("12 images, " in line for line in said) == 2  # what is read, of each part
    assert before == {p: p.read_bytes() for p in shapes_dir.rglob("*") if p.is_file()}


def as_csv_of_one_part(source: Path, out: Path) -> None:
    """The training images with a table of their boxes, not split into parts."""
    dataset = training_images(source)
    shutil.copytree(source / "train2017", out / "images")
    lines = [
        f"{name},{','.join(f'{side:g}' for side in box)},{dataset.class_names[label - 1]}"
        for name, record in zip(dataset.file_names, dataset, strict=True)
        for box, label in zip(record.boxes.tolist(), record.labels.tolist(), strict=True)
    ]
    (out / "boxes.csv").write_text("file,x1,y1,x2,y2,class\n" + "\n".join(lines))


@pytest.mark.parametrize("form", ["yolo", "voc", "csv"])
def test_a_data_set_of_another_format_is_reviewed_and_corrected(
    form, end_review, shapes_dir, tmp_path
):
    data_dir, out = tmp_path / "data", tmp_path / "corrected"
    if form == "csv":
        as_csv_of_one_part(shapes_dir, data_dir)
    else:
        convert(shapes_dir, data_dir, Settings(form), lambda line: None)
    folder = tmp_path / "review"
    end_review(data_dir, folder)
    job.review(trainings.resume(folder), console())
    rows = list(csv.DictReader((folder / "mistakes.csv").read_text().splitlines()))
    (missing,) = [row for row in rows if row["found_box"] == "100 70 150 110"]
    decisions = tmp_path / "d.csv"
    decisions.write_text(f"decision;id\naccept;{missing['id']}\n")
    job.apply(folder, decisions, out, console())
    before, after = trainings.resume(folder).data[0], training_images(out)
    added = {
        name: len(after[place].labels) - len(before[before.file_names.index(name)].labels)
        for place, name in enumerate(after.file_names)
    }
    assert added.pop(missing["image"]) == 1 and set(added.values()) == {0}


@pytest.mark.parametrize("word", ["", "reject", "No", "0"])
def test_what_is_not_accepted_stays(word, shapes_dir, tmp_path):
    dataset = training_images(shapes_dir)
    listed = entries(mistakes(), dataset)
    assert read_decisions(decide(tmp_path / "d.csv", as_csv(listed, dataset), word), listed) == []


def as_a_spreadsheet(content: bytes, how: str) -> bytes:
    """The list with every line accepted, as a spreadsheet may write it back."""
    rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    table = [rows[0], *([*row[:-1], "accept"] for row in rows[1:])]
    if how == "two columns, turned round":
        table = [[row[-1], row[0]] for row in table[::-1]]
        table.insert(0, table.pop())
    if how == "upper case, with spaces":
        table = [[f" {value.upper()} " for value in row] for row in table]
    if how == "empty lines at its end":
        table += [[""] * len(rows[0])] * 3
    delimiter = {"semicolons and a mark": ";", "UTF-16 with tabs": "\t"}.get(how, ",")
    end = "\r" if how == "ends of lines as of old" else "\r\n"
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator=end).writerows(table)
    encoding = {"semicolons and a mark": "utf-8-sig", "UTF-16 with tabs": "utf-16"}.get(how)
    return file.getvalue().encode(encoding or "utf-8")


SPREADSHEETS = (
    "semicolons and a mark",
    "UTF-16 with tabs",
    "two columns, turned round",
    "upper case, with spaces",
    "empty lines at its end",
    "ends of lines as of old",
)


@pytest.mark.parametrize("how", SPREADSHEETS)
def test_what_a_spreadsheet_makes_of_the_list_is_read(how, shapes_dir, tmp_path):
    dataset = training_images(shapes_dir)
    dataset.file_names[1] = "two\x85lines.png"
    listed = entries(mistakes(), dataset)
    path = tmp_path / "d.csv"
    path.write_bytes(as_a_spreadsheet(as_csv(listed, dataset), how))
    assert read_decisions(path, listed) == listed


def test_an_id_is_no_number_to_a_spreadsheet(shapes_dir):
    dataset = training_images(shapes_dir)
    box = (100.0, 70.0, 150.0, 110.0)
    many = [
        Mistake("missing", 0, -1, 0.9, None, None, 1, (float(x), *box[1:]), 0.8, 3)
        for x in range(2000)
    ]
    ids = [entry.id for entry in entries(many, dataset)]
    assert len(set(ids)) == 2000
    # Without a letter some are digits alone, and 1e5 is a hundred thousand.
    assert not [one for one in ids if re.fullmatch(r"\d+(e\d+)?", one)]


def test_decisions_that_cannot_be_meant_name_the_line(shapes_dir, tmp_path):
    dataset = training_images(shapes_dir)
    listed = entries(mistakes(), dataset)
    path = decide(tmp_path / "d.csv", as_csv(listed, dataset), "perhaps")
    with pytest.raises(DatasetError, match=r"d\.csv:2: decision perhaps; expected accept"):
        read_decisions(path, listed)
    with pytest.raises(DatasetError, match=r"d\.csv:3: .* is not in this review's list"):
        read_decisions(decide(path, as_csv(listed, dataset)), listed[:1])
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError, match="has no columns id and decision"):
        read_decisions(path, listed)


def test_two_corrections_of_one_label_are_refused(shapes_dir):
    dataset = training_images(shapes_dir)
    of_class = mistakes()[1]
    twice = entries([of_class, Mistake(**{**vars(of_class), "kind": "spurious"})], dataset)
    part = part_of("train", dataset, Names(False, False), Changes())
    with pytest.raises(DatasetError, match="label 0 is corrected twice; accept one"):
        corrected(part, dataset, twice, Changes())


def test_editors_get_all_labels_of_the_images_with_the_proposals_in_place(shapes_dir):
    dataset = training_images(shapes_dir)
    sheets = proposals(dataset, mistakes())
    assert [len(sheet.boxes) for sheet in sheets] == [2, 2, 3]
    coco = as_coco(dataset, sheets)
    kinds = [a.get("kind", "") for a in coco["annotations"]]
    assert kinds == ["", "missing", "class", "box", "", "", "spurious"]
    assert {a["category_id"] for a in coco["annotations"]} <= {3, 7}
    root = ElementTree.fromstring(as_cvat(dataset, sheets))
    first, second = root.findall("image")[0].findall("box")
    assert (first.get("source"), second.get("source")) == ("manual", "auto")
    assert second.get("xtl") == "100.00" and second.get("label") == dataset.class_names[1]
    (task, *_) = as_label_studio(dataset, sheets, "shapes/train2017")
    assert task["data"]["image"] == "/data/local-files/?d=shapes/train2017/0.png"
    (prediction,) = task["predictions"]
    value = prediction["result"][1]["value"]
    assert [value[key] for key in ("x", "y", "width", "height")] == pytest.approx(
        [100 * 100 / 160, 100 * 70 / 120, 100 * 50 / 160, 100 * 40 / 120], abs=1e-3
    )


def test_editors_get_an_image_whose_name_is_no_text(shapes_dir):
    """Bytes of a file name that no encoding takes, and a sign that XML cannot hold."""
    dataset = training_images(shapes_dir)
    dataset.file_names[0] = "\udcff\x01.png"
    sheets = proposals(dataset, mistakes())
    names = [one.get("name") for one in ElementTree.fromstring(as_cvat(dataset, sheets))]
    assert "??.png" in names
    (task, *_) = as_label_studio(dataset, sheets, "set")
    assert task["data"]["image"] == "/data/local-files/?d=set/%FF%01.png"


def test_a_review_of_images_whose_names_are_no_text_is_written(
    end_review, shapes_dir, tmp_path, monkeypatch
):
    monkeypatch.setattr(job, "PROPOSED", 0.0)
    data_dir = tmp_path / "yolo"
    convert(shapes_dir, data_dir, Settings("yolo"), lambda line: None)
    for folder in ("images", "labels"):
        for path in list((data_dir / folder / "train").iterdir()):
            path.rename(path.with_name(os.fsdecode(b"\xff") + path.name))
    end_review(data_dir, tmp_path / "review")
    job.review(trainings.resume(tmp_path / "review"), console())
    for name in ("coco", "label_studio"):
        text = (tmp_path / "review" / f"proposed_{name}.json").read_text("utf-8")
        assert json.loads(text) and ("\\udcff" in text or "%FF" in text)


def test_labels_of_images_that_cannot_be_read_are_not_called_spurious(
    end_review, shapes_dir, tmp_path
):
    data_dir = Path(shutil.copytree(shapes_dir, tmp_path / "data"))
    images = sorted((data_dir / "train2017").iterdir())
    folder = tmp_path / "review"
    end_review(data_dir, folder)
    folded = trainings.resume(folder)
    dataset = folded.data[0]
    table = kept_detections(folded)
    gone, empty = dataset.file_names.index(images[0].name), dataset.file_names.index("2.png")
    nothing = np.isin(table.image_ids, dataset.image_ids[[gone, empty]])
    left = rows_of_table(table, np.flatnonzero(~nothing))
    images[0].write_bytes(b"no image")
    assert job.unread_images(dataset, left) == [gone]
    listed = job.mistakes_of(dataset, left)
    assert {m.image for m in listed if m.kind == "spurious"} == {empty}


def test_what_cvat_gets_is_what_we_read_of_cvat(shapes_dir, tmp_path):
    dataset = training_images(shapes_dir)
    sheets = proposals(dataset, mistakes())
    shutil.copytree(shapes_dir / "train2017", tmp_path / "images")
    write_file(tmp_path / "annotations.xml", as_cvat(dataset, sheets))
    layout = recognise(tmp_path, "cvat")
    read = assemble(layout.parts[layout.training or ""]())
    assert read.report.num_boxes == 7
    assert set(read.class_names) == set(dataset.class_names)


def test_a_review_that_is_at_its_end_writes_list_page_and_forms(end_review, shapes_dir, tmp_path):
    folder = tmp_path / "review"
    end_review(shapes_dir, folder)
    said = console()
    job.review(trainings.resume(folder), said)
    assert "cross-validated mAP" in said.file.getvalue()
    names = {path.name for path in folder.iterdir()}
    forms = {f"proposed_{n}" for n in ("coco.json", "cvat.xml", "label_studio.json")}
    assert names >= {"index.html", "mistakes.csv", "detections.json", "evaluation.json", *forms}
    found = json.loads((folder / "detections.json").read_text())
    assert {one["category_id"] for one in found} <= {3, 7}
    assert len({one["image_id"] for one in found}) == 12  # of every image
    figures = json.loads((folder / "evaluation.json").read_text())
    assert len(figures["AP_of_folds"]) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"id,decision\nabc,accept\n",
        b"\xef\xbb\xbfid;decision\r\nabc;accept\r\n",
        "id\tdecision\r\nabc\taccept\r\n".encode("utf-16"),
        b"my own table\n",
    ],
    ids=["commas", "semicolons", "UTF-16", "something else"],
)
def test_decisions_in_the_list_are_not_written_over(content, end_review, shapes_dir, tmp_path):
    folder = tmp_path / "review"
    end_review(shapes_dir, folder)
    path = folder / "mistakes.csv"
    job.review(trainings.resume(folder), console())
    written = path.read_bytes()
    job.review(trainings.resume(folder), console())
    assert path.read_bytes() == written
    path.write_bytes(content)
    said = console()
    job.review(trainings.resume(folder), said)
    assert path.read_bytes() == content
    assert "has decisions, and stays as it is" in said.file.getvalue()


def test_what_cannot_be_reviewed_is_told_before_anything_is_written(
    shapes_dir, quick_config, tmp_path
):
    def begin(folds: int, out: str = "review", data_dir: Path = shapes_dir, more: str = "seed=0"):
        config = load_config(str(quick_config), [f"data_dir={data_dir}", more])
        return trainings.begin(tmp_path / out, config, folds)

    with pytest.raises(DatasetError, match="12 images with boxes cannot be dealt into 13 folds"):
        begin(13)
    empty = Path(shutil.copytree(shapes_dir, tmp_path / "empty"))
    path = empty / "annotations" / "instances_train2017.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))
    with pytest.raises(DatasetError, match="has no boxes to learn from"):
        begin(2, data_dir=empty)
    assert not (tmp_path / "review").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is there already, and is no review"):
        begin(2, out="other")
    begin(2)
    with pytest.raises(ConfigError, match="holds a review with other settings"):
        begin(2, more="seed=1")
    with pytest.raises(ConfigError, match="holds a review with other settings"):
        begin(3)
    begin(2)  # the same command goes on


def test_a_copy_is_made_only_of_a_review_at_its_end_and_of_its_own_list(
    end_review, shapes_dir, quick_config, tmp_path
):
    decisions = tmp_path / "decisions.csv"
    out = tmp_path / "out"
    with pytest.raises(DatasetError, match="no such file"):
        job.apply(tmp_path / "review", decisions, out, console())
    decisions.write_text("id,decision\nabc,accept\n")
    config = load_config(str(quick_config), [f"data_dir={shapes_dir}"])
    trainings.begin(tmp_path / "begun", config, 2)
    with pytest.raises(ConfigError, match="this review is not at its end"):
        job.apply(tmp_path / "begun", decisions, out, console())
    end_review(shapes_dir, tmp_path / "review")
    with pytest.raises(DatasetError, match="abc is not in this review's list"):
        job.apply(tmp_path / "review", decisions, out, console())
    assert not out.exists()


@pytest.mark.slow
def test_axe_finds_nothing_serious_on_the_page(end_review, shapes_dir, tmp_path):
    folder = tmp_path / "review"
    end_review(shapes_dir, folder)
    job.review(trainings.resume(folder), console())
    assert axe_findings((folder / "index.html").read_text("utf-8"), tmp_path) == []


@pytest.mark.slow
def test_a_review_trains_on_each_fold_and_goes_on_where_it_was_cut_off(
    shapes_dir, quick_config, quickest_engine, tmp_path
):
    settings = [f"data_dir={shapes_dir}", "epochs=2", "num_workers=0", f"engine={quickest_engine}"]
    config = load_config(str(quick_config), settings)
    folded = trainings.begin(tmp_path / "review", config, 2)
    with pytest.raises(OutOfTime):
        trainings.out_of_fold(folded, console(), seconds=0)
    found = trainings.out_of_fold(trainings.resume(folded.folder), console())
    log = (folded.folder / "fold1" / "log.jsonl").read_text().splitlines()
    starts = [e["step"] for e in map(json.loads, log) if e["event"] == "start"]
    assert len(starts) == 2 and starts[1] > 0
    assert len(found.aps) == 2 and found.seconds > 0
    assert not list(folded.folder.glob("fold*/last"))
    # Another look trains nothing.
    before = (folded.folder / "fold2" / "log.jsonl").read_bytes()
    again = trainings.out_of_fold(trainings.resume(folded.folder), console())
    assert np.array_equal(again.table.scores, found.table.scores)
    assert (folded.folder / "fold2" / "log.jsonl").read_bytes() == before
