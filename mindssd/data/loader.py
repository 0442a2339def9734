"""Batches for training: grain's worker processes around `TrainingSamples`.

A batch is a function of the seed and its global step alone, whichever process makes it. So a run
resumes at any step, on any number of workers, and the loader has no state to save.
"""

import contextlib
import errno
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import weakref
from collections.abc import Iterator
from types import ModuleType
from typing import IO, Any, Self

import cv2
import numpy as np

from mindssd.data.samples import TrainingSamples
from mindssd.data.sampling import EpochOrders
from mindssd.errors import DatasetError
from mindssd.platform import ENDING_SIGNALS
from mindssd.types import Array, Batch

_Columns = dict[str, Array]


class TrainingLoader:
    """Cuts a data set's epochs into batches for one of `world_size` processes.

    Each epoch holds as many images as there are, in an order of its own: every image once, or some
    more often (`data.sampling`). Its last step is filled with images of the same epoch of weight 0
    and without truths: batch normalisation sees real pixels, and every process has
    `steps_per_epoch` whole batches. `num_workers` 0 prepares in this process.
    """

    def __init__(
        self,
        samples: TrainingSamples,
        batch_size: int,
        num_workers: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        repeat_factors: Array | None = None,
    ) -> None:
        """`repeat_factors` (N,): how often images come beside each other; None: all alike."""
        if batch_size < 1 or num_workers < 0 or not 0 <= rank < world_size:
            raise ValueError(
                f"batch_size {batch_size}, num_workers {num_workers}, rank {rank} of {world_size}: "
                "expected at least 1, at least 0, and a rank below the world's size"
            )
        if not len(samples):
            raise DatasetError("the training data set has no images; expected at least one")
        self.num_workers = num_workers
        orders = EpochOrders(len(samples), seed, repeat_factors)
        self._source = _BatchSource(samples, orders, batch_size, rank, world_size)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch, the same in every process."""
        return self._source.steps_per_epoch

    def batches(self, first_step: int, end_step: int) -> "BatchIterator":
        """Iterate over the batches of these steps, counted from the start of epoch 0.

        Close it, or leave its `with`, at last.
        """
        return BatchIterator(self._source, self.num_workers, first_step, end_step)


class BatchIterator(Iterator[Batch]):
    """Iterates over batches prepared ahead; holds the worker processes until `close`."""

    def __init__(
        self,
        source: "_BatchSource",
        num_workers: int,
        first_step: int,
        end_step: int,
    ) -> None:
        self._next_step = first_step
        self._end_step = end_step
        self._num_workers = num_workers
        self._iterator: list[Any] = []  # one, until it is closed
        self._files = contextlib.ExitStack()
        self._worker_errors: IO[bytes] | None = None
        if first_step < end_step:
            steps = _Steps(source, first_step, end_step - first_step)
            self._iterator.append(_grain_iterator(steps, num_workers))
            # A program may end without `close`; grain's own clean-up then comes too late and fails.
            weakref.finalize(self, _close, self._iterator)

    def __next__(self) -> Batch:
        if self._next_step >= self._end_step or not self._iterator:
            self.close()
            raise StopIteration
        columns = self._next_columns()
        self._next_step += 1
        # A plain view keeps the shared memory below it alive.
        return Batch(**{name: column.view(np.ndarray) for name, column in columns.items()})

    def close(self) -> None:
        """Stop the workers. May be called twice; the iterator is at its end afterwards."""
        _close(self._iterator)
        self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _next_columns(self) -> _Columns:
        started = self._worker_errors is not None or self._num_workers == 0
        try:
            if started:
                columns: _Columns = next(self._iterator[0])
            else:
                self._worker_errors = self._files.enter_context(
                    tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
                )
                with _stderr_into(self._worker_errors):
                    columns = next(self._iterator[0])  # starts the workers
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise DatasetError(
                "/dev/shm is too small for batches: in a container, docker run --shm-size=2g; or "
                "num_workers=0, which does without worker processes"
            ) from error
        except RuntimeError as error:
            if "exit code" not in str(error):
                raise
            raise DatasetError(f"{error.args[0].split('. ')[0]}. {self._worker_hint()}") from error
        return columns

    def _worker_hint(self) -> str:
        said = ""
        if self._worker_errors is not None:
            self._worker_errors.seek(0)
            lines = self._worker_errors.read().decode(errors="replace").strip().splitlines()
            lines = [line for line in lines if "jax profiler" not in line]  # grain's warning
            said = f"Its last words: {lines[-1]!r}. " if lines else ""
        return (
            f"{said}Exit code -7 means that /dev/shm is too small for batches, -9 that memory ran "
            "out; a script that makes a loader needs `if __name__ == '__main__':`. "
            "num_workers=0 does without worker processes"
        )


class _BatchSource:
    """Makes one process's batch of any global step, from the samples of that step's epoch."""

    def __init__(
        self,
        samples: TrainingSamples,
        orders: EpochOrders,
        batch_size: int,
        rank: int,
        world_size: int,
    ) -> None:
        self.samples = samples
        self.orders = orders
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size
        self.steps_per_epoch = -(-len(samples) // (batch_size * world_size))

    def batch(self, step: int) -> _Columns:
        """Make the batch of a global step, counted from the start of epoch 0."""
        epoch, step_of_epoch = divmod(step, self.steps_per_epoch)
        num_images = len(self.samples)
        order, repeats = self.orders[epoch]
        first = step_of_epoch * self.batch_size * self.world_size + self.rank
        positions = first + self.world_size * np.arange(self.batch_size)
        columns: _Columns = {}
        for row, position in enumerate(positions.tolist()):
            # Beyond the epoch's last image: its first ones again, which do not count.
            place = position % num_images
            sample = self.samples[epoch, int(order[place]), int(repeats[place])]
            if not columns:
                columns = _empty_columns(self.batch_size, sample.image, sample.offsets)
            columns["images"][row] = sample.image
            columns["image_ids"][row] = sample.image_id
            if position < num_images:
                columns["offsets"][row] = sample.offsets
                columns["labels"][row] = sample.labels
                columns["weights"][row] = sample.weight
                columns["unreadable"][row] = sample.unreadable
        return columns


class _Steps:
    """A range of steps in the form that grain reads: a length and random access."""

    def __init__(self, source: _BatchSource, first_step: int, num_steps: int) -> None:
        self.source = source
        self.first_step = first_step
        self.num_steps = num_steps

    def __len__(self) -> int:
        return self.num_steps

    def __getitem__(self, index: int) -> _Columns:
        return self.source.batch(self.first_step + index)

    def __repr__(self) -> str:
        return f"steps {self.first_step} to {self.first_step + self.num_steps}"


def _empty_columns(batch_size: int, image: Array, offsets: Array) -> _Columns:
    """Make a batch of background that does not count, to be filled in."""
    return {
        "images": np.empty((batch_size, *image.shape), np.float32),
        "offsets": np.zeros((batch_size, *offsets.shape), np.float32),
        "labels": np.zeros((batch_size, len(offsets)), np.int32),
        "weights": np.zeros(batch_size, np.float32),
        "image_ids": np.zeros(batch_size, np.int64),
        "unreadable": np.zeros(batch_size, np.bool_),
    }


def _import_grain() -> ModuleType:
    """Import grain without its warning that JAX's profiler is not installed."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        import grain
    finally:
        logging.disable(disabled)
    return grain  # type: ignore[no-any-return]


