"""Annotation files that nobody thought of: an error in one line, or a data set that holds together.

Hypothesis makes documents in COCO's format with odd values in every place, and damages their bytes.
Each is loaded, looked at as `mindssd doctor` does, and scored against itself.
"""

import json
import operator
import shutil
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.coco import load_coco_split
from mindssd.doctor.data import check_data
from mindssd.errors import DatasetError, MindSSDError
from mindssd.evaluation.coco import score
from mindssd.evaluation.detections import DetectionTable
from mindssd.evaluation.truths import read_truths

_CASES_AT_ONCE = 300

_FILES = {
    "a.png": (100, 50),
    "b.png": (100, 50),
    "half.png": (50, 25),
    "square.png": (60, 60),
    "sub/c d.png": (100, 50),
    "B\u00e4r.png": (100, 50),
    "turned.jpg": (50, 100),
}

_numbers = st.one_of(
    st.integers(-3, 110),
    st.floats(-3, 110, width=16),
    st.sampled_from([0, 0.0, -0.0, 1e-30, 1e300, 10**400, 2**63, "7", "1e1", "", "x", True]),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), None, [], [1], {}]),
)
_ids = st.one_of(
    st.integers(0, 4),
    st.sampled_from(["1", "000002", " 3", 1.0, 1.5, "a", "a.png", "A.PNG", "x/a.png", "cat"]),
    st.sampled_from([None, True, "", [], {}, -1, 2**63, 10**30, float("nan"), float("inf")]),
)
_ODD_NAMES = (
    *("sub", "sub/", "broken.png", "empty.png", "missing.png", "A.PNG", "a.jpg", "a", "c d.png"),
    *("x\\a.png", "C:\\x\\a.png", "train2017/b.png", "/data/a.png", "./a.png", "../a.png", "/"),
    *("http://h/p/a.png?x#y", "c%20d.png", "Ba\u0308r.png", " a.png", "", ".", "..", "a.png/b"),
    *("a\0.png", "\ud800", "x" * 300, 7, None, []),
)
_names = st.one_of(st.sampled_from(list(_FILES)), st.sampled_from(_ODD_NAMES), st.text(max_size=5))
_texts = st.one_of(
    st.sampled_from(["cat", "dog", "Cat", " cat", "none", "", None, 7, []]), st.text(max_size=3)
)


