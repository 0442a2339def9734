"""A predictor's batches, order, sizes and broken files, with a network that is a formula."""

import itertools
import threading
import weakref
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mindssd.errors import ImageError
from mindssd.geometry.postprocess import PostProcess
from mindssd.images import Normalization
from mindssd.inference.ahead import ahead
from mindssd.inference.detector import Detector
from mindssd.inference.predictor import Forward, Predictor, Source
from mindssd.inference.tiling import TiledPredictor
from mindssd.types import Array, Detections, ImageRecord
from mindssd.weights.safetensors_file import ModelMetadata
from tests.default_boxes import default_boxes_at

UNIT = Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
WHOLE_AND_MIDDLE = default_boxes_at(
    np.array([[0.5, 0.5, 1.0, 1.0], [0.5, 0.5, 0.5, 0.5]], np.float32)
)


def brightness(images: Array) -> tuple[Array, Array]:
    """A network that sees class 0 in the whole image, the surer the brighter; nothing elsewhere."""
    offsets = np.zeros((len(images), 2, 4), np.float32)
    logits = np.full((len(images), 2, 3), -20.0, np.float32)
    logits[:, 0, 1] = images.mean(axis=(1, 2, 3)) * 8 - 4  # (B,)
    return offsets, logits


def predictor(forward: Forward = brightness, batch_size: int = 3) -> Predictor:
    return Predictor(
        forward=forward,
        image_size=(8, 8),
        normalization=UNIT,
        postprocess=PostProcess(WHOLE_AND_MIDDLE),
        class_names=("bright", "never"),
        batch_size=batch_size,
        num_threads=2,
    )


def grey(value: int, height: int = 10, width: int = 20) -> Array:
    return np.full((height, width, 3), value, np.uint8)


def score_of(value: int) -> float:
    return 1 / (1 + float(np.exp(4 - 8 * value / 255)))


def test_boxes_are_in_pixels_of_the_original_image() -> None:
    (found,) = predictor().detect([grey(255, height=30, width=50)])
    ((name, score, box),) = found
    assert (name, box) == ("bright", (0.0, 0.0, 50.0, 30.0))
    assert score == pytest.approx(score_of(255))


def test_no_images_give_no_detections_without_a_run() -> None:
    def refuse(images: Array) -> tuple[Array, Array]:
        raise AssertionError("nothing to run")

    assert predictor(refuse).detect([]) == []
    assert list(predictor(refuse).stream([])) == []


def test_every_batch_has_the_shape_that_was_compiled_and_is_filled_up_with_zeros() -> None:
    seen: list[Array] = []

    def watch(images: Array) -> tuple[Array, Array]:
        seen.append(images)
        return brightness(images)

    assert len(predictor(watch, batch_size=3).detect([grey(200)] * 4)) == 4
    assert [images.shape for images in seen] == [(3, 3, 8, 8)] * 2
    assert seen[1][0].all() and not seen[1][1:].any()


def test_a_batch_changes_no_result() -> None:
    images = [grey(value) for value in (90, 140, 190, 240)]
    alone = predictor(batch_size=1).detect(images)
    together = predictor(batch_size=3).detect(images)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)


def test_a_stream_keeps_the_order_of_more_images_than_are_read_ahead() -> None:
    values = [100 + index for index in range(50)]
    results = list(predictor().stream(grey(value) for value in values))
    assert [scores(result) for result in results] == [pytest.approx([score_of(v)]) for v in values]


def scores(result: Detections | ImageError) -> list[float]:
    assert isinstance(result, Detections)
    return [float(score) for score in result.scores]


