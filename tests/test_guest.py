"""`mindssd.load` in another program: it changes nothing of the process, and its threads and forks
detect as it does.

Each engine and runtime is opened once, in a process of its own, which tells what it found.
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # a process for each, which does everything that a program might

PROGRAM = r"""
import ctypes, gc, json, locale, logging, multiprocessing, os, random, signal, subprocess, sys
import threading, time, warnings
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import rich.console  # whose import draws a number from `random`

import mindssd
from mindssd.errors import EngineError

path, options, host = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]
NUM_CALLS = 8 * (20 if host else 50)
for module in host:
    __import__(module)
PHOTOS = [np.random.default_rng(k).integers(0, 256, (90, 120, 3), np.uint8) for k in range(10)]


def dispositions():
    "What the system does on each signal, which libraries may set behind Python's back."
    found = {}
    for number in signal.valid_signals():
        if number == signal.SIGINT and "mindspore" in host:  # as MindSpore takes it, some time
            continue
        action = ctypes.create_string_buffer(256)
        ctypes.CDLL(None).sigaction(number, None, action)
        # The handler and the flags; between them stands a mask that is not filled to its end.
        found[int(number)] = (action.raw[:8] + action.raw[136:140]).hex()
    return found


def child_environment():
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    return json.loads(subprocess.run([sys.executable, "-c", code], stdout=-1).stdout)


opencv_log = cv2 if hasattr(cv2, "getLogLevel") else cv2.utils.logging  # OpenCV 4's and 5's


def state():
    found = {
        "environment": dict(os.environ),
        "child's environment": child_environment(),
        "signals": dispositions(),
        "handlers": {int(n): str(signal.getsignal(n)) for n in signal.valid_signals()},
        "OpenCV": [opencv_log.getLogLevel(), cv2.getNumThreads()],
        "locale": locale.setlocale(locale.LC_ALL),
        "warnings": [str(entry) for entry in warnings.filters],
        "logging": [logging.root.level, str(logging.root.handlers), logging.root.manager.disable],
        "NumPy": [str(np.random.get_state()), str(np.geterr()), str(np.get_printoptions())],
        "random": str(random.getstate()),
        "hooks": [str(sys.excepthook), str(threading.excepthook)],
        "limits": [sys.getrecursionlimit(), sys.getswitchinterval(), gc.isenabled()],
        "path": list(sys.path),
        "processes": [multiprocessing.get_start_method(allow_none=True), os.getcwd(), os.nice(0)],
        "cores": sorted(os.sched_getaffinity(0)),
    }
    if "torch" in host:
        import torch

        found["PyTorch"] = [
            torch.get_num_threads(), torch.get_num_interop_threads(), torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(), torch.is_autocast_enabled("cpu"),
            torch.is_inference_mode_enabled(), str(torch.get_default_dtype()),
            torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32,
            torch.get_float32_matmul_precision(), torch.get_rng_state().tolist(),
            torch.distributed.is_initialized(),
        ]
    if "mindspore" in host:
        import mindspore

        found["MindSpore"] = [mindspore.get_context("mode"), mindspore.get_seed()]
    return found


def same(ours, theirs):
    columns = ("boxes", "scores", "class_ids")
    return all(np.array_equal(getattr(ours, c), getattr(theirs, c)) for c in columns)


