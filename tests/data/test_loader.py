"""Batches: the same on any number of workers, each image once an epoch, resumable at any step."""

import itertools
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from mindssd.data.loader import TrainingLoader
from mindssd.data.samples import TrainingSamples
from mindssd.errors import DatasetError
from mindssd.types import Batch

MakeSamples = Callable[..., TrainingSamples]

SCRIPT = """
import multiprocessing, os, pickle, sys, time
from mindssd.data.loader import TrainingLoader
from mindssd.data.samples import TrainingSamples

class Samples(TrainingSamples):
    def __getitem__(self, epoch_and_index):
        assert not {"mindspore", "torch"} & set(sys.modules)
        if self.seed == 13:
            os._exit(5)
        return super().__getitem__(epoch_and_index)

if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        samples = pickle.load(file)
    samples = Samples(**samples.__dict__)
    batches = TrainingLoader(samples, 2, num_workers=2, seed=0).batches(0, 1000)
    next(batches)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(float(sys.argv[2]))
"""


def collect(batches: Iterable[Batch]) -> list[dict[str, bytes]]:
    return [{name: column.tobytes() for name, column in vars(batch).items()} for batch in batches]


def ids(batch: Batch) -> list[int]:
    """Give the images that count."""
    return [int(number) for number in batch.image_ids[batch.weights > 0]]


