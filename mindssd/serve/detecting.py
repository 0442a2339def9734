"""From the images of a request to detections: decoded in threads, computed by a model's runner."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import cv2

from mindssd.decoders.decoded import at_most
from mindssd.drawing.visualize import draw
from mindssd.errors import ConfigError, ImageError
from mindssd.images import decode_image
from mindssd.inference.detector import Detector
from mindssd.serve.models import Served
from mindssd.serve.options import Options
from mindssd.serve.refusals import RefusalError, busy
from mindssd.serve.runner import Runner
from mindssd.types import Array, Detections, ImageSize

_JPEG_QUALITY = 92


@dataclass(frozen=True, eq=False)
class Looked:
    """An image's name, size and detections, or why it could not be read."""

    name: str
    size: ImageSize
    detections: Detections
    error: str | None = None


class Queue:
    """Counts the network inputs that wait or run; used in the event loop's thread alone."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = 0

    @contextmanager
    def place(self) -> Iterator["Place"]:
        place = Place(self)
        try:
            yield place
        finally:
            self.now -= place.count


class Place:
    """The network inputs of one request in a queue."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.count = 0

    def grow(self, count: int) -> None:
        """Take so many more; RefusalError where the queue has no room for them, or never has."""
        queue = self._queue
        together = self.count + count
        if together > queue.most:
            raise RefusalError(
                422,
                f"the request has {together} images or tiles; at most {queue.most} are looked at: "
                "send fewer images, or ask for larger tiles",
            )
        if queue.now + count > queue.most:
            raise busy(f"{queue.now} images or tiles wait")
        queue.now += count
        self.count = together


class Detecting:
    """Detects in the images of requests, of all models."""

    def __init__(self, num_threads: int, queue_size: int, max_pixels: int) -> None:
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="mindssd-serve")
        self._max_pixels = max_pixels
        self.queue = Queue(queue_size)

    def close(self) -> None:
        self._pool.shutdown()

    async def detect(
        self, served: Served, images: Sequence[tuple[str, bytes]], options: Options
    ) -> list[Looked]:
        """What is in each image, in their order. RefusalError where the queue is full."""
        detector = detector_of(served, options)
        runner = served.runner  # this one, even if the file is replaced meanwhile
        try:
            with runner.used(), self.queue.place() as place:
                place.grow(len(images))
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(self._one(detector, runner, place, name, data))
                        for name, data in images
                    ]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        return [task.result() for task in tasks]

    async def drawn(self, image: tuple[str, bytes], detections: Detections) -> bytes:
        """The image as a JPEG, with its detections drawn on it.

        It is decoded once more, for fewer pictures are held in memory so.
        """
        name, data = image

        def make() -> bytes:
            # All are drawn: they were chosen by their score.
            picture = draw(self._decode(data, name), detections, score_threshold=0)
            return encode_jpeg(picture)

        return await asyncio.get_running_loop().run_in_executor(self._pool, make)

    async def _one(
        self, detector: Detector, runner: Runner, place: Place, name: str, data: bytes
    ) -> Looked:
        predictor = detector.predictor
        loop = asyncio.get_running_loop()

        def prepare() -> tuple[ImageSize, list[Array]] | ImageError:
            try:
                picture = self._decode(data, name)
            except ImageError as error:
                return error
            size = (picture.shape[0], picture.shape[1])
            # More tiles than the queue takes are refused below, and not made.
            fits = predictor.num_parts(size) <= self.queue.most
            return size, predictor.parts(picture) if fits else []

        with coming(runner):
            found = await loop.run_in_executor(self._pool, prepare)
            if isinstance(found, ImageError):
                empty = Detections.empty(detector.class_names)
                return Looked(name, (0, 0), empty, str(found))
            size, parts = found
            place.grow(predictor.num_parts(size) - 1)  # one is counted already
            futures = [asyncio.wrap_future(runner.submit(part)) for part in parts]
        outputs = await asyncio.gather(*futures)
        detections = await loop.run_in_executor(self._pool, predictor.whole, outputs, size)
        return Looked(name, size, detections)

    def _decode(self, data: bytes, name: str) -> Array:
        with at_most(self._max_pixels):
            return decode_image(data, name)


@contextmanager
def coming(runner: Runner) -> Iterator[None]:
    """While entered, something is on its way to a runner: a batch that is not full waits for it."""
    runner.num_coming += 1
    try:
        yield
    finally:
        runner.num_coming -= 1


def detector_of(served: Served, options: Options) -> Detector:
    """The model's detector with a request's settings; RefusalError where it cannot have them."""
    if options.overlap is not None and options.tile is None:
        raise RefusalError(422, "overlap is for tile: give both, or neither")
    try:
        return served.opened.detector(
            score_threshold=options.score,
            max_detections=options.max_detections,
            classes=options.classes,
            tile=options.tile,
            overlap=options.overlap,
        )
    except ConfigError as error:
        raise RefusalError(422, str(error)) from error


def encode_jpeg(picture: Array) -> bytes:
    """(H, W, 3) uint8 RGB as a JPEG; one too large for that is made smaller."""
    most = 65500  # libjpeg's longest side
    if max(picture.shape[:2]) > most:
        scale = most / max(picture.shape[:2])
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return content.tobytes()