def forked(work, limit_s=120):
    "How a forked child that does this ends: what it returns, or `hangs`."
    child = os.fork()
    if child == 0:
        try:
            status = work()
        except EngineError as error:
            status = 2 if "spawn" in str(error) and "\n" not in str(error) else 3
        finally:
            os._exit(status)
    end = time.monotonic() + limit_s
    while not (done := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "hangs"
        time.sleep(0.01)
    return {0: "right", 1: "wrong", 2: "says what to do"}.get(os.waitstatus_to_exitcode(done[1]))


def interrupted(work, limit_s=60):
    "Whether Ctrl-C is the program's own while it does that again and again."
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    end = time.monotonic() + limit_s
    try:
        while time.monotonic() < end:
            work()
    except KeyboardInterrupt:
        return True
    return False


before = state()
detector = mindssd.load(path, **options)
expected = [detector(photo) for photo in PHOTOS]
after = state()
found = {
    "detections": min(len(e) for e in expected),
    "changed": {
        name: [before[name], after[name]] for name in before if after[name] != before[name]
    },
}

forward = detector.predictor.forward
images = np.random.default_rng(0).normal(
    size=(10, 1, 3, *detector.predictor.image_size)
).astype(np.float32)
outputs = [forward(image) for image in images]
if "mindspore" not in host:  # which, once it is imported, nothing keeps from SIGINT
    works = (lambda: time.sleep(0.01), lambda: forward(images[0]))
    found["interrupted"] = all([interrupted(work) for work in works])


def is_right(call):
    return all(map(np.array_equal, forward(images[call % 10]), outputs[call % 10]))


def children():
    "How forked children end, of which the last loads a detector of its own."
    again = lambda: mindssd.load(path, **options)
    works = (lambda: detector, lambda: detector, again)
    return [
        forked(lambda: 0 if same(work()(PHOTOS[1]), expected[1]) else 1) for work in works
    ]


found["children"] = children()
with ThreadPoolExecutor(8) as pool:
    found["wrong in threads"] = NUM_CALLS - sum(pool.map(is_right, range(NUM_CALLS)))
    others = pool.map(lambda _: mindssd.load(path, **options)(PHOTOS[0]), range(2))
    found["loaded in threads"] = [same(other, expected[0]) for other in others]
found["children behind threads"] = children()
print("\n" + json.dumps(found))
"""


@cache
def told(model: Path, options: str, host: tuple[str, ...] = ()) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(model), options, *host],
        env={k: v for k, v in os.environ.items() if k not in ("ONEDNN_MAX_CPU_ISA", "GLOG_v")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr}"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(
    params=[
        "torch",
        "mindspore",
        "onnxruntime",
        "openvino",
        "torch of the program",
        "mindspore of the program",
    ]
)
def guest(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the process found. A framework "of the program" is imported before."""
    name, _, of_program = request.param.partition(" ")
    pytest.importorskip(name)
    host = (name,) if of_program else ()
    if name in ("torch", "mindspore"):
        model = request.getfixturevalue("untrained_model")
        return told(model, json.dumps({"engine": name, "device": "CPU"}), host)
    options = {"runtime": name, "score_threshold": 0.05}
    model = request.getfixturevalue("models_of_before") / "demo.onnx"
    return told(model, json.dumps(options), host)


def test_nothing_of_the_process_is_changed(guest):
    """Nor do its children inherit anything."""
    assert guest["detections"] > 0
    assert guest["changed"] == {}


def test_ctrl_c_stays_the_programs_own(guest):
    """But where the program has imported MindSpore before, which takes it for itself."""
    assert guest.get("interrupted", True)


def test_eight_threads_get_the_answers_of_one(guest):
    """Of 400 calls; of 160 where the program has imported the framework before."""
    assert guest["wrong in threads"] == 0
    assert guest["loaded in threads"] == [True, True]


def test_forked_children_detect_or_say_what_to_do(guest, request):
    """PyTorch detects in them only where no other thread has called it, whose locks may be held.

    OpenVINO detects in them, but a model is not loaded there: it may wait for the parent's threads.
    """
    engine = request.node.callspec.params["guest"].partition(" ")[0]
    says, right = "says what to do", "right"
    loaded = [right, right, says if engine == "openvino" else right]
    assert guest["children"] == ([says] * 3 if engine == "mindspore" else loaded)
    alone = engine in ("mindspore", "torch")
    assert guest["children behind threads"] == ([says] * 3 if alone else loaded)
