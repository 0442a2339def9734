"""Time one training sample: a 640x480 JPEG file to a normalised tensor and targets, on one core.

    python benchmarks/training_samples.py [--images 32] [--rounds 5]

It makes its own photographs, with noise of every scale as natural images have, and 8 truths each.
Goals: at most 3.5 ms at 300x300 with 1917 default boxes, and 8 ms at 640x640 with 51,150. Measured
on a busy AMD Zen 5: 3.3 ms and 5.3 ms, of which decoding takes 1.9 ms.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mindssd.data.augment import Augmentation
from mindssd.data.check import CheckReport
from mindssd.data.dataset import DetectionDataset
from mindssd.data.samples import TrainingSamples
from mindssd.data.targets import Targets
from mindssd.geometry.default_boxes import GridDefaultBoxes, PaperDefaultBoxes
from mindssd.images import Normalization, normalise, read_image
from mindssd.types import Array, ImageSize

BOXES_PER_IMAGE = 8
MOBILENET_GRIDS = [(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]
RESNET_GRIDS = [(80, 80), (40, 40), (20, 20), (10, 10), (5, 5)]


def photograph(rng: np.random.Generator, height: int = 480, width: int = 640) -> Array:
    """Sum noise of every scale, each twice as fine and about half as strong as the one before."""
    image = np.full((height, width, 3), 128, np.float32)
    for octave in range(2, 10):
        coarse = rng.normal(0, 1, (2**octave, 2**octave, 3)).astype(np.float32)
        image += 0.8**octave * 75 * cv2.resize(coarse, (width, height))
    return np.clip(image, 0, 255).astype(np.uint8)


def make_dataset(folder: Path, num_images: int) -> DetectionDataset:
    rng = np.random.default_rng(0)
    file_names = [f"{index:012d}.jpg" for index in range(num_images)]
    for name in file_names:
        cv2.imwrite(str(folder / name), photograph(rng), [cv2.IMWRITE_JPEG_QUALITY, 92])
    num_boxes = num_images * BOXES_PER_IMAGE
    corners = rng.uniform(0, 0.7, (num_boxes, 2))
    sides = rng.uniform(0.05, 0.3, (num_boxes, 2))
    boxes_xywh = np.concatenate([corners, sides], axis=1) * [640, 480, 640, 480]
    return DetectionDataset(
        class_names=("thing",),
        category_ids=(1,),
        annotation_file="",
        image_dir=str(folder),
        report=CheckReport("", num_images, num_boxes, 0, 0),
        image_ids=np.arange(num_images),
        file_names=file_names,
        sizes=np.tile(np.array([480, 640], np.int32), (num_images, 1)),
        file_sizes=np.tile(np.array([480, 640], np.int32), (num_images, 1)),
        starts=np.arange(num_images + 1) * BOXES_PER_IMAGE,
        boxes_xywh=boxes_xywh,
        areas=boxes_xywh[:, 2] * boxes_xywh[:, 3],
        labels=np.ones(num_boxes, np.int32),
        is_crowd=np.zeros(num_boxes, np.bool_),
    )


def milliseconds(function: Callable[[int, int], object], num_images: int, rounds: int) -> float:
    """Give the best round's mean time of `function(round, index)`."""
    best = float("inf")
    for number in range(rounds):
        start = time.perf_counter()
        for index in range(num_images):
            function(number, index)
        best = min(best, time.perf_counter() - start)
    return best / num_images * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    cases: list[tuple[ImageSize, Targets, float]] = [
        ((300, 300), Targets(PaperDefaultBoxes().generate((300, 300), MOBILENET_GRIDS)), 3.5),
        ((640, 640), Targets(GridDefaultBoxes().generate((640, 640), RESNET_GRIDS)), 8.0),
    ]
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(Path(folder), options.images)
        num_bytes = sum(path.stat().st_size for path in Path(folder).iterdir())
        print(f"{options.images} JPEG files, {num_bytes / options.images / 1024:.0f} KiB each")

        def timed(function: Callable[[int, int], object]) -> float:
            return milliseconds(function, options.images, options.rounds)

        decode = timed(lambda _, index: read_image(dataset[index].path))
        print(f"reading and decoding {decode:.2f} ms")
        for size, targets, goal in cases:
            samples = TrainingSamples(
                dataset, size, Normalization(), Augmentation(), targets, seed=0
            )
            whole = timed(lambda epoch, index, samples=samples: samples[epoch, index])
            augmented = timed(lambda epoch, index, samples=samples: samples.augmented(epoch, index))
            image = samples.augmented(0, 0)[0]
            normalising = timed(
                lambda *_, image=image, samples=samples: normalise(image, samples.normalization)
            )
            matching = timed(
                lambda _, index, targets=targets, size=size: targets(
                    dataset[index].boxes * np.float32(size[0] / 640), dataset[index].labels, size
                )
            )
            print(
                f"{size[0]}x{size[1]}, {len(targets.default_boxes.boxes)} default boxes: "
                f"{whole:.2f} ms a sample (goal {goal}): augmentation "
                f"{augmented - decode:.2f}, normalising {normalising:.2f}, targets {matching:.2f}"
            )


if __name__ == "__main__":
    main()
