"""Detecting by deployed files: the same by each runtime, from threads and in forked children."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mindssd
from mindssd.deploy.manifest import InGraphNMS
from mindssd.deploy.sessions.opening import open_session
from mindssd.deploy.sessions.session import RuntimeSettings
from mindssd.deploy.targets.openvino import write_openvino
from mindssd.errors import ConfigError, EngineError, WeightsError
from mindssd.types import Array
from tests.deploy.conftest import CLASS_NAMES, Deploy, manifest

PHOTO = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)


def arrays(path: Path, **settings: object) -> list[Array]:
    found = mindssd.load(path, **settings)(PHOTO)
    assert found.class_names == CLASS_NAMES and len(found) > 3
    return [found.boxes, found.scores, found.class_ids]


def test_each_runtime_detects_the_same(deploy: Deploy) -> None:
    path = deploy()
    expected = arrays(path, runtime="onnxruntime", threads=1)
    for one, other in zip(expected, arrays(path, runtime="openvino"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_an_openvino_file_detects_the_same(deploy: Deploy, tmp_path: Path) -> None:
    path = deploy()
    write_openvino(path.read_bytes(), manifest(), tmp_path / "model.xml")
    expected = arrays(path)
    for one, other in zip(expected, arrays(tmp_path / "model.xml"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    (tmp_path / "model.bin").rename(tmp_path / "other.bin")
    with pytest.raises(WeightsError, match=r"model\.bin, are not beside it"):
        mindssd.load(tmp_path / "model.xml")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_parallel_calls_that_share_the_threads_give_the_same(deploy: Deploy, runtime: str) -> None:
    path = deploy()
    shape = (4, 1, 3, *manifest().metadata.image_size)
    images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    one_by_one = open_session(path, RuntimeSettings(runtime, threads=2))
    shared = open_session(path, RuntimeSettings(runtime, threads=2, parallel=2))
    assert shared.is_shared
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(shared.forward, images))
    for image, outputs in zip(images, found, strict=True):
        for one, other in zip(one_by_one.forward(image), outputs, strict=True):
            np.testing.assert_array_equal(one, other)


def test_batches_and_nms_inside_change_no_detection(deploy: Deploy) -> None:
    path = deploy()
    expected = arrays(path, iou_threshold=0.5)
    together = mindssd.load(path, batch_size=3)([PHOTO, PHOTO[:50]])[0]
    np.testing.assert_allclose(expected[1], together.scores, atol=1e-6)
    inside = arrays(deploy(nms=InGraphNMS(0.3, 0.5, 300), name="nms.onnx"), iou_threshold=0.5)
    for one, other in zip(expected, inside, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_rows_that_nms_inside_has_cut_off_are_lost_and_no_others(deploy: Deploy) -> None:
    """Suppression across classes comes behind the file's rows: what they hold is shown right."""
    expected = arrays(deploy(), iou_threshold=0.5)[1]
    cut_off = deploy(nms=InGraphNMS(0.3, 0.5, 100), name="nms.onnx")
    scores = arrays(cut_off, iou_threshold=0.5)[1]
    assert len(scores) < len(expected)
    np.testing.assert_allclose(scores, expected[: len(scores)], atol=1e-6)


def test_the_chosen_classes_alone_are_shown_counted_and_suppress(deploy: Deploy) -> None:
    path, nms = deploy(), deploy(nms=InGraphNMS(0.01, 0.6, 9999), name="nms.onnx")
    name, other, *_ = CLASS_NAMES
    every = {"max_detections": 9999, "score_threshold": 0.05}
    for file in (path, nms):
        alone = mindssd.load(file, classes=[name], **every)(PHOTO)
        both = mindssd.load(file, classes=[other, name], **every)(PHOTO)
        assert {CLASS_NAMES[i] for i in alone.class_ids} == {name}
        assert {CLASS_NAMES[i] for i in both.class_ids} == {name, other}
        assert len(alone) > sum(CLASS_NAMES[i] == name for i in both.class_ids)
        limited = mindssd.load(file, classes=[name], score_threshold=0.05, max_detections=5)(PHOTO)
        np.testing.assert_allclose(limited.scores, alone.scores[:5])
        tiled = mindssd.load(file, classes=[name], tile=64, max_detections=5)(PHOTO)
        assert len(tiled) == 5 and {CLASS_NAMES[i] for i in tiled.class_ids} == {name}
    for wrong in (["zebra"], [name, "zebra"]):
        with pytest.raises(ConfigError, match=f"no class 'zebra'; it has {name}, "):
            mindssd.load(path, classes=wrong)
    for empty in ([], name):
        with pytest.raises(ConfigError, match=f"expected a list of names of {name}, "):
            mindssd.load(path, classes=empty)


