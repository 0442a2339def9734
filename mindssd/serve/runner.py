"""A model in a thread of its own, which takes what waits for it in batches."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

import numpy as np

from mindssd.build.model import OpenedModel
from mindssd.inference.predictor import Predictor
from mindssd.types import Array

Batched = Callable[[int, float], None]
"""Told of a batch: how many network inputs it had and how many seconds it took."""


@dataclass(frozen=True, eq=False)
class _Item:
    part: Array
    future: Future[list[Array]]


class Runner:
    """Opens a model in a thread, and runs its network there and nowhere else.

    A batch is what the thread takes at once: what waits, at most `max_batch`, and what comes in
    `max_wait_s` where more is known to come. The network takes 1, 2, 4, … of it together, as far
    as this gives the same bits as one at a time, which is tried when the model is opened: so
    detections do not depend on what else is asked.
    """

    def __init__(
        self,
        open_model: Callable[[], OpenedModel],
        max_batch: int,
        max_wait_s: float,
        batched: Batched = lambda size, seconds: None,
    ) -> None:
        self._open_model = open_model
        self._max_batch = max_batch
        self._max_wait_s = max_wait_s
        self._batched = batched
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        self._predictors: dict[int, Predictor] = {}
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
        try:
            opened = self._open_model()
            self._predictors = _same_in_batches(opened.predictor, self._max_batch)
        except BaseException as error:
            self._opened.set_exception(error)
            return
        self._opened.set_result(opened)
        while batch := self._gather():
            # One that is cancelled, for nobody waits for it any more, costs nothing.
            wanted = [item for item in batch if item.future.set_running_or_notify_cancel()]
            start = time.perf_counter()
            self._compute(wanted)
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

    def _compute(self, items: Sequence[_Item]) -> None:
        done = 0
        while left := len(items) - done:
            size = max(size for size in self._predictors if size <= left)
            together = items[done : done + size]
            done += size
            try:
                outputs = self._predictors[size].run([item.part for item in together])
            except BaseException as error:
                for item in together:
                    item.future.set_exception(error)
                continue
            for index, item in enumerate(together):
                item.future.set_result([output[index] for output in outputs])


def _same_in_batches(predictor: Predictor, max_batch: int) -> dict[int, Predictor]:
    """Predictors by batch size: 1, and each power of two up to `max_batch` with the same outputs.

    A runtime may choose another order of sums for another batch, which the last bits show. It
    chooses by shapes, not by values, so noise tells.
    """
    predictors = {1: replace(predictor, batch_size=1)}
    sizes = [2**power for power in range(1, max_batch.bit_length()) if 2**power <= max_batch]
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(max(sizes, default=1), 3, *predictor.image_size)).astype(np.float32)
    alone = [predictors[1].run([part]) for part in noise]
    for size in sizes:
        together = replace(predictor, batch_size=size)
        outputs = together.run(list(noise[:size]))
        if all(
            np.array_equal(output[index], one[0])
            for index in range(size)
            for output, one in zip(outputs, alone[index], strict=True)
        ):
            predictors[size] = together
    return predictors