def _entry(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object of which some keys are absent, now and then something else."""
    return st.one_of(
        st.fixed_dictionaries({}, optional=values),
        st.fixed_dictionaries(values),
        st.fixed_dictionaries(values),
    )


_sound_image = st.fixed_dictionaries(
    {
        "id": st.integers(0, 4),
        "file_name": st.sampled_from(list(_FILES)),
        "width": st.just(100),
        "height": st.just(50),
    }
)
_sound_annotation = st.fixed_dictionaries(
    {
        "image_id": st.integers(0, 4),
        "category_id": st.integers(0, 2),
        "bbox": st.one_of(
            st.sampled_from([(1, 2, 3, 4), (10, 10, 20, 30), (60, 20, 40.5, 20)]),
            st.tuples(st.integers(0, 90), st.integers(0, 45), st.integers(1, 60), st.floats(1, 30)),
        ),
    },
    optional={"area": st.integers(-5, 500), "iscrowd": st.integers(0, 1)},
)
_sound_category = st.fixed_dictionaries(
    {"id": st.integers(0, 2), "name": st.sampled_from(["cat", "dog", "emu"])},
    optional={"supercategory": st.sampled_from(["none", "cat", "dog"])},
)
_odd_image = _entry(id=_ids, file_name=_names, width=_numbers, height=_numbers)
_odd_annotation = _entry(
    image_id=_ids,
    category_id=_ids,
    bbox=st.one_of(st.lists(_numbers, min_size=4, max_size=4), st.lists(_numbers), _numbers),
    area=_numbers,
    iscrowd=_numbers,
)
_odd_category = st.one_of(
    st.fixed_dictionaries(
        {"id": st.one_of(st.integers(3, 9), st.sampled_from(["x", "7", 8.0, 1.5, 10**30]))},
        optional={"supercategory": _texts},
    ).map(lambda entry: {**entry, "name": f"class {entry['id']}"}),
    _entry(id=_ids, name=_texts, supercategory=_texts),
)


def _list(
    sound: st.SearchStrategy[Any], odd: st.SearchStrategy[Any], *unique: str
) -> st.SearchStrategy[Any]:
    """Entries of which most are sound and have a value of their own under some keys."""
    keys = tuple(operator.itemgetter(key) for key in unique) or None
    whole = st.lists(sound, min_size=1, max_size=6, unique_by=keys)
    mixed = st.builds(operator.add, whole, st.lists(odd, max_size=3))
    no_list = st.one_of(st.none(), st.integers(), st.lists(st.one_of(st.none(), st.integers())))
    some = st.lists(st.one_of(sound, odd), max_size=4)
    # Hypothesis has no weights but those of the numbers that choose.
    return st.integers(0, 29).flatmap(
        lambda n: no_list if n == 29 else some if n > 26 else whole if n > 18 else mixed
    )


_document = st.fixed_dictionaries(
    {
        "images": _list(_sound_image, _odd_image, "id"),
        "annotations": _list(_sound_annotation, _odd_annotation),
        "categories": _list(_sound_category, _odd_category, "id", "name"),
    }
)


def run(seed: int, seconds: float, say: Callable[[str], None]) -> list[str]:
    """Try cases for a time, or where that is negative so many of them; a line for each finding."""
    findings: dict[str, str] = {}
    outcomes: Counter[str] = Counter()
    most = -int(seconds) if seconds < 0 else 10**12
    end = time.monotonic() + seconds if seconds > 0 else float("inf")
    said = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        data_dir = _layout(Path(folder))
        batch = 0
        while sum(outcomes.values()) < most and time.monotonic() < end and len(findings) < 20:
            cases = min(_CASES_AT_ONCE, max(1, (most - sum(outcomes.values())) // 2))
            for attempt in (_try_documents, _try_bytes):
                finding = attempt(data_dir, seed + batch, cases, outcomes)
                if finding:
                    findings.setdefault(finding, f"{finding}; seed {seed + batch}")
            batch += 1
            if time.monotonic() - said > 60:
                said = time.monotonic()
                say(f"{sum(outcomes.values())} documents, {len(findings)} findings")
    say(f"{sum(outcomes.values())} documents: {dict(outcomes.most_common(12))}")
    return list(findings.values())


def _try_documents(data_dir: Path, seed: int, cases: int, outcomes: Counter[str]) -> str:
    @given(_document, _document)
    def attempt(train: Any, val: Any) -> None:
        for split, content in (("train", train), ("val", val)):
            _file(data_dir, split).write_text(json.dumps(content))
        outcomes[_outcome(data_dir, train)] += 1

    return _finding(attempt, seed, cases)


def _try_bytes(data_dir: Path, seed: int, cases: int, outcomes: Counter[str]) -> str:
    @given(_document, st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255))), st.floats(0, 1))
    def attempt(content: Any, changes: list[tuple[float, int]], kept: float) -> None:
        data = bytearray(json.dumps(content).encode())
        for place, value in changes:
            data[int(place * (len(data) - 1))] = value
        if kept > 0.5:
            data = data[: int(len(data) * kept)]
        for split in ("train", "val"):
            _file(data_dir, split).write_bytes(data)
        outcomes[_outcome(data_dir, None)] += 1

    return _finding(attempt, seed, cases)


def _finding(attempt: Callable[[], None], seed: int, cases: int) -> str:
    """Let hypothesis try a property; what it found, shrunk, in a line."""
    configured = settings(
        max_examples=cases,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        print_blob=False,
    )(hypothesis.seed(seed)(attempt))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            configured()
    except Exception as error:
        notes = " ".join(getattr(error, "__notes__", []))
        return f"{type(error).__name__}: {error} {notes}".replace("\n", " ")
    return ""


def _outcome(data_dir: Path, document: Any) -> str:
    """Load and check one document; AssertionError where something does not hold."""
    for finding in check_data(data_dir):
        assert finding.text.isprintable(), finding
    try:
        dataset = load_coco_split(data_dir, "train")
    except MindSSDError as error:
        assert isinstance(error, DatasetError), error
        words = str(error).split(": ", 1)[1]
        return " ".join(words.split()[:3])
    _require_sound(dataset)
    if document is not None:
        _require_counted(dataset, document)
    _require_perfect(dataset)
    return "loaded"


def _require_sound(dataset: DetectionDataset) -> None:
    num_classes = len(dataset.class_names)
    assert num_classes == len(set(dataset.class_names)) == len(set(dataset.category_ids)) > 0
    assert len(set(dataset.image_ids.tolist())) == len(dataset) > 0
    assert len(set(dataset.file_names)) == len(dataset)
    num_boxes = 0
    for record in dataset:
        num_boxes += len(record.labels)
        assert len(record.boxes) == len(record.boxes_xywh) == len(record.labels)
        assert len(record.areas) == len(record.is_crowd) == len(record.labels)
        assert ((record.labels >= 1) & (record.labels <= num_classes)).all()
        assert np.isfinite(record.boxes).all() and np.isfinite(record.boxes_xywh).all()
        assert np.isfinite(record.areas).all() and (record.areas >= 0).all()
        assert (record.boxes_xywh[:, 2:] > 0).all() and (record.boxes >= 0).all()
        assert (record.boxes[:, 2:] > record.boxes[:, :2]).all()
        if record.width:
            assert (record.boxes[:, 2:] <= [record.width, record.height]).all()
    report = dataset.report
    assert num_boxes == report.num_boxes + report.num_crowds
    assert report.num_images == len(dataset)


_DROPPED = (": dropped", ": kept once")
_OF_IMAGES = ("images without id", "images listed more than once", "files listed under more")


def _require_counted(dataset: DetectionDataset, document: Any) -> None:
    """What came in is what is there and what the report says is not."""
    report = dataset.report
    gone: Counter[str] = Counter()
    for finding in report.findings:
        if finding.what.startswith(_OF_IMAGES):
            gone["images"] += finding.count
        elif finding.what.endswith(_DROPPED) and not finding.what.startswith("categories"):
            gone["annotations"] += finding.count
    assert len(document["images"]) == report.num_images + gone["images"], report
    kept = report.num_boxes + report.num_crowds
    assert len(document["annotations"]) == kept + gone["annotations"], report


def _require_perfect(dataset: DetectionDataset) -> None:
    """Who finds every truth of a size to be found, and nothing else, has an AP of 1."""
    indices = range(len(dataset))
    truths = read_truths(dataset, indices)
    boxes = truths.boxes_xywh
    assert len(truths) == dataset.report.num_boxes + dataset.report.num_crowds
    usual = (boxes[:, 2:] >= 0.5).all() and (np.abs(boxes) < 1000).all()
    if not usual or truths.is_crowd.all():
        return
    seen = {}
    for row in np.flatnonzero(~truths.is_crowd).tolist():
        # What is in a picture is found once, however often it is annotated.
        seen[truths.image_ids[row], truths.class_ids[row], *boxes[row]] = row
    rows = np.array(list(seen.values()))
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    table = DetectionTable(
        truths.image_ids[rows],
        truths.class_ids[rows].astype(np.int32),
        corners[rows].astype(np.float32),
        np.full(len(rows), 0.9, np.float32),
    )
    result = score(table, dataset, indices)
    assert result.ap is not None and result.ap > 0.999, result.ap


def _layout(folder: Path) -> Path:
    """The folders of a data set, with the same pictures in both."""
    data_dir = folder / "data"
    (data_dir / "annotations").mkdir(parents=True)
    images = data_dir / "train2017"
    for name, size in _FILES.items():
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = 6 if name.startswith("turned") else 1
        Image.new("L", size).save(images / name, exif=exif)
    (images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (images / "empty.png").touch()
    shutil.copytree(images, data_dir / "val2017")
    return data_dir


def _file(data_dir: Path, split: str) -> Path:
    return data_dir / "annotations" / f"instances_{split}2017.json"