def test_thresholds_that_nms_inside_has_cut_off_are_refused(deploy: Deploy) -> None:
    path = deploy(nms=InGraphNMS(0.2, 0.5, 20))
    assert mindssd.load(path, score_threshold=0.2, max_detections=20)
    for wider in ({"score_threshold": 0.1}, {"iou_threshold": 0.6}, {"max_detections": 21}):
        with pytest.raises(ConfigError, match=r"has NMS inside.*export it without --nms"):
            mindssd.load(path, **{"max_detections": 20, **wider})


def test_where_nms_inside_is_narrower_its_thresholds_are_the_default(deploy: Deploy) -> None:
    everything = mindssd.load(deploy(), max_detections=999)(PHOTO).scores
    narrow = deploy(nms=InGraphNMS(0.4, 0.4, 2), name="narrow.onnx")
    found = mindssd.load(narrow)(PHOTO)
    assert len(found) == 2 < len(everything) and min(found.scores) > 0.4


def test_the_files_score_threshold_is_the_default(deploy: Deploy) -> None:
    path = deploy()
    assert min(mindssd.load(path, max_detections=999)(PHOTO).scores) > 0.3
    wider = mindssd.load(path, max_detections=999, score_threshold=0.1)
    assert min(wider(PHOTO).scores) < 0.3


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_eight_threads_get_the_answers_of_one(deploy: Deploy, name: str) -> None:
    session = open_session(deploy(), RuntimeSettings(name))
    images = np.random.default_rng(0).normal(size=(10, 1, 3, 48, 64)).astype(np.float32)
    expected = [session.forward(image) for image in images]

    def is_right(call: int) -> bool:
        found = session.forward(images[call % 10])
        return all(map(np.array_equal, found, expected[call % 10]))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(is_right, range(8 * 200))) == 8 * 200


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_fault_of_a_runtime_is_one_line_and_the_next_call_is_sound(
    deploy: Deploy, name: str
) -> None:
    session = open_session(deploy(), RuntimeSettings(name))
    images = np.random.default_rng(0).normal(size=(1, 3, 48, 64)).astype(np.float32)
    expected = session.forward(images)
    message = r"model\.onnx: (ONNX Runtime|OpenVINO .*) fails \(.+\)"
    for wrong in (images[:, :, 1:], images[0]):
        with pytest.raises(EngineError, match=message):
            session.forward(wrong)
    for one, other in zip(expected, session.forward(images), strict=True):
        np.testing.assert_array_equal(one, other)


def test_onnx_runtimes_threads_spin_for_a_moment_alone(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default they do for milliseconds, which other work beside them lacks, and so do they."""
    ort = pytest.importorskip("onnxruntime")
    found = []

    class Noting(ort.InferenceSession):  # type: ignore[misc, name-defined]
        def __init__(self, model: object, options: Any, **others: object) -> None:
            found.append(options.get_session_config_entry("session.intra_op.spin_duration_us"))
            super().__init__(model, options, **others)

    monkeypatch.setattr(ort, "InferenceSession", Noting)
    open_session(deploy(), RuntimeSettings("onnxruntime"))
    assert found == ["50"]


FORKED = """
import os, sys, threading, time
import numpy as np
import mindssd
from mindssd.errors import EngineError

path, runtime, busy = sys.argv[1], sys.argv[2], sys.argv[3] == "busy"
detector = mindssd.load(path, runtime=runtime, score_threshold=0.1)
photo = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
expected = detector(photo)
ended = False

def detect_on():
    while not ended: detector(photo)

thread = threading.Thread(target=detect_on)
if busy: thread.start()
statuses = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if np.array_equal(detector(photo).boxes, expected.boxes) else 1)
        except EngineError as error:
            os._exit(2 if "spawn" in str(error) else 1)
    limit = time.monotonic() + 60
    while not (done := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > limit:
            os.kill(child, 9)
        time.sleep(0.005)
    statuses.append(os.waitstatus_to_exitcode(done[1]))
ended = True
print(*statuses)
"""


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("parent", ["idle", "busy"])
def test_forked_children_detect_or_say_what_to_do(
    models_of_before: Path, name: str, parent: str
) -> None:
    """Of a parent whose other thread is in the runtime at that moment they cannot."""
    command = [sys.executable, "-c", FORKED, str(models_of_before / "demo.onnx"), name, parent]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    allowed = {"0", "2"} if parent == "busy" else {"0"}
    assert set(done.stdout.split()) <= allowed


CLOSED_ELSEWHERE = """
import gc, signal, sys, threading, time
import numpy as np
import mindssd

detectors = [mindssd.load(sys.argv[1], runtime=sys.argv[2])]
detectors[0](np.zeros((90, 120, 3), np.uint8))

def close():
    detectors.clear()
    gc.collect()

thread = threading.Thread(target=close)
thread.start()
thread.join()
try:
    signal.raise_signal(signal.SIGINT)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_ctrl_c_comes_through_though_another_thread_has_closed_a_model(
    models_of_before: Path, name: str
) -> None:
    command = [sys.executable, "-c", CLOSED_ELSEWHERE, str(models_of_before / "demo.onnx"), name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
