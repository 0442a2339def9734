"""Load an annotation file as large as COCO 2017's: time, memory at the peak, memory held.

    python benchmarks/coco_annotations.py [--compare]

It generates the file, the same each time: 118,287 images, 860,001 annotations with segmentations,
about 450 MB, in a temporary folder, with a file of a JPEG's header for each image. Each loader is
measured in a process of its own, as training loads: with half a second at most for the sizes of
the image files. Goals: at most 4 s, 1.2 GB at the peak, 200 MB held afterwards. `--compare` also
measures pycocotools and prints the ratios. Then the sizes of all files are read alone: when the
disk has yet to bring them, when memory holds them, and from the cache. Measured on two busy cores
of an AMD Zen 5: 3.6 s, 851 MB at the peak, 129 MB held; pycocotools 26.5 s, 2693 MB, 2304 MB. The
sizes: 7.1 s from a virtual disk, 2.7 s (23 µs a file) from memory, 0.6 s from the cache.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

NUM_IMAGES = 118_287
NUM_ANNOTATIONS = 860_001
NUM_CATEGORIES = 80


def generate(data_dir: Path) -> Path:
    """Write the annotation file and the empty image files; give the former."""
    rng = np.random.default_rng(0)
    image_dir = data_dir / "train2017"
    image_dir.mkdir()
    annotation_file = data_dir / "annotations.json"
    # A few thousand outlines, used again and again: the decoder has to read past each all the same.
    outlines = [
        json.dumps([rng.uniform(0, 640, int(rng.integers(16, 72))).round(2).tolist()])
        for _ in range(4096)
    ]
    category_ids = rng.permutation(90)[:NUM_CATEGORIES] + 1  # with gaps, as COCO's
    owners = rng.integers(NUM_IMAGES, size=NUM_ANNOTATIONS).tolist()
    classes = category_ids[rng.integers(NUM_CATEGORIES, size=NUM_ANNOTATIONS)].tolist()
    corners = rng.uniform(0, 300, (NUM_ANNOTATIONS, 2))
    sides = rng.uniform(1, 170, (NUM_ANNOTATIONS, 2))
    boxes = np.concatenate([corners, sides], axis=1).round(2).tolist()
    names = [f"{5 * index:012d}.jpg" for index in range(NUM_IMAGES)]
    with annotation_file.open("w", buffering=1 << 20) as file:
        file.write('{"info": {"year": 2017}, "licenses": [], "images": [')
        file.writelines(
            f'{", " if index else ""}{{"license": 3, "file_name": "{name}", "coco_url": '
            f'"http://images.cocodataset.org/train2017/{name}", "height": 480, "width": 640, '
            f'"date_captured": "2013-11-14 11:18:45", "flickr_url": '
            f'"http://farm9.staticflickr.com/8186/{index:010d}_o.jpg", "id": {5 * index}}}'
            for index, name in enumerate(names)
        )
        file.write('], "annotations": [')
        file.writelines(
            f'{", " if index else ""}{{"segmentation": {outlines[index % 4096]}, "area": 702.1, '
            f'"iscrowd": {int(index % 100 == 0)}, "image_id": {5 * owner}, "bbox": {box}, '
            f'"category_id": {category}, "id": {index}}}'
            for index, (owner, category, box) in enumerate(zip(owners, classes, boxes, strict=True))
        )
        categories = [{"id": int(i), "name": f"class {i}"} for i in sorted(category_ids)]
        file.write(f'], "categories": {json.dumps(categories)}}}')
    header = jpeg_header()
    for name in names:
        (image_dir / name).write_bytes(header)
    return annotation_file


def jpeg_header() -> bytes:
    """All of a photograph's file before its scan, with EXIF as a camera's."""
    exif = Image.Exif()
    exif[0x0112] = 1
    buffer = io.BytesIO()
    Image.new("RGB", (640, 480)).save(buffer, "JPEG", exif=exif, comment=b" " * 2000)
    content = buffer.getvalue()
    return content[: content.index(b"\xff\xda") + 14]


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def measure(loader: str, annotation_file: Path) -> None:
    """Load the file once in this fresh process, and print what it took as JSON."""
    if loader == "mindssd":
        from mindssd.build.data import SECONDS_FOR_SIZES
        from mindssd.data.formats.coco import load_coco
    else:
        from pycocotools.coco import COCO
    before = resident_megabytes()
    start = time.perf_counter()
    if loader == "mindssd":
        loaded: object = load_coco(
            annotation_file, annotation_file.parent / "train2017", SECONDS_FOR_SIZES
        )
    else:
        with contextlib.redirect_stdout(io.StringIO()):
            loaded = COCO(str(annotation_file))
    seconds = time.perf_counter() - start
    result = {
        "seconds": seconds,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "held": resident_megabytes() - before,
    }
    del loaded
    print(json.dumps(result))


def measure_sizes(image_dir: Path) -> None:
    """Read the sizes of all files three times, and print how long each took."""
    from mindssd.data.file_headers import FileHeaders

    names = sorted(path.name for path in image_dir.iterdir())
    for name in names:  # so that the first reading waits for the disk
        file = os.open(image_dir / name, os.O_RDONLY)
        os.fdatasync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)
    cache = os.environ["MINDSSD_CACHE"]
    for where, folder in (
        ("disk", f"{cache}/1"),
        ("memory", f"{cache}/2"),
        ("the cache", f"{cache}/2"),
    ):
        os.environ["MINDSSD_CACHE"] = folder
        start = time.perf_counter()
        headers = FileHeaders(image_dir, names)
        headers.read(np.arange(len(names)))
        seconds = time.perf_counter() - start
        headers.save()
        assert (headers.columns == [480, 640, 0]).all()
        print(
            f"sizes of {len(names):,} files from {where}: {seconds:.2f} s, "
            f"{1e6 * seconds / len(names):.1f} µs a file"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compare", action="store_true", help="measure pycocotools too")
    parser.add_argument("--measure", nargs=2, metavar=("LOADER", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure[0], Path(options.measure[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINDSSD_CACHE"] = f"{folder}/cache"
        annotation_file = generate(Path(folder))
        print(f"annotation file of {annotation_file.stat().st_size / 1e6:.0f} MB")
        results = {}
        for loader in ["mindssd", "pycocotools"] if options.compare else ["mindssd"]:
            command = [sys.executable, __file__, "--measure", loader, str(annotation_file)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[loader] = json.loads(output)
            print(
                "{0}: {seconds:.1f} s, {peak:.0f} MB at the peak, {held:.0f} MB held".format(
                    loader, **results[loader]
                )
            )
        if options.compare:
            ratios = (
                f"{results['pycocotools'][key] / results['mindssd'][key]:.1f} times the {key}"
                for key in ("seconds", "peak", "held")
            )
            print(f"pycocotools takes {', '.join(ratios)}")
        measure_sizes(annotation_file.parent / "train2017")


if __name__ == "__main__":
    main()