def _grain_iterator(steps: _Steps, num_workers: int) -> Any:
    """Let grain read the steps ahead, in a thread or in worker processes."""
    grain = _import_grain()
    threads = 1 if num_workers == 0 else 0
    reading = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    dataset = grain.MapDataset.source(steps).to_iter_dataset(reading)
    if num_workers:
        # No more workers than steps: grain refuses an empty share.
        workers = min(num_workers, len(steps))
        options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=1)
        dataset = dataset.mp_prefetch(options, worker_init_fn=_start_worker)
    return iter(dataset)


def _close(iterator: list[Any]) -> None:
    """Close what the list holds, and let go of it."""
    while iterator:
        iterator.pop().close()


def _start_worker(worker: int, num_workers: int) -> None:
    """Prepare a worker process: one OpenCV thread, and an end with its parent's.

    Ctrl-C and a terminal's end reach every process of it, but the training process decides.
    """
    cv2.setNumThreads(1)
    # What is said of an image would be said in each epoch, to nobody.
    logging.getLogger("mindssd.images").setLevel(logging.ERROR)
    for number in ENDING_SIGNALS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        # Without it, killing the training process would leave its workers waiting for ever.
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: Any) -> None:
    parent.join()
    os._exit(1)


@contextlib.contextmanager
def _stderr_into(file: IO[bytes]) -> Iterator[None]:
    """Give processes that start meanwhile this file as their stderr.

    A worker imports grain, which warns about JAX, before any code of ours can silence it; and the
    image libraries print on stderr. What a worker raises reaches this process another way.
    """
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
