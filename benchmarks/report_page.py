"""Make the report of an evaluation as large as COCO's, and open its page.

    python benchmarks/report_page.py [--images 5000] [--out FOLDER]

Images are drawn (patches with grain, 640x640, JPEG), truths and detections are those of
`evaluation_report.py`: 7.2 truths and 100 detections an image, 80 classes. The model is not run.
Printed are the seconds and memory that the report takes, of the wall and of the processor, its
size, and how long headless Chromium takes from its start until the page is drawn, and an empty one.
Measured beside other work on two cores of an AMD Zen 5, 5000 images: 41.9 s of processor
(81.6 s of the wall, the cores shared by five), 579 MiB, a page of 17.0 MB that opens in 1.8 s, an
empty one in 1.1 s.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from evaluation_report import NUM_CLASSES, draw

from mindssd.build.evaluation import Detected
from mindssd.config.load import load_config
from mindssd.data.check import CheckReport
from mindssd.data.dataset import DetectionDataset
from mindssd.evaluation.protocol import COCO
from mindssd.evaluation.truths import Truths
from mindssd.explain.job import write_report
from mindssd.inference.predictor import Predictor

SIZE = (640, 640)
DIFFERENT = 50
"""So many image files differ; the others are links to them."""

GRIDS = ((38, 38), (19, 19), (10, 10), (5, 5), (3, 3))


def draw_images(folder: Path, num_images: int) -> list[str]:
    """Write images with grain and patches, about 60 kB each, as photographs have."""
    rng = np.random.default_rng(0)
    names = [f"{number:06d}.jpg" for number in range(1, num_images + 1)]
    for place, name in enumerate(names):
        path = folder / name
        if place < DIFFERENT:
            coarse = rng.integers(20, 235, (20, 20, 3), dtype=np.uint8)
            picture = cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC).astype(np.int16)
            picture += rng.integers(-12, 12, picture.shape, dtype=np.int16)
            cv2.imwrite(str(path), picture.clip(0, 255).astype(np.uint8))
        else:
            path.hardlink_to(folder / names[place % DIFFERENT])
    return names


def as_dataset(folder: Path, names: list[str], truths: Truths) -> DetectionDataset:
    order = np.argsort(truths.image_ids, kind="stable")
    ids = np.arange(1, len(names) + 1)
    sizes = np.tile(np.array(SIZE, np.int32), (len(names), 1))
    report = CheckReport("drawn", len(names), len(order), 0, 0)
    return DetectionDataset(
        class_names=tuple(f"class {number}" for number in range(1, NUM_CLASSES + 1)),
        category_ids=tuple(range(1, NUM_CLASSES + 1)),
        annotation_file="drawn",
        image_dir=str(folder),
        report=report,
        image_ids=ids,
        file_names=names,
        sizes=sizes,
        file_sizes=sizes,
        starts=np.searchsorted(truths.image_ids[order], np.arange(1, len(names) + 2)),
        boxes_xywh=truths.boxes_xywh[order],
        areas=truths.areas[order],
        labels=(truths.class_ids[order] + 1).astype(np.int32),
        is_crowd=truths.is_crowd[order],
    )


def opening_seconds(page: Path) -> float:
    """From the start of a browser until it has drawn a page."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        sys.exit("no chromium is installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--headless=new", "--no-sandbox", "--disable-gpu"]
        command += [f"--user-data-dir={folder}", f"--screenshot={folder}/page.png"]
        start = time.perf_counter()
        subprocess.run([*command, page.as_uri()], check=True, capture_output=True)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        images, out = Path(scratch) / "images", options.out or Path(scratch) / "report"
        images.mkdir()
        out.mkdir(parents=True, exist_ok=True)
        table, truths, _ = draw(options.images)
        dataset = as_dataset(images, draw_images(images, options.images), truths)
        config = load_config("small_data", ["default_boxes.grid_scale=4", f"data_dir={scratch}"])
        predictor = Predictor.__new__(Predictor)  # nothing is detected
        path, indices = Path("drawn.safetensors"), list(range(len(dataset)))
        detected = Detected(path, None, config, dataset, indices, COCO, predictor, GRIDS, table)
        start, used = time.perf_counter(), time.process_time()
        write_report(detected, out)
        wall, cpu = time.perf_counter() - start, time.process_time() - used
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        size = (out / "index.html").stat().st_size / 1e6
        empty = Path(scratch) / "empty.html"
        empty.write_text("<!doctype html><title>empty</title>")
        opening_seconds(empty)
        without, opened = opening_seconds(empty), opening_seconds((out / "index.html").absolute())
        print(f"report {wall:.1f} s ({cpu:.1f} s of processor), {peak:.0f} MiB at the peak")
        print(f"page   {size:.1f} MB, opens in {opened:.1f} s; an empty one in {without:.1f} s")


if __name__ == "__main__":
    main()
