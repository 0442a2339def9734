"""Opening deployed files: the same detections by each runtime, and what is refused."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import mindssd
from mindssd.deploy.manifest import InGraphNMS, Manifest
from mindssd.deploy.sessions import opening as runtime
from mindssd.deploy.sessions.onnx_file import read_metadata
from mindssd.deploy.sessions.opening import RUNTIMES, is_deployed, open_session
from mindssd.deploy.sessions.session import RuntimeSettings
from mindssd.deploy.targets.openvino import write_openvino
from mindssd.errors import ConfigError, EngineError, WeightsError
from mindssd.types import Array
from mindssd.weights.safetensors_file import write_model
from tests.deploy.conftest import CLASS_NAMES, Deploy, manifest

PHOTO = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)


def test_a_file_says_all_of_itself(deploy: Deploy) -> None:
    path = deploy(nms=InGraphNMS(0.01, 0.6, 100))
    found = Manifest.from_strings(path, read_metadata(path, path.read_bytes()))
    assert found.nms == InGraphNMS(0.01, 0.6, 100)
    assert found.metadata.class_names == CLASS_NAMES and found.metadata.metrics == {"AP": 0.25}
    assert found.to_strings(path) == manifest(found.nms).to_strings(path)
    model = onnx.load(path)
    assert model.producer_name == "mindssd"
    assert {"class_names", "image_size", "mean", "std"} <= {p.key for p in model.metadata_props}


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


@pytest.mark.parametrize("kept", [0, 1, 20, 5000, -1, -40])
def test_a_broken_file_is_refused_in_a_line(deploy: Deploy, kept: int) -> None:
    path = deploy()
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(WeightsError, match=r"model\.onnx: ") as caught:
        mindssd.load(path)
    assert "\n" not in str(caught.value)


def test_noise_never_passes_for_a_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(50):
        path = tmp_path / f"{index}.onnx"
        path.write_bytes(b"\x08" + rng.integers(0, 256, 300, np.uint8).tobytes())
        with pytest.raises(WeightsError, match=path.name):
            open_session(path)


def test_a_file_of_others_is_refused(deploy: Deploy, tmp_path: Path) -> None:
    model = onnx.load(deploy())
    del model.metadata_props[:]
    path = tmp_path / "other.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match=r"other\.onnx: was not written by mindssd"):
        mindssd.load(path)
    with pytest.raises(WeightsError, match=r"absent\.onnx: no such file"):
        mindssd.load(tmp_path / "absent.onnx")


def test_another_graph_under_our_description_is_refused(deploy: Deploy) -> None:
    path = deploy()
    model = onnx.load(path)
    model.graph.output.reverse()
    path.write_bytes(model.SerializeToString())
    with pytest.raises(
        WeightsError, match="gives scores, boxes; expected images and boxes, scores"
    ):
        mindssd.load(path)


def with_external_data(path: Path, location: str) -> Path:
    """The model with one tensor said to be in another file."""
    model = onnx.load(path)
    tensor = TensorProto(name="stolen", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    model.graph.node.insert(0, helper.make_node("Constant", [], ["stolen"], value=tensor))
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "sub/../../secret.bin"])
def test_data_outside_the_files_folder_is_refused(
    deploy: Deploy, tmp_path: Path, location: str
) -> None:
    path = with_external_data(deploy(), location)
    with pytest.raises(WeightsError, match="outside its folder; such a file is not opened"):
        mindssd.load(path)


def test_a_link_out_of_the_folder_is_followed_before_it_is_judged(
    deploy: Deploy, tmp_path: Path
) -> None:
    (tmp_path / "inside.bin").symlink_to("/etc/hostname")
    with pytest.raises(WeightsError, match="outside its folder"):
        mindssd.load(with_external_data(deploy(), "inside.bin"))


def test_what_a_runtime_has_not_is_said(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    path = deploy()
    for settings, message in (
        ({"precision": "bfloat16", "runtime": "onnxruntime"}, "runtime=openvino offers others"),
        ({"precision": "int8"}, "mindssd export --int8"),
        ({"runtime": "tensorrt"}, "expected onnxruntime or openvino"),
        ({"threads": 0}, "expected at least 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            mindssd.load(path, **settings)
    with pytest.raises(EngineError, match=r"this ONNX Runtime offers .*CPU"):
        mindssd.load(path, runtime="onnxruntime", device="CUDA")
    monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"pip install 'mindssd\[runtime\]'"):
        open_session(path)
    with pytest.raises(EngineError, match=r"pip install 'mindssd\[openvino\]'"):
        open_session(path, RuntimeSettings("openvino"))


def test_a_model_file_of_any_first_byte_is_not_taken_for_onnx(tmp_path: Path) -> None:
    """A safetensors header may be as long as ONNX's first byte says."""
    metadata = manifest().metadata
    taken = set()
    for padding in range(300):
        path = tmp_path / "m"
        write_model(path, {"x" * (padding + 1): np.zeros(1, np.float32)}, metadata)
        taken.add(path.read_bytes()[0])
        assert not is_deployed(path)
    assert 0x08 in taken


def test_runtime_settings_are_not_for_a_training_engines_file(tmp_path: Path) -> None:
    write_model(tmp_path / "m", {"x": np.zeros(1, np.float32)}, manifest().metadata)
    with pytest.raises(ConfigError, match="threads is for files of `mindssd export`"):
        mindssd.load(tmp_path / "m", threads=2)


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


def test_a_runtime_that_cannot_be_imported_is_one_line(
    deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is installed, but a library of the system's that it needs is not."""
    path = deploy()
    for name in RUNTIMES:
        (tmp_path / f"{name}.py").write_text("raise ImportError('libc.so.7: no such file')")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    for name, spoken in RUNTIMES.items():
        with pytest.raises(EngineError, match=rf"{spoken} fails \(libc\.so\.7: no such file\)"):
            open_session(path, RuntimeSettings(name))


LIMITED = """
import sys
from mindssd.deploy.sessions.opening import open_session
from mindssd.deploy.sessions.session import RuntimeSettings
from mindssd.errors import EngineError
try:
    open_session(sys.argv[1], RuntimeSettings("openvino", precision="bfloat16"))
except EngineError as error:
    print(error)
"""


def test_bfloat16_that_the_environment_takes_away_is_said_at_opening(
    models_of_before: Path,
) -> None:
    """OpenVINO offers it all the same, and fails when it is run."""
    import openvino as ov

    if "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bfloat16")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(models_of_before / "demo.onnx")],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "demo.onnx: OpenVINO in bfloat16 fails" in done.stdout
    assert "ONEDNN_MAX_CPU_ISA=AVX2 is set: try without it" in done.stdout
    assert len(done.stdout.splitlines()) == 1


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
    """Of a parent whose other thread is in OpenVINO at that moment they cannot."""
    command = [sys.executable, "-c", FORKED, str(models_of_before / "demo.onnx"), name, parent]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    allowed = {"0", "2"} if (name, parent) == ("openvino", "busy") else {"0"}
    assert set(done.stdout.split()) <= allowed
