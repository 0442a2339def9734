"""Training samples: a pure function of seed, epoch and index."""

from dataclasses import dataclass

import numpy as np

from mindssd.data.augment import Augmentation, augment
from mindssd.data.dataset import DetectionDataset, on_picture
from mindssd.data.targets import Targets
from mindssd.errors import ImageError
from mindssd.images import Normalization, letterbox, letterboxed_size, normalise, read_image, resize
from mindssd.types import Array, ImageSize, Sample


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

    def __getitem__(self, epoch_and_index: tuple[int, int]) -> Sample:
        """Make the sample of one image in one epoch.

        An image that cannot be read gives zeros with weight 0, marked as unreadable.
        """
        epoch, index = epoch_and_index
        image_id = int(self.dataset.image_ids[index])
        try:
            image, boxes, labels = self.augmented(epoch, index)
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

    def augmented(self, epoch: int, index: int) -> tuple[Array, Array, Array]:
        """Give the sample before normalising and encoding, for a look at it.

        The image (H, W, 3) uint8 at the network's size, its truths' boxes (n, 4) in its pixels and
        labels (n,). ImageError where the image cannot be read.
        """
        record = self.dataset[index]
        # A size that the annotations do not give is 0, and decides nothing.
        image = read_image(record.path, (record.height, record.width))
        size = (image.shape[0], image.shape[1])
        # Of another size than the record says is a file whose header had not been read.
        record = on_picture(record, size)
        boxes, labels = record.boxes[~record.is_crowd], record.labels[~record.is_crowd]
        shown = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        boxes, labels = boxes[shown], labels[shown]
        if self.augmentation is None:
            if self.keeps_aspect:
                rows, columns = letterboxed_size(size, self.image_size)
                fitted = letterbox(image, self.image_size, self.normalization.fill)
            else:
                rows, columns = self.image_size
                fitted = resize(image, self.image_size)
            scale = np.array([columns / size[1], rows / size[0]] * 2, np.float32)
            return fitted, boxes * scale, labels
        rng = np.random.default_rng((self.seed, epoch, index))
        fill = self.normalization.fill
        return augment(
            *(image, boxes, labels, self.image_size, self.augmentation, fill, rng),
            keeps_aspect=self.keeps_aspect,
        )