def run_script(samples: TrainingSamples, folder: Path, seconds: float) -> subprocess.Popen[str]:
    (folder / "samples.pickle").write_bytes(pickle.dumps(samples))
    (folder / "train.py").write_text(SCRIPT)
    command = [sys.executable, "train.py", "samples.pickle", str(seconds)]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def is_running(process_id: int) -> bool:
    """Tell a running process from none, and from one that nobody has collected yet."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_batches_have_the_shapes_and_types_of_the_engines(make_samples: MakeSamples) -> None:
    samples = make_samples(4)
    with TrainingLoader(samples, 4, 0, seed=0).batches(0, 1) as batches:
        batch = next(batches)
    num_default_boxes = len(samples.targets.default_boxes)
    expected = {
        "images": ((4, 3, 32, 48), np.float32),
        "offsets": ((4, num_default_boxes, 4), np.float32),
        "labels": ((4, num_default_boxes), np.int32),
        "weights": ((4,), np.float32),
        "image_ids": ((4,), np.int64),
        "unreadable": ((4,), np.bool_),
    }
    for name, (shape, dtype) in expected.items():
        column = getattr(batch, name)
        assert (column.shape, column.dtype, type(column)) == (shape, dtype, np.ndarray)
        assert column.flags.c_contiguous


def test_any_number_of_workers_gives_the_same_batches_and_leaves_no_process(
    make_samples: MakeSamples,
) -> None:
    samples = make_samples(7, unreadable=(3,))
    collected = []
    for num_workers in (0, 1, 2):
        with TrainingLoader(samples, 3, num_workers, seed=0).batches(0, 6) as batches:
            collected.append(collect(batches))
        assert multiprocessing.active_children() == []
    assert len(collected[0]) == 6
    assert collected[0] == collected[1] == collected[2]


def test_every_image_comes_once_an_epoch_in_an_order_of_its_own(make_samples: MakeSamples) -> None:
    loader = TrainingLoader(make_samples(10), 4, 0, seed=0)
    assert loader.steps_per_epoch == 3
    with loader.batches(0, 6) as batches:
        counted = [ids(batch) for batch in batches]
    epochs = [list(itertools.chain(*batch_ids)) for batch_ids in (counted[:3], counted[3:])]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(100, 110))
    assert epochs[0] != epochs[1] and epochs[0] != sorted(epochs[0])


def test_the_last_short_batch_is_filled_with_images_that_do_not_count(
    make_samples: MakeSamples,
) -> None:
    with TrainingLoader(make_samples(5), 4, 0, seed=0).batches(0, 2) as batches:
        last = list(batches)[-1]
    assert last.weights.tolist() == [1, 0, 0, 0]
    assert last.labels[0].any() and not last.labels[1:].any() and not last.offsets[1:].any()
    assert all(image.any() for image in last.images)
    assert len(set(last.image_ids.tolist())) == 4


def test_a_data_set_smaller_than_the_batch_works(make_samples: MakeSamples) -> None:
    with TrainingLoader(make_samples(2), 5, 0, seed=0).batches(0, 1) as batches:
        (batch,) = list(batches)
    assert batch.weights.tolist() == [1, 1, 0, 0, 0]


def test_ranks_share_an_epoch_and_take_equally_many_steps(make_samples: MakeSamples) -> None:
    samples = make_samples(9)
    counted: Counter[int] = Counter()
    for rank in (0, 1):
        loader = TrainingLoader(samples, 2, 0, seed=0, rank=rank, world_size=2)
        assert loader.steps_per_epoch == 3
        with loader.batches(0, 3) as batches:
            for batch in batches:
                counted.update(ids(batch))
    assert counted == dict.fromkeys(range(100, 109), 1)


def test_a_sample_is_the_same_on_any_number_of_ranks(make_samples: MakeSamples) -> None:
    samples = make_samples(4)
    with TrainingLoader(samples, 4, 0, seed=0).batches(0, 1) as batches:
        (together,) = list(batches)
    for rank in (0, 1):
        loader = TrainingLoader(samples, 2, 0, seed=0, rank=rank, world_size=2)
        with loader.batches(0, 1) as batches:
            (share,) = list(batches)
        assert (share.images == together.images[rank::2]).all()


def test_an_unreadable_image_does_not_count_and_is_marked_once(make_samples: MakeSamples) -> None:
    samples = make_samples(3, unreadable=(0, 1))
    with TrainingLoader(samples, 8, 0, seed=0).batches(0, 1) as batches:
        (batch,) = list(batches)
    assert batch.weights.sum() == 1
    assert sorted(batch.image_ids[batch.unreadable].tolist()) == [100, 101]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_any_step_can_come_first_on_any_number_of_workers(
    make_samples: MakeSamples, num_workers: int
) -> None:
    samples = make_samples(7)
    with TrainingLoader(samples, 3, 0, seed=0).batches(3, 9) as batches:
        everything = collect(batches)
    with TrainingLoader(samples, 3, num_workers, seed=0).batches(5, 9) as batches:
        assert collect(batches) == everything[2:]
    assert len(everything) == 6


def test_no_steps_are_no_batches(make_samples: MakeSamples) -> None:
    with TrainingLoader(make_samples(4), 2, 0, seed=0).batches(4, 4) as batches:
        assert list(batches) == []


def test_a_closed_iterator_is_at_its_end(make_samples: MakeSamples) -> None:
    batches = TrainingLoader(make_samples(4), 2, 0, seed=0).batches(0, 5)
    next(batches)
    batches.close()
    batches.close()
    assert list(batches) == []


def test_no_images_and_impossible_numbers_are_refused(make_samples: MakeSamples) -> None:
    with pytest.raises(DatasetError, match="no images"):
        TrainingLoader(make_samples(0), 2, 0, seed=0)
    with pytest.raises(ValueError, match="rank 2 of 2"):
        TrainingLoader(make_samples(1), 2, 0, seed=0, rank=2, world_size=2)


def test_workers_say_nothing_load_no_framework_and_end_with_the_program(
    make_samples: MakeSamples, tmp_path: Path
) -> None:
    program = run_script(make_samples(4, unreadable=(0,)), tmp_path, seconds=0)
    output, errors = program.communicate(timeout=120)
    assert (program.returncode, errors) == (0, "")
    workers = [int(word) for word in output.split()]
    assert len(workers) == 2
    assert not any(is_running(worker) for worker in workers)


def test_workers_end_when_their_program_is_killed(
    make_samples: MakeSamples, tmp_path: Path
) -> None:
    program = run_script(make_samples(4), tmp_path, seconds=60)
    assert program.stdout is not None
    workers = [int(word) for word in program.stdout.readline().split()]
    assert workers and all(is_running(worker) for worker in workers)
    os.kill(program.pid, signal.SIGKILL)
    program.communicate()
    deadline = time.monotonic() + 120
    while any(is_running(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_running(worker) for worker in workers)


def test_a_worker_that_dies_is_an_error_with_a_way_out(
    make_samples: MakeSamples, tmp_path: Path
) -> None:
    program = run_script(make_samples(4, seed=13), tmp_path, seconds=0)
    _, errors = program.communicate(timeout=120)
    assert program.returncode == 1
    assert "DatasetError: Worker process was terminated unexpectedly with exit code 5" in errors
    assert "num_workers=0" in errors
