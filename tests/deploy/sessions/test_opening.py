"""Opening deployed files: what they say of themselves, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import mindssd
from mindssd.deploy.manifest import InGraphNMS, Manifest
from mindssd.deploy.sessions import opening
from mindssd.deploy.sessions.onnx_file import read_metadata
from mindssd.deploy.sessions.opening import RUNTIMES, is_deployed, open_session
from mindssd.deploy.sessions.session import RuntimeSettings
from mindssd.errors import ConfigError, EngineError, WeightsError
from mindssd.weights.safetensors_file import write_model
from tests.deploy.conftest import CLASS_NAMES, Deploy, manifest


def test_a_file_says_all_of_itself(deploy: Deploy) -> None:
    path = deploy(nms=InGraphNMS(0.01, 0.6, 100))
    found = Manifest.from_strings(path, read_metadata(path, path.read_bytes()))
    assert found.nms == InGraphNMS(0.01, 0.6, 100)
    assert found.metadata.class_names == CLASS_NAMES and found.metadata.metrics == {"AP": 0.25}
    assert found.to_strings(path) == manifest(found.nms).to_strings(path)
    model = onnx.load(path)
    assert model.producer_name == "mindssd"
    assert {"class_names", "image_size", "mean", "std"} <= {p.key for p in model.metadata_props}


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


@pytest.mark.parametrize("suffix", [".onnx", ".xml", ".tflite", ".param"])
def test_an_empty_file_is_said_to_be_empty_whatever_it_is_called(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"model{suffix}"
    path.touch()
    with pytest.raises(WeightsError, match=f"model{suffix}: is empty: writing it was interrupted"):
        mindssd.load(path)


@pytest.mark.parametrize(
    ("suffix", "package", "fault"),
    [
        (".onnx", "onnxruntime", "is not an ONNX file"),
        (".tflite", "ai_edge_litert", "is not a TensorFlow Lite file"),
        (".param", "ncnn", r"model\.bin is not beside it"),
        (".xml", "openvino", r"its weights, model\.bin, are not beside it"),
    ],
)
def test_a_damaged_file_is_told_by_the_format_that_its_name_says(
    tmp_path: Path, suffix: str, package: str, fault: str
) -> None:
    pytest.importorskip(package)
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"nothing that any of them begins with")
    with pytest.raises(WeightsError, match=rf"model\{suffix}: .*{fault}") as caught:
        mindssd.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" + "0" * 400])
@pytest.mark.parametrize("key", ["deployed", "temperature", "metrics"])
def test_a_description_of_any_json_is_damaged_and_no_more(
    deploy: Deploy, key: str, text: str
) -> None:
    path = deploy()
    model = onnx.load(path)
    entry = next((x for x in model.metadata_props if x.key == key), None)
    entry = entry or model.metadata_props.add(key=key)
    entry.value = text
    path.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match="its description is damaged"):
        mindssd.load(path)


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
        ({"runtime": "tensorrt"}, "expected onnxruntime, openvino, litert, ncnn"),
        ({"threads": 0}, "expected at least 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            mindssd.load(path, **settings)
    with pytest.raises(EngineError, match=r"this ONNX Runtime offers .*CPU"):
        mindssd.load(path, runtime="onnxruntime", device="CUDA")
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
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


def test_a_runtime_that_cannot_be_imported_is_one_line(
    deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is installed, but a library of the system's that it needs is not."""
    path = deploy()
    readers = {name: RUNTIMES[name] for name in ("onnxruntime", "openvino")}
    for name in readers:
        (tmp_path / f"{name}.py").write_text("raise ImportError('libc.so.7: no such file')")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    for name, spoken in readers.items():
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
