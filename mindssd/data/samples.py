"""Training samples: a pure function of seed, epoch and index, and of how often that came before."""

from dataclasses import dataclass

import numpy as np

from mindssd.data.augment import Augmentation, augment, happens
from mindssd.data.dataset import DetectionDataset, on_picture
from mindssd.data.mixing import copy_paste
from mindssd.data.targets import Targets
from mindssd.data.windows import Picture
from mindssd.errors import ImageError
from mindssd.images import (
    Normalization,
    canvas_size,
    letterbox,
    letterboxed_size,
    normalise,
    read_image,
    resize,
)
from mindssd.types import ImageSize, Sample


@dataclass(frozen=True, eq=False)
class TrainingSamples:
    """Reads, augments and encodes the images of a data set.

    Without `augmentation` an image is resized, as in evaluation, with its aspect if `keeps_aspect`.
    Crowds are no truths.
    """

    dataset: DetectionDataset
    image_size: ImageSize
    normalization: Normalization
    augmentation: Augmentation | None
    targets: Targets
    seed: int
    keeps_aspect: bool = False

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int] | tuple[int, int, int]) -> Sample:
        """Make the sample of one image in one epoch: (epoch, index), or (epoch, index, repeat).

        `repeat` counts from 0 where an epoch has the image more than once. An image that cannot be
        read gives zeros with weight 0, marked as unreadable.
        """
        epoch, index, repeat = key if len(key) == 3 else (*key, 0)
        image_id = int(self.dataset.image_ids[index])
        try:
            image, boxes, labels = self.augmented(epoch, index, repeat)
        except ImageError:
            num_default_boxes = len(self.targets.default_boxes.boxes)
            return Sample(
                image=np.zeros((3, *self.image_size), np.float32),
                offsets=np.zeros((num_default_boxes, 4), np.float32),
                labels=np.zeros(num_default_boxes, np.int32),
                weight=0.0,
                image_id=image_id,
                unreadable=True,
            )
        offsets, matched_labels = self.targets(boxes, labels, self.image_size)
        return Sample(
            image=normalise(image, self.normalization),
            offsets=offsets,
            labels=matched_labels,
            weight=1.0,
            image_id=image_id,
            unreadable=False,
        )

    def augmented(self, epoch: int, index: int, repeat: int = 0) -> Picture:
        """Give the sample before normalising and encoding, for a look at it.

        The image (H, W, 3) uint8 at the network's size, its truths' boxes (n, 4) in its pixels and
        labels (n,). ImageError where the image cannot be read.
        """
        picture = self._read(index)
        if self.augmentation is None:
            return self._resized(picture)
        # (…, 0) would be the same as without it, and (…, 0, 1) that of the epoch's order.
        again = (2 + repeat,) if repeat else ()
        rng = np.random.default_rng((self.seed, epoch, index, *again))
        if happens(self.augmentation.copy_paste_probability, rng):
            source = self._source_of_objects(rng)
            if source is not None:
                mine, theirs = self._canvas(picture), self._canvas(source)
                scale = (mine[0] / theirs[0], mine[1] / theirs[1])
                cover = self.augmentation.copy_paste_cover
                picture = copy_paste(picture, source, scale, cover, rng)
        others: list[Picture] = []
        if happens(self.augmentation.mosaic_probability, rng):
            drawn = rng.integers(len(self), size=3).tolist()
            # In place of one that cannot be read, which its own sample tells: this one.
            others = [self._read_if_whole(other) or picture for other in drawn]
        return augment(
            *(*picture, self.image_size, self.augmentation, self.normalization.fill, rng),
            keeps_aspect=self.keeps_aspect,
            others=others,
        )

    def _resized(self, picture: Picture) -> Picture:
        image, boxes, labels = picture
        size = (image.shape[0], image.shape[1])
        if self.keeps_aspect:
            rows, columns = letterboxed_size(size, self.image_size)
            fitted = letterbox(image, self.image_size, self.normalization.fill)
        else:
            rows, columns = self.image_size
            fitted = resize(image, self.image_size)
        scale = np.array([columns / size[1], rows / size[0]] * 2, np.float32)
        return Picture(fitted, boxes * scale, labels)

    def _canvas(self, picture: Picture) -> ImageSize:
        """The part of a picture's plane, in its pixels, that becomes the network's image."""
        size = (picture.image.shape[0], picture.image.shape[1])
        return canvas_size(size, self.image_size) if self.keeps_aspect else size

    def _read(self, index: int) -> Picture:
        """An image as its file has it, and its truths; ImageError where it cannot be read."""
        record = self.dataset[index]
        # A size that the annotations do not give is 0, and decides nothing.
        image = read_image(record.path, (record.height, record.width))
        # Of another size than the record says is a file whose header had not been read.
        record = on_picture(record, (image.shape[0], image.shape[1]))
        boxes, labels = record.boxes[~record.is_crowd], record.labels[~record.is_crowd]
        shown = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        return Picture(image, boxes[shown], labels[shown])

    def _read_if_whole(self, index: int) -> Picture | None:
        try:
            return self._read(index)
        except ImageError:
            return None

    def _source_of_objects(self, rng: np.random.Generator) -> Picture | None:
        """The image of a truth drawn at random; None without one, and where it cannot be read."""
        num_truths = len(self.dataset.labels)
        if num_truths == 0:
            return None
        row = int(rng.integers(num_truths))
        return self._read_if_whole(int(np.searchsorted(self.dataset.starts, row, "right")) - 1)
