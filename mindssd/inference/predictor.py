"""From images to detections, whatever runs the network.

A `Predictor` knows one network's `forward`, a plain function on arrays: an engine's, a deployed
runtime's, or a test's. Reading, resizing and normalising are those of training (`mindssd.images`).
"""

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from mindssd.errors import ImageError
from mindssd.geometry.boxes import clip
from mindssd.geometry.postprocess import (
    PostProcess,
    PostProcessDecoded,
    PostProcessSelected,
)
from mindssd.images import (
    Normalization,
    as_rgb,
    decode_image,
    letterbox,
    letterboxed_size,
    normalise,
    read_image,
    resize,
)
from mindssd.platform import available_cores
from mindssd.types import Array, Detections, ImageRecord, ImageSize

Forward = Callable[[Array], tuple[Array, ...]]
"""images (B, 3, H, W) float32 to the arrays (B, …) that its `PostProcess` takes of each image: an
engine's offsets (B, A, 4) and logits (B, A, C + 1), or a deployed file's boxes and scores."""

AnyPostProcess = PostProcess | PostProcessDecoded | PostProcessSelected

Source = str | Path | bytes | Array | ImageRecord
"""An image file, its content, an image as an array that `images.as_rgb` takes, or an annotated
image."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def _default_threads() -> int:
    # The cores belong to the network; a few threads keep it fed.
    return min(4, available_cores())


@dataclass(frozen=True, eq=False)
class Predictor:
    """Detects objects with a network that was compiled for batches of `batch_size` images.

    `forward` is called from one thread, always with (batch_size, 3, H, W) for `image_size` (H, W):
    a short batch is filled up with zeros. With `keeps_aspect` a picture is not stretched to that
    size, but fills its upper left as far as its shape allows. `num_threads` threads read, prepare
    and post-process beside it in `stream`.
    """

    forward: Forward
    image_size: ImageSize
    normalization: Normalization
    postprocess: AnyPostProcess
    class_names: tuple[str, ...]
    batch_size: int = 1
    keeps_aspect: bool = False
    num_threads: int = field(default_factory=_default_threads)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}; expected at least 1")
        if self.num_threads < 1:
            raise ValueError(f"num_threads is {self.num_threads}; expected at least 1")

    def detect(self, images: Iterable[Array]) -> list[Detections]:
        """Detect in images of any size, (H, W, 3) uint8 RGB or what `images.as_rgb` takes.

        One result for each image, in their order, boxes in pixels of that image; no images give
        none. They are taken a batch at a time, so that a generator's need not fit in memory.
        ImageError for an array that is no image.
        """
        results: list[Detections] = []
        for batch in _batches(images, self.batch_size):
            pictures = [as_rgb(image) for image in batch]
            outputs = self.run([self.prepare(picture) for picture in pictures])
            for index, picture in enumerate(pictures):
                results.append(self.finish([x[index] for x in outputs], _size(picture)))
        return results

    def outputs(self, image: Array) -> list[Array]:
        """What the network gives for one image, as its `postprocess` takes it."""
        return [output[0] for output in self.run([self.prepare(as_rgb(image))])]

    def stream(self, sources: Iterable[Source]) -> Generator[Detections | ImageError, None, None]:
        """Detect in images as they come, reading and preparing the next ones meanwhile.

        Yields one result for each source, in their order. Where an image cannot be read, that
        result is the ImageError itself, not raised: one broken file does not end the stream. Only
        some sources are taken ahead, so their images need not fit in memory. No sources give none.
        A stream that is left early must be closed before its sources are.
        """
        with closing(self._run(sources, keep_images=False)) as results:
            for result in results:
                yield result if isinstance(result, ImageError) else result[1]

    def stream_with_images(
        self, sources: Iterable[Source]
    ) -> Generator[tuple[Array, Detections] | ImageError, None, None]:
        """Detect as `stream` does, with each image, (H, W, 3) uint8 RGB, beside its detections."""
        yield from self._run(sources, keep_images=True)

    def warm_up(self) -> None:
        """Run the network once on zeros, so that what it compiles at first is not timed."""
        self.forward(np.zeros((self.batch_size, 3, *self.image_size), np.float32))

    def _run(
        self, sources: Iterable[Source], keep_images: bool
    ) -> Generator[tuple[Array, Detections] | ImageError, None, None]:
        """Run the three stages: prepare in threads, forward here, post-process in threads."""
        empty = np.zeros((0, 0, 3), np.uint8)

        def load(source: Source) -> "_Loaded | ImageError":
            try:
                picture = read_source(source)
            except ImageError as error:
                return error
            kept = picture if keep_images else empty
            return _Loaded(kept, _size(picture), self.prepare(picture))

        def finish(
            loaded: "_Loaded | ImageError", outputs: Sequence[Array]
        ) -> tuple[Array, Detections] | ImageError:
            if isinstance(loaded, ImageError):
                return loaded
            return loaded.picture, self.finish(outputs, loaded.size)

        pool = ThreadPoolExecutor(self.num_threads, thread_name_prefix="mindssd-predictor")
        try:
            finishing: deque[Future[tuple[Array, Detections] | ImageError]] = deque()
            ahead = self.batch_size + 2 * self.num_threads
            for batch in _batches(_map_ahead(pool, load, sources, ahead), self.batch_size):
                outputs = self.run(
                    # An image that could not be read keeps its place, so that places are order.
                    [item.image if isinstance(item, _Loaded) else None for item in batch]
                )
                # The batch before was post-processed while this one ran.
                while finishing:
                    yield finishing.popleft().result()
                for index, item in enumerate(batch):
                    finishing.append(pool.submit(finish, item, [x[index] for x in outputs]))
            while finishing:
                yield finishing.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def parts(self, picture: Array) -> list[Array]:
        """What the network is to be given, one at a time or in batches, to look at a picture."""
        return [self.prepare(picture)]

    def whole(self, outputs: Sequence[Sequence[Array]], size: ImageSize) -> Detections:
        """Detections in a picture of `size` from the network's outputs for each of its `parts`."""
        return self.finish(outputs[0], size)

    def num_parts(self, size: ImageSize) -> int:
        """How many `parts` a picture of `size` has."""
        return 1

    def prepare(self, picture: Array) -> Array:
        """What the network is given of a picture (h, w, 3) uint8: (3, H, W) float32."""
        if self.keeps_aspect:
            fitted = letterbox(picture, self.image_size, self.normalization.fill)
        else:
            fitted = resize(picture, self.image_size)
        return normalise(fitted, self.normalization)

    def filled(self, size: ImageSize) -> ImageSize:
        """The rows and columns of the network's image that a picture of `size` fills."""
        return letterboxed_size(size, self.image_size) if self.keeps_aspect else self.image_size

    def run(self, images: Sequence[Array | None]) -> tuple[Array, ...]:
        """Run the network on at most `batch_size` `parts`, None and what is wanting as zeros."""
        batch = np.zeros((self.batch_size, 3, *self.image_size), np.float32)  # (B, 3, H, W)
        for index, image in enumerate(images):
            if image is not None:
                batch[index] = image
        outputs = self.forward(batch)
        shapes = self.postprocess.output_shapes(len(self.class_names))
        expected = {name: (self.batch_size, *shape) for name, shape in shapes.items()}
        if [output.shape for output in outputs] != list(expected.values()):
            given = " and ".join(
                f"{name} {x.shape}" for name, x in zip(expected, outputs, strict=False)
            )
            raise ValueError(
                f"forward gave {given}; expected {' and '.join(map(str, expected.values()))} for "
                f"{len(self.class_names)} classes"
            )
        return outputs

    def finish(self, outputs: Sequence[Array], size: ImageSize) -> Detections:
        """Detections from one image's outputs, in pixels of an image of `size`."""
        # Its own arguments are checked by shape above, which no type can say.
        postprocess: Callable[..., tuple[Array, Array, Array]] = self.postprocess
        if not self.keeps_aspect:
            boxes, scores, class_ids = postprocess(*outputs, size)
            return Detections(boxes, scores, class_ids, self.class_names)
        rows, columns = self.filled(size)
        # What lies beside the picture is none of it, and takes no other's place.
        boxes, scores, class_ids = postprocess(*outputs, self.image_size, (rows, columns))
        scale = np.array([size[1] / columns, size[0] / rows] * 2, np.float32)
        return Detections(clip(boxes * scale, size), scores, class_ids, self.class_names)


