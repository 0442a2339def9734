"""A picture fitted into the network's image with its aspect kept, on every way that it takes."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mindssd.build.fit import truth_sides
from mindssd.build.model import deployed_predictor
from mindssd.data.augment import Augmentation, augment
from mindssd.data.samples import TrainingSamples
from mindssd.deploy.sessions.session import Session
from mindssd.geometry.postprocess import PostProcess
from mindssd.geometry.selection import Selection
from mindssd.images import Normalization, letterbox, letterboxed_size, normalise, read_image
from mindssd.inference.predictor import Predictor
from mindssd.types import Array
from tests.default_boxes import default_boxes_at
from tests.deploy.conftest import manifest

FILL = (10.0, 20.0, 30.0)
AS_IS = Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("size", "network", "filled"),
    [
        ((40, 20), (8, 8), (8, 4)),
        ((20, 40), (8, 8), (4, 8)),
        ((20, 40), (4, 8), (4, 8)),
        ((480, 640), (300, 300), (225, 300)),
        ((1, 5000), (300, 300), (1, 300)),
    ],
)
def test_as_much_is_filled_as_the_shape_allows(size, network, filled) -> None:
    assert letterboxed_size(size, network) == filled


def test_the_picture_lies_in_the_upper_left_and_the_rest_is_filled() -> None:
    picture = np.full((20, 40, 3), 200, np.uint8)
    fitted = letterbox(picture, (8, 8), FILL)
    assert (fitted[:4] == 200).all()
    assert (fitted[4:] == FILL).all()


def predictor(boxes_cxcywh: list[list[float]]) -> Predictor:
    """A network that is sure of each of its default boxes."""
    default_boxes = default_boxes_at(np.array(boxes_cxcywh))

    def forward(images: Array) -> tuple[Array, Array]:
        shape = len(images), len(boxes_cxcywh)
        return np.zeros((*shape, 4), np.float32), np.full((*shape, 2), 5, np.float32)

    postprocess = PostProcess(default_boxes, selection=Selection(iou_threshold=1.0))
    return Predictor(forward, (8, 8), AS_IS, postprocess, ("thing",), keeps_aspect=True)


def test_boxes_are_in_pixels_of_the_picture_and_end_at_its_edge() -> None:
    whole_and_half = predictor([[0.5, 0.5, 1.0, 1.0], [0.25, 0.25, 0.5, 0.5]])
    (found,) = whole_and_half.detect([np.zeros((20, 40, 3), np.uint8)])
    assert found.boxes.tolist() == [[0, 0, 40, 20], [0, 0, 20, 20]]


def test_what_is_seen_beside_the_picture_is_no_detection() -> None:
    below = predictor([[0.5, 0.75, 0.5, 0.5]])
    (found,) = below.detect([np.zeros((20, 40, 3), np.uint8)])
    assert len(found) == 0


def test_what_is_seen_beside_the_picture_takes_no_others_place() -> None:
    boxes = predictor([[0.5, 0.75, 0.5, 0.5], [0.25, 0.25, 0.5, 0.5]])
    one = replace(boxes.postprocess, selection=Selection(max_detections=1))
    (found,) = replace(boxes, postprocess=one).detect([np.zeros((20, 40, 3), np.uint8)])
    assert found.boxes.tolist() == [[0, 0, 20, 20]]


def test_boxes_that_are_the_same_within_the_picture_are_one_detection() -> None:
    """The longer one has an IoU of 1/2 with the other, and of 1 where the picture ends."""
    boxes = predictor([[0.25, 0.25, 0.5, 0.5], [0.25, 0.5, 0.5, 1.0]])
    usual = replace(boxes.postprocess, selection=Selection(iou_threshold=0.6))
    (found,) = replace(boxes, postprocess=usual).detect([np.zeros((20, 40, 3), np.uint8)])
    assert found.boxes.tolist() == [[0, 0, 20, 20]]


def test_training_shows_a_picture_as_prediction_does(
    make_samples: Callable[..., TrainingSamples],
) -> None:
    still = Augmentation(crop_probability=0, flip_probability=0, colour_probability=0)
    for augmentation in (None, still):
        samples = make_samples(1, augmentation=augmentation)
        samples = replace(samples, image_size=(48, 48), keeps_aspect=True)
        image, boxes, _ = samples.augmented(0, 0)
        # 60 by 40 becomes 48 by 32: four fifths of (10, 5, 40, 30).
        assert boxes.tolist() == [[8, 4, 32, 24]]
        record = samples.dataset[0]
        looking = replace(
            predictor([[0.5, 0.5, 1, 1]]), image_size=(48, 48), normalization=samples.normalization
        )
        expected = looking.prepare(read_image(record.path))
        assert np.array_equal(normalise(image, samples.normalization), expected)


def test_boxes_stay_on_their_objects_whatever_is_cropped_or_turned() -> None:
    picture = np.zeros((120, 200, 3), np.uint8)
    picture[30:80, 60:150] = 255
    truth = np.array([[60, 30, 150, 80]], np.float32)
    anything = Augmentation(
        crop_probability=0.7,
        zoom_out_probability=0.3,
        scale_jitter_probability=0.5,
        rotate_probability=0.5,
        vertical_flip_probability=0.5,
        colour_probability=0,
    )
    labels = np.ones(1, np.int32)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        image, boxes, _ = augment(
            picture, truth, labels, (96, 96), anything, (0, 0, 0), rng, keeps_aspect=True
        )
        if not len(boxes):
            continue
        rows, columns = np.nonzero(image[..., 0] > 127)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(boxes[0] - seen).max() < 1.5, seed


def test_sides_of_truths_are_those_of_the_fitted_picture(
    make_samples: Callable[..., TrainingSamples],
) -> None:
    dataset = make_samples(1).dataset  # 30 by 25 pixels in 60 by 40
    stretched, _ = truth_sides(dataset, (48, 48))
    fitted, _ = truth_sides(dataset, (48, 48), keeps_aspect=True)
    assert stretched[0] == pytest.approx(np.sqrt(30 * 0.8 * 25 * 1.2))
    assert fitted[0] == pytest.approx(np.sqrt(30 * 0.8 * 25 * 0.8))


def test_a_deployed_file_fits_pictures_as_its_model_did() -> None:
    plain = manifest()
    config = {**plain.metadata.config, "image_fit": "letterbox"}
    fitted = replace(plain, metadata=replace(plain.metadata, config=config))
    for description, keeps_aspect in ((plain, False), (fitted, True)):
        session = Session(description, lambda images: (images,), "a formula")
        assert deployed_predictor(session, Selection(), 1).keeps_aspect is keeps_aspect
