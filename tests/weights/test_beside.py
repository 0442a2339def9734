"""Which files make one model, and who heeds it: the hub's commands and the service's reload."""

from pathlib import Path

import pytest

from mindssd.serve.models import stamp_of
from mindssd.weights.beside import beside


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("a.onnx", []),
        ("a.safetensors", []),
        ("a.tflite", []),
        ("a.xml", ["a.bin"]),
        ("a.ncnn.param", ["a.ncnn.bin", "a.ncnn.json"]),
    ],
)
def test_each_format_has_its_files(name, others):
    assert [path.as_posix() for path in beside(Path("in") / name)] == [f"in/{x}" for x in others]


@pytest.mark.parametrize("suffix", [".param", ".bin", ".json"])
def test_the_service_sees_each_of_a_models_files_replaced(tmp_path, suffix):
    for one in (".param", ".bin", ".json"):
        (tmp_path / f"model{one}").write_bytes(b"first")
    before = stamp_of(tmp_path / "model.param")
    (tmp_path / f"model{suffix}").write_bytes(b"the second")
    assert stamp_of(tmp_path / "model.param") != before