@dataclass(frozen=True, eq=False)
class _Loaded:
    """An image on its way: itself (or nothing, where it need not be kept), its size, prepared."""

    picture: Array
    size: ImageSize
    image: Array


def read_source(source: Source) -> Array:
    """The source as (H, W, 3) uint8 RGB, or ImageError."""
    if isinstance(source, np.ndarray):
        return as_rgb(source)
    if isinstance(source, bytes):
        return decode_image(source, "image")
    if isinstance(source, ImageRecord):
        return read_image(source.path, (source.height, source.width))
    return read_image(source)


def _size(picture: Array) -> ImageSize:
    return picture.shape[0], picture.shape[1]


def _batches(items: Iterable[_Item], batch_size: int) -> Iterator[list[_Item]]:
    """Group items into lists of `batch_size`, the last one shorter where they do not divide."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, batch_size)):
        yield batch


def _map_ahead(
    pool: ThreadPoolExecutor,
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    ahead: int,
) -> Iterator[_Result]:
    """Map in a pool, in order, with at most `ahead` items taken but not yet yielded."""
    iterator = iter(items)
    pending = deque(pool.submit(function, item) for item in itertools.islice(iterator, ahead))
    while pending:
        result = pending.popleft().result()
        for item in itertools.islice(iterator, 1):
            pending.append(pool.submit(function, item))
        yield result
