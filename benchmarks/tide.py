"""Compare the decomposition of errors with its authors' `tidecv`, on the same detections.

    python benchmarks/tide.py --tidecv-python VENV/bin/python [--coco TRUTHS RESULTS]
        [--images 500]

tidecv requires packages (opencv-python, matplotlib) that do not go beside ours, so it runs in a
virtual environment of its own: `python -m venv venv && venv/bin/pip install tidecv==1.0.1`. Without
`--coco`, a file of annotations and one of results in COCO's formats, detections with every kind of
error are drawn. The figures of both sides are printed in points of 100, and the largest difference.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NAMES = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss", "FalsePos", "FalseNeg")


def figures_of_tidecv(truths: Path, results: Path) -> dict[str, float]:
    import tidecv

    truth_data, found = tidecv.Data("truths", max_dets=100), tidecv.Data("found")
    contents = json.loads(truths.read_text())
    for image in contents["images"]:
        truth_data.add_image(image["id"], str(image["id"]))
    for category in contents["categories"]:
        truth_data.add_class(category["id"], str(category["id"]))
    for each in contents["annotations"]:
        add = truth_data.add_ignore_region if each["iscrowd"] else truth_data.add_ground_truth
        add(each["image_id"], each["category_id"], box=each["bbox"])
    for each in json.loads(results.read_text()):
        found.add_detection(each["image_id"], each["category_id"], each["score"], box=each["bbox"])
    tide = tidecv.TIDE()
    tide.evaluate(truth_data, found, mode=tidecv.TIDE.BOX, name="found")
    errors = tide.get_all_errors()
    return {
        "AP50": tide.runs["found"].ap,
        **{name: errors["main"]["found"][name] for name in NAMES[:6]},
        **{name: errors["special"]["found"][name] for name in NAMES[6:]},
    }


def figures_of_ours(truths: Path, results: Path) -> dict[str, float]:
    import numpy as np

    from mindssd.evaluation.decomposition import decompose
    from mindssd.evaluation.detections import DetectionTable
    from mindssd.evaluation.outcomes import outcomes
    from mindssd.evaluation.truths import Truths

    contents = json.loads(truths.read_text())
    category_ids = sorted(category["id"] for category in contents["categories"])
    annotations, found = contents["annotations"], json.loads(results.read_text())

    def column(rows: list[dict[str, Any]], name: str, kind: Any) -> Any:
        return np.array([row[name] for row in rows], kind)

    boxes = column(found, "bbox", np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    truth_boxes = column(annotations, "bbox", np.float64).reshape(-1, 4)
    start = time.process_time()
    parts = decompose(
        outcomes(
            DetectionTable(
                column(found, "image_id", np.int64),
                np.searchsorted(category_ids, column(found, "category_id", np.int64)),
                boxes.astype(np.float32),
                column(found, "score", np.float32),
            ),
            Truths(
                column(annotations, "image_id", np.int64),
                np.searchsorted(category_ids, column(annotations, "category_id", np.int64)),
                truth_boxes,
                truth_boxes[:, 2] * truth_boxes[:, 3],
                column(annotations, "iscrowd", np.bool_),
            ),
            np.array([image["id"] for image in contents["images"]], np.int64),
            tuple(map(str, category_ids)),
        )
    )
    print(f"ours takes {time.process_time() - start:.2f} s", file=sys.stderr)
    gains = {**parts.losses, "FalsePos": parts.false_positives, "FalseNeg": parts.false_negatives}
    return {name: 100 * (value or 0.0) for name, value in {"AP50": parts.ap, **gains}.items()}


def draw(folder: Path, num_images: int) -> tuple[Path, Path]:
    """Write truths and detections in COCO's formats, as the tests draw them."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import numpy as np

    from tests.drawn_detections import as_coco, drawn

    table, truths = drawn(7, num_images, 4, ties=False)
    # Of truths overlapped alike, as with whole pixels, tidecv takes the first, COCO the last.
    table.boxes[:] += np.random.default_rng(7).uniform(0, 0.25, table.boxes.shape)
    contents, results = as_coco(table, truths, range(1, 2 * num_images, 2), 4)
    # The last class has no truths: tidecv counts what is found of it as a class of AP 0.
    results = [each for each in results if each["category_id"] < 4]
    (folder / "truths.json").write_text(json.dumps(contents))
    (folder / "results.json").write_text(json.dumps(results))
    return folder / "truths.json", folder / "results.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tidecv-python", type=Path, help="a Python that has tidecv 1.0.1")
    parser.add_argument("--coco", type=Path, nargs=2, metavar=("TRUTHS", "RESULTS"))
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--side", choices=["tidecv"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(figures_of_tidecv(*options.coco)))
        return
    with tempfile.TemporaryDirectory() as folder:
        truths, results = options.coco or draw(Path(folder), options.images)
        command = [options.tidecv_python, __file__, "--side", "tidecv", "--coco", truths, results]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        theirs = json.loads(output.splitlines()[-1])
        ours = figures_of_ours(truths, results)
    for name in ("AP50", *NAMES):
        print(f"{name:9s} tidecv {theirs[name]:8.4f}   mindssd {ours[name]:8.4f}")
    print(f"largest difference {max(abs(theirs[name] - ours[name]) for name in theirs):.1e}")


if __name__ == "__main__":
    main()
