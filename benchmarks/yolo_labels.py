"""Read label files as many as COCO 2017's in YOLO's format: time, memory at the peak.

    python benchmarks/yolo_labels.py

It generates 118,287 images' headers and a label file for each that has one of the 860,001 boxes,
in a temporary folder, and reads the data set as training does, in a process of its own: the first
time, and again when the sizes of the images are in the cache. Goal: at most 30 s. Measured on one
busy core of an AMD Zen 5: 12.9 s of processor time the first time, 9.1 s again, 0.8 GB at the peak.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from coco_annotations import NUM_ANNOTATIONS, NUM_CATEGORIES, NUM_IMAGES, jpeg_header


def generate(data_dir: Path) -> None:
    """Write the images' headers, the label files and data.yaml."""
    rng = np.random.default_rng(0)
    owners = np.sort(rng.integers(NUM_IMAGES, size=NUM_ANNOTATIONS))
    classes = rng.integers(NUM_CATEGORIES, size=NUM_ANNOTATIONS).tolist()
    boxes = rng.uniform(0.2, 0.4, (NUM_ANNOTATIONS, 4)).round(6).tolist()
    lines = [
        f"{number} {' '.join(map(str, box))}\n" for number, box in zip(classes, boxes, strict=True)
    ]
    starts = np.searchsorted(owners, np.arange(NUM_IMAGES + 1)).tolist()
    for kind in ("images", "labels"):
        for part in ("train", "val"):
            (data_dir / kind / part).mkdir(parents=True)
    header = jpeg_header()
    for index in range(NUM_IMAGES):
        name = f"{5 * index:012d}"
        (data_dir / f"images/train/{name}.jpg").write_bytes(header)
        text = "".join(lines[starts[index] : starts[index + 1]])
        if text:
            (data_dir / f"labels/train/{name}.txt").write_text(text)
    (data_dir / "images/val/one.jpg").write_bytes(header)
    (data_dir / "labels/val/one.txt").write_text(lines[0])
    names = [f"class {number}" for number in range(NUM_CATEGORIES)]
    text = f"train: images/train\nval: images/val\nnames: {json.dumps(names)}\n"
    (data_dir / "data.yaml").write_text(text)


def measure(data_dir: str) -> None:
    """Read the data set once in this fresh process, and say what it took."""
    from mindssd.build.data import build_dataset
    from mindssd.config.load import load_config

    config = load_config("ssd_mobilenetv2", [f"data_dir={data_dir}"])
    start, used = time.perf_counter(), time.process_time()
    dataset = build_dataset(config, "train")
    seconds, used = time.perf_counter() - start, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(
        f"{len(dataset):,} images, {len(dataset.labels):,} boxes: {seconds:.1f} s, {used:.1f} s of "
        f"processor time, {peak:.0f} MB at the peak"
    )


def main() -> None:
    if len(sys.argv) > 1:
        measure(sys.argv[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINDSSD_CACHE"] = f"{folder}/cache"
        generate(Path(folder) / "data")
        for _ in range(2):
            subprocess.run([sys.executable, __file__, f"{folder}/data"], check=True)


if __name__ == "__main__":
    main()
