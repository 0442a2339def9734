"""A model in a thread of its own, which takes what waits for it in batches."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue

import numpy as np

from mindssd.build.model import OpenedModel
from mindssd.errors import MindSSDError
from mindssd.inference.predictor import Predictor
from mindssd.types import Array, ImageSize

Batched = Callable[[int, float], None]
"""Told of a batch: how many network inputs it had and how many seconds it took."""


@dataclass(frozen=True, eq=False)
class _Item:
    part: Array
    future: Future[list[Array]]


class Runner:
    """Opens a model in a thread, and runs its network there, one batch after the other.

    A batch is what the thread takes at once: what waits, at most `max_batch`, and what comes in
    `max_wait_s` where more is known to come. On a CPU each of `num_cores` takes an image of it
    after the other, beside the others: no core waits for another one, as in a network that all of
    them compute. Else, and where a batch has fewer images than there are cores, the network takes
    1, 2, 4, … together. Both as far as they give the same bits as one at a time, which is tried
    when the model is opened: so detections do not depend on what else is asked.
    """

    def __init__(
        self,
        open_model: Callable[[], OpenedModel],
        max_batch: int,
        max_wait_s: float,
        batched: Batched = lambda size, seconds: None,
        num_cores: int = 1,
    ) -> None:
        self._open_model = open_model
        self._max_batch = max_batch
        self._max_wait_s = max_wait_s
        self._batched = batched
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        self._predictors: dict[int, Predictor] = {}
        self._num_lanes = min(num_cores, max_batch)
        self._alone: Predictor | None = None
        """What each lane runs, one image a call; None where no images go side by side."""
        self.num_coming = 0
        """Network inputs that are being prepared for this runner; its callers count them."""
        self._num_users = 0
        self._is_closed = False
        self._opened: Future[OpenedModel] = Future()
        self._thread = threading.Thread(target=self._run, name="mindssd-runner", daemon=True)
        self._thread.start()

    def opened(self) -> OpenedModel:
        """The model, once it is opened; raises what opening it raised."""
        return self._opened.result()

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many inputs the network takes together."""
        return tuple(self._predictors)

    @property
    def num_side_by_side(self) -> int:
        """How many inputs of a batch are computed at the same time, each by itself."""
        return 1 if self._alone is None else self._num_lanes

    def submit(self, part: Array) -> Future[list[Array]]:
        """The network's outputs for one of a predictor's `parts`, later."""
        future: Future[list[Array]] = Future()
        self._queue.put(_Item(part, future))
        return future

    @contextmanager
    def used(self) -> Iterator[None]:
        """While entered, the runner is there, though another has taken its place.

        As `num_coming` and `close`, for the callers' one thread.
        """
        self._num_users += 1
        try:
            yield
        finally:
            self._num_users -= 1
            if self._is_closed and self._num_users == 0:
                self._queue.put(None)

    def close(self) -> None:
        """End the thread, once nobody uses it any more, behind what was submitted so far."""
        self._is_closed = True
        if self._num_users == 0:
            self._queue.put(None)

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(self._num_lanes, thread_name_prefix="mindssd-lane") as lanes:
            try:
                opened = self._open_model()
                self._find_ways(opened, lanes)
            except BaseException as error:
                self._opened.set_exception(error)
                return
            self._opened.set_result(opened)
            self._take_batches(lanes)

    def _find_ways(self, opened: OpenedModel, lanes: ThreadPoolExecutor) -> None:
        """Find in what ways several images give the bits of one at a time.

        A runtime may choose another order of sums for another batch or number of threads, which
        the last bits show. It chooses by shapes, not by values, so noise tells.
        """
        one = replace(opened.predictor, batch_size=1)
        self._predictors = {1: one}
        self._alone = self._opened_for_lanes(opened, one, lanes)
        if self._alone is not None:
            return
        parts = _noise(self._max_batch, one.image_size)
        expected = [one.run([part]) for part in parts]
        for size in _powers_of_two(self._max_batch):
            together = replace(one, batch_size=size)
            outputs = together.run(parts[:size])
            if all(_same([x[i : i + 1] for x in outputs], expected[i]) for i in range(size)):
                self._predictors[size] = together

    def _opened_for_lanes(
        self, opened: OpenedModel, one: Predictor, lanes: ThreadPoolExecutor
    ) -> Predictor | None:
        """What each lane may run; None where it gives other bits or cannot be opened once more."""
        if self._num_lanes < 2 or opened.side_by_side is None:
            return None
        try:
            alone = opened.side_by_side(self._num_lanes)
        except MindSSDError:  # memory for one of them there is
            return None
        parts = _noise(2 * self._num_lanes, one.image_size)
        found = list(lanes.map(lambda part: alone.run([part]), parts))
        return alone if all(map(_same, found, (one.run([part]) for part in parts))) else None

    def _take_batches(self, lanes: ThreadPoolExecutor) -> None:
        while batch := self._gather():
            # One that is cancelled, for nobody waits for it any more, costs nothing.
            wanted = [item for item in batch if item.future.set_running_or_notify_cancel()]
            start = time.perf_counter()
            if self._alone is not None and len(wanted) >= self._num_lanes:
                list(lanes.map(partial(_compute, self._alone), ([item] for item in wanted)))
            else:
                self._compute_here(wanted)
            if wanted:
                self._batched(len(wanted), time.perf_counter() - start)

    def _gather(self) -> list[_Item]:
        """The next batch; none at the end."""
        first = self._queue.get()
        if first is None:
            return []
        batch = [first]
        end = time.monotonic() + self._max_wait_s
        while len(batch) < self._max_batch:
            try:
                left = end - time.monotonic()
                waits = self.num_coming > 0 and left > 0
                item = self._queue.get(timeout=left) if waits else self._queue.get_nowait()
            except Empty:
                break
            if item is None:
                self._queue.put(None)  # for the next call
                break
            batch.append(item)
        return batch

    def _compute_here(self, items: Sequence[_Item]) -> None:
        done = 0
        while left := len(items) - done:
            size = max(size for size in self._predictors if size <= left)
            _compute(self._predictors[size], items[done : done + size])
            done += size


def _compute(predictor: Predictor, items: Sequence[_Item]) -> None:
    """Run the network on items together, and give each its own outputs or the error."""
    try:
        outputs = predictor.run([item.part for item in items])
    except BaseException as error:
        for item in items:
            item.future.set_exception(error)
        return
    for index, item in enumerate(items):
        item.future.set_result([output[index] for output in outputs])


def _powers_of_two(most: int) -> list[int]:
    return [2**power for power in range(1, most.bit_length()) if 2**power <= most]


def _noise(count: int, image_size: ImageSize) -> list[Array]:
    rng = np.random.default_rng(0)
    return list(rng.standard_normal((count, 3, *image_size), np.float32))


def _same(found: Sequence[Array], expected: Sequence[Array]) -> bool:
    return all(map(np.array_equal, found, expected))
