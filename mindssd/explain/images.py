"""What an image is like as a whole: how bright and how sharp."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from mindssd.data.dataset import DetectionDataset
from mindssd.errors import ImageError
from mindssd.images import read_image
from mindssd.platform import available_cores
from mindssd.types import Array

Progress = Callable[[int, int], None]

SIDE = 512
"""Images are compared at this longer side, so that sharpness is not one of the camera's size."""


def brightness_and_sharpness(
    dataset: DetectionDataset, indices: Sequence[int], progress: Progress | None = None
) -> Array:
    """Measure some images of a data set: (I, 2) float64, NaN for one that cannot be read.

    Brightness is the mean of the grey levels, 0 to 255; sharpness the variance of their Laplacian
    (Pech-Pacheco et al., ICPR 2000), low where an image is blurred or has no detail.
    """

    def measure(index: int) -> tuple[float, float]:
        record = dataset[index]
        try:
            picture = read_image(record.path, (record.height, record.width))
        except ImageError:  # told where it was to be detected in
            return np.nan, np.nan
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        scale = SIDE / max(grey.shape)
        if scale < 1:
            size = tuple(max(1, round(side * scale)) for side in grey.shape[::-1])
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        _, deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
        return float(grey.mean()), float(deviation[0, 0] ** 2)

    values = np.zeros((len(indices), 2))
    with ThreadPoolExecutor(available_cores()) as pool:
        for done, value in enumerate(pool.map(measure, indices)):
            values[done] = value
            if progress is not None:
                progress(done + 1, len(indices))
    return values