def test_a_broken_file_is_an_error_in_its_place_and_the_stream_goes_on(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    Image.fromarray(grey(250)).save(good)
    broken = tmp_path / "broken.png"
    broken.write_bytes(good.read_bytes()[:30])
    sources: list[Source] = [good, broken, tmp_path / "absent.png", str(good), np.zeros(3)]
    results = list(predictor(batch_size=2).stream(sources))
    assert scores(results[0]) == scores(results[3]) == pytest.approx([score_of(250)])
    assert [isinstance(result, ImageError) for result in results] == [0, 1, 1, 0, 1]
    assert "broken.png" in str(results[1]) and "absent.png" in str(results[2])


def test_an_annotated_image_is_read_the_way_its_annotators_saw_it(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer shows it a quarter turned
    Image.fromarray(grey(250, height=10, width=20)).save(path, exif=exif)
    none = (np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros(0, np.bool_))
    record = ImageRecord(1, str(path), 20, 10, *none, np.zeros((0, 4)), np.zeros(0))
    upright, as_annotated = predictor().stream([path, record])
    assert isinstance(upright, Detections) and isinstance(as_annotated, Detections)
    assert upright.boxes.tolist() == [[0, 0, 10, 20]]
    assert as_annotated.boxes.tolist() == [[0, 0, 20, 10]]


def test_a_stream_can_give_the_images_beside_for_drawing() -> None:
    result = next(predictor().stream_with_images([np.full((4, 6), 255, np.uint8)]))
    assert not isinstance(result, ImageError)
    image, found = result
    assert image.shape == (4, 6, 3) and len(found) == 1


def test_a_stream_reads_only_some_images_ahead_and_stops_when_left() -> None:
    taken = 0

    def endless() -> Iterator[Array]:
        nonlocal taken
        while True:
            taken += 1
            yield grey(200)

    stream = predictor(batch_size=2).stream(endless())
    next(stream)
    assert taken < 20
    stream.close()


def test_an_error_of_the_network_is_not_swallowed() -> None:
    def fail(images: Array) -> tuple[Array, Array]:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        list(predictor(fail).stream([grey(200)]))


def test_outputs_of_another_network_are_named_with_their_shapes() -> None:
    def wrong(images: Array) -> tuple[Array, Array]:
        offsets, logits = brightness(images)
        return offsets, logits[:, :, :2]

    with pytest.raises(ValueError, match=r"logits \(3, 2, 2\).*expected.*\(3, 2, 3\)"):
        predictor(wrong).detect([grey(200)])


def test_an_array_that_is_no_image_is_refused() -> None:
    with pytest.raises(ImageError, match="float64"):
        predictor().detect([np.zeros((4, 4, 3))])


@pytest.mark.parametrize("tile", [None, 32])
def test_a_list_of_paths_is_read_as_it_is_detected_in(
    tile: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """800 photographs that are decoded at once take 700 MB."""
    pictures: list[weakref.ref[Array]] = []
    most = 0

    def read(path: Path) -> Array:
        nonlocal most
        picture = grey(int(path.stem), 40, 40)
        pictures.append(weakref.ref(picture))
        most = max(most, sum(reference() is not None for reference in pictures))
        return picture

    monkeypatch.setattr("mindssd.inference.pictures.read_image", read)
    looks = predictor() if tile is None else TiledPredictor(predictor(), tile)
    metadata = ModelMetadata({}, ("bright", "never"), (1, 2), (8, 8), UNIT.mean, UNIT.std, ())
    values = list(range(150, 190))
    found = Detector(looks, metadata)([tmp_path / f"{value}.png" for value in values])
    assert [max(scores(f)) for f in found] == [pytest.approx(score_of(v)) for v in values]
    assert most <= 2 * looks.batch_size if isinstance(looks, Predictor) else most <= 2


def test_a_stream_that_is_left_in_mid_frame_has_let_its_source_go() -> None:
    """Of a tiled stream, the source runs in another thread: nobody may close it meanwhile."""
    for looks in (predictor(), TiledPredictor(predictor(), 32)):
        closed_in: list[str] = []

        def frames(closed_in: list[str] = closed_in) -> Iterator[Array]:
            try:
                while True:
                    yield grey(200, 40, 80)
            finally:
                closed_in.append(threading.current_thread().name)

        for taken in range(4):
            with (
                closing(ahead(frames())) as source,
                closing(looks.stream_with_images(source)) as results,
            ):
                for _ in itertools.islice(results, taken):
                    pass
        assert closed_in == ["mindssd-ahead"] * 3  # the first was never begun


@pytest.mark.parametrize("tile", [None, 32])
def test_items_that_do_not_come_do_not_hold_up_an_end_that_is_asked_for(
    tile: int | None,
) -> None:
    asked, hangs = threading.Event(), threading.Event()

    def camera() -> Iterator[Array]:
        for _ in range(30):
            yield grey(200, 40, 80)
        asked.set()
        hangs.wait(60)

    looks = predictor() if tile is None else TiledPredictor(predictor(), tile)
    with (
        closing(ahead(camera(), until=asked.is_set)) as source,
        closing(looks.stream_with_images(source)) as results,
    ):
        assert len(list(results)) <= 30
    assert not hangs.is_set()
    hangs.set()
