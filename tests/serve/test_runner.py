"""What a model's thread takes at once, and what it hands the network together."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from mindssd.build.model import OpenedModel
from mindssd.errors import EngineError
from mindssd.geometry.postprocess import PostProcessDecoded
from mindssd.images import Normalization
from mindssd.inference.predictor import Predictor
from mindssd.inference.tiling import num_tiles, tiles
from mindssd.serve.detecting import coming
from mindssd.serve.models import named
from mindssd.serve.runner import Runner


def opened(forward) -> OpenedModel:
    predictor = Predictor(
        forward, (2, 2), Normalization(), PostProcessDecoded(num_boxes=1), ("a",), num_threads=1
    )
    return OpenedModel(None, predictor, None, "a test")  # type: ignore[arg-type]


def outputs(images):
    means = images.mean(axis=(1, 2, 3))
    return np.repeat(means[:, None, None], 4, axis=2), means[:, None, None]


PART = np.ones((3, 2, 2), np.float32)


def test_it_takes_what_waits_in_batches_of_powers_of_two():
    sizes, taken, go_on = [], [], threading.Event()

    def forward(images):
        sizes.append(len(images))
        return outputs(images)

    runner = Runner(lambda: opened(forward), 6, 0, lambda size, _: taken.append(size))
    runner.opened()
    assert runner.sizes == (1, 2, 4)
    sizes.clear()
    block = runner._predictors[1]
    runner._predictors[1] = type(
        "Block", (), {"run": lambda self, x: (go_on.wait(), block.run(x))[1]}
    )()
    futures = [runner.submit(PART)]
    while runner._queue.qsize():
        pass
    futures += [runner.submit(number * PART) for number in range(2, 9)]
    go_on.set()
    assert [float(future.result()[1][0, 0]) for future in futures] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert (taken, sizes) == ([1, 6], [1, 4, 2, 1]) or sum(sizes) == 8
    runner.close()
    runner.join()


def test_a_network_whose_last_bits_depend_on_the_batch_gets_one_at_a_time():
    def forward(images):
        boxes, scores = outputs(images)
        return boxes, scores + np.float32(1e-6) * (len(images) > 2)

    runner = Runner(lambda: opened(forward), 8, 0)
    runner.opened()
    assert runner.sizes == (1, 2)
    runner.close()


def test_an_error_is_of_those_that_it_befell_and_the_thread_goes_on():
    def forward(images):
        if images.max() > 50:
            raise ValueError("too bright")
        return outputs(images)

    runner = Runner(lambda: opened(forward), 1, 0)
    with pytest.raises(ValueError, match="too bright"):
        runner.submit(99 * PART).result()
    assert runner.submit(PART).result()[1] == 1
    runner.close()
    runner.join()


def test_a_model_that_cannot_be_opened_says_so():
    def fail():
        raise ValueError("no such model")

    with pytest.raises(ValueError, match="no such model"):
        Runner(fail, 1, 0).opened()


def test_models_are_named_by_their_file_or_as_one_says():
    assert named(["a/b.onnx", "cells=c.onnx"]) == {"b": "a/b.onnx", "cells": "c.onnx"}


@pytest.mark.parametrize("size", [(10, 10), (64, 64), (65, 64), (300, 200), (33, 1000)])
def test_tiles_are_counted_as_they_are_made(size):
    for tile, overlap in ((64, 0.2), (32, 0.9), (100, 0.0)):
        assert num_tiles(size, tile, overlap) == len(tiles(size, tile, overlap))


def shared(wide, narrow) -> OpenedModel:
    """A model whose calls may run side by side: then by `narrow`, otherwise by `wide`."""
    one = opened(wide)
    return replace(one, side_by_side=lambda parallel: replace(one.predictor, forward=narrow))


def test_on_a_cpu_each_core_takes_an_image_of_its_own():
    meeting = threading.Barrier(2)

    def narrow(images):
        assert len(images) == 1
        meeting.wait(60)  # broken unless two are here at the same time
        return outputs(images)

    runner = Runner(lambda: shared(outputs, narrow), 4, 60, num_cores=2)
    runner.opened()
    assert (runner.num_side_by_side, runner.sizes) == (2, (1,))
    with coming(runner):  # so that it waits for all four
        futures = [runner.submit(number * PART) for number in (1, 2, 3, 4)]
        assert [float(future.result(60)[1][0, 0]) for future in futures] == [1, 2, 3, 4]
    runner.close()
    runner.join()


def test_fewer_images_than_cores_have_all_the_cores():
    calls = []

    def narrow(images):
        calls.append(len(images))
        return outputs(images)

    runner = Runner(lambda: shared(outputs, narrow), 4, 0, num_cores=2)
    runner.opened()
    calls.clear()
    assert runner.submit(PART).result(60)[1] == 1
    assert calls == []
    runner.close()
    runner.join()


def test_a_network_whose_last_bits_depend_on_its_threads_has_no_images_side_by_side():
    def narrow(images):
        boxes, scores = outputs(images)
        return boxes, scores + np.float32(1e-6)

    runner = Runner(lambda: shared(outputs, narrow), 4, 0, num_cores=2)
    runner.opened()
    assert (runner.num_side_by_side, runner.sizes) == (1, (1, 2, 4))
    runner.close()
    runner.join()


def test_a_model_that_cannot_be_opened_twice_is_run_as_it_is():
    def no_memory(parallel):
        raise EngineError("no memory")

    runner = Runner(lambda: replace(opened(outputs), side_by_side=no_memory), 4, 0, num_cores=2)
    runner.opened()
    assert (runner.num_side_by_side, runner.sizes) == (1, (1, 2, 4))
    runner.close()
    runner.join()


def test_an_error_is_of_one_of_those_side_by_side():
    def narrow(images):
        if images.max() > 50:
            raise ValueError("too bright")
        return outputs(images)

    runner = Runner(lambda: shared(outputs, narrow), 2, 60, num_cores=2)
    runner.opened()
    with coming(runner):
        bright, other = runner.submit(99 * PART), runner.submit(PART)
        with pytest.raises(ValueError, match="too bright"):
            bright.result(60)
        assert other.result(60)[1] == 1
    runner.close()
    runner.join()
