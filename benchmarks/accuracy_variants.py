"""Make a harder data set of one in COCO's layout: few images, or small objects.

    python benchmarks/accuracy_variants.py few DATA_DIR OUT_DIR [--count 40]
    python benchmarks/accuracy_variants.py small DATA_DIR OUT_DIR

`few` keeps so many of the training images, drawn by a seed, and all validation images. `small`
pastes each image, shrunk, onto a blurred canvas of 600 × 600 pixels, so that the side of its
objects is 12 to 24 pixels of a network's 300 × 300. Both write COCO's layout.
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np

CANVAS = 600
SIDES = (12.0, 24.0)
"""Of an object, the root of its area, in pixels of 300 × 300."""

SPLITS = ("train", "val")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("few", "small"))
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--count", type=int, default=40, help="training images that `few` keeps")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for split in SPLITS:
        source = arguments.data_dir / "annotations" / f"instances_{split}2017.json"
        tree = json.loads(source.read_text())
        rng = random.Random(f"{arguments.seed} {split}")
        if arguments.kind == "few" and split == "train":
            tree = few(tree, arguments.count, rng)
        images = arguments.out_dir / f"{split}2017"
        images.mkdir(parents=True, exist_ok=True)
        folder = arguments.data_dir / f"{split}2017"
        for image in tree["images"]:
            if arguments.kind == "small":
                shrink(image, tree, folder, images, rng)
            else:
                content = (folder / image["file_name"]).read_bytes()
                (images / image["file_name"]).write_bytes(content)
        target = arguments.out_dir / "annotations" / source.name
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(tree))
        print(f"{target}: {len(tree['images'])} images, {len(tree['annotations'])} boxes")


def few(tree: dict[str, Any], count: int, rng: random.Random) -> dict[str, Any]:
    images = rng.sample(sorted(tree["images"], key=lambda image: image["id"]), count)
    ids = {image["id"] for image in images}
    annotations = [one for one in tree["annotations"] if one["image_id"] in ids]
    return {**tree, "images": images, "annotations": annotations}


def shrink(
    image: dict[str, Any], tree: dict[str, Any], source: Path, target: Path, rng: random.Random
) -> None:
    """Write the image small on a canvas, and change its entry and its boxes in `tree`."""
    picture = cv2.imread(str(source / image["file_name"]))
    own = [one for one in tree["annotations"] if one["image_id"] == image["id"]]
    side = np.median([np.sqrt(one["bbox"][2] * one["bbox"][3]) for one in own] or [200.0])
    scale = rng.uniform(*SIDES) * CANVAS / 300 / side
    height, width = (max(1, round(length * scale)) for length in picture.shape[:2])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    canvas = cv2.blur(cv2.resize(picture, (CANVAS, CANVAS)), (151, 151))
    left, top = rng.randrange(max(1, CANVAS - width)), rng.randrange(max(1, CANVAS - height))
    small = small[: CANVAS - top, : CANVAS - left]
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    scales = width / picture.shape[1], height / picture.shape[0]
    for one in own:
        x, y, w, h = one["bbox"]
        one["bbox"] = [left + x * scales[0], top + y * scales[1], w * scales[0], h * scales[1]]
        one["area"] = one["bbox"][2] * one["bbox"][3]
        one.pop("segmentation", None)
    image.update(width=CANVAS, height=CANVAS, file_name=f"{image['id']}.png")
    cv2.imwrite(str(target / image["file_name"]), canvas)


if __name__ == "__main__":
    main()
