"""The images that a file is compared and calibrated on."""

from collections.abc import Callable, Iterator

import numpy as np

from mindssd.data.dataset import DetectionDataset
from mindssd.errors import DatasetError, ImageError
from mindssd.inference.predictor import read_source
from mindssd.types import Array

_NUM_LEAVES = 150


def readable_images(
    dataset: DetectionDataset, count: int, say: Callable[[str], None]
) -> Iterator[Array]:
    """Read `count` images of a data set, evenly chosen; another for each that cannot be read.

    Says how many could not. DatasetError where none of the data set can.
    """
    chosen = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)
    errors: list[ImageError] = []
    read = 0
    for index in dict.fromkeys([*chosen.tolist(), *range(len(dataset))]):
        if read == count:
            break
        try:
            image = read_source(dataset[index])
        except ImageError as error:
            errors.append(error)
            continue
        read += 1
        yield image
    if read == 0:
        why = f" ({errors[0]})" if errors else ""
        raise DatasetError(
            f"{dataset.annotation_file}: none of its {len(dataset)} images can be read{why}"
        )
    if errors:
        others = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
        say(f"skipped, others taken instead: {errors[0]}{others}")


def drawn_images(num_images: int) -> list[Array]:
    """Draw pictures (H, W, 3) uint8 to compare by where there is no data set, the same each time.

    Discs of every size over one another have edges and colours as photographs do, so that a
    detector finds something ("dead leaves": Lee, Mumford, Huang 2001, Occlusion models for natural
    images).
    """
    height, width = size = (240, 320)
    rows, columns = np.ogrid[:height, :width]
    rng = np.random.default_rng(0)
    images = np.zeros((num_images, height, width, 3), np.uint8)
    for image in images:
        for radius in np.geomspace(height / 2, height / 40, _NUM_LEAVES):
            y, x = rng.uniform((0, 0), size)
            image[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = rng.integers(0, 256, 3)
    return list(images)
