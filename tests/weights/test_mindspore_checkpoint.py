"""MindSpore's `.ckpt`, read and written without MindSpore."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mindssd.errors import WeightsError
from mindssd.weights.mindspore_checkpoint import read_checkpoint, write_checkpoint

# One value by hand: tag "a" (field 1), and in field 2 the dims [2], the type and eight bytes.
BY_HAND = (
    b"\x0a\x1a"  # Checkpoint.value, 26 bytes
    b"\x0a\x01a"  # tag
    b"\x12\x15"  # tensor, 21 bytes
    b"\x08\x02"  # dims: 2
    b"\x12\x07Float32"
    b"\x1a\x08\x00\x00\x80\x3f\x00\x00\x00\xc0"  # 1.0 and -2.0, little-endian
)


def _value(tag: bytes, dims: bytes, kind: bytes, content: bytes) -> bytes:
    """Encode one value of less than 128 bytes."""
    tensor = dims + b"\x12" + bytes([len(kind)]) + kind + b"\x1a" + bytes([len(content)]) + content
    value = b"\x0a" + bytes([len(tag)]) + tag + b"\x12" + bytes([len(tensor)]) + tensor
    return b"\x0a" + bytes([len(value)]) + value


def _read(tmp_path: Path, content: bytes) -> dict[str, np.ndarray]:
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    return read_checkpoint(path)


def test_a_file_written_by_hand_reads_as_its_two_numbers(tmp_path):
    found = _read(tmp_path, BY_HAND)
    assert list(found) == ["a"]
    assert found["a"].tolist() == [1.0, -2.0]
    assert found["a"].flags.writeable


def test_what_is_written_is_the_file_written_by_hand(tmp_path):
    write_checkpoint(tmp_path / "a.ckpt", {"a": np.array([1, -2], np.float32)})
    assert (tmp_path / "a.ckpt").read_bytes() == BY_HAND


@pytest.mark.parametrize(
    "dtype", ["bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
)
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 3), (200, 3)])
def test_reading_gives_back_what_was_written(tmp_path, dtype, shape):
    array = (np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2).astype(dtype)
    write_checkpoint(tmp_path / "a.ckpt", {"layer.weight": array, "é": array})
    found = read_checkpoint(tmp_path / "a.ckpt")
    assert list(found) == ["layer.weight", "é"]
    assert found["é"].dtype == array.dtype
    np.testing.assert_array_equal(found["layer.weight"], array, strict=True)


def test_a_big_endian_array_keeps_its_values(tmp_path):
    write_checkpoint(tmp_path / "a.ckpt", {"a": np.array([1.5, 2], ">f4")})
    assert read_checkpoint(tmp_path / "a.ckpt")["a"].tolist() == [1.5, 2]


def test_a_tensor_in_slices_is_joined(tmp_path):
    array = np.arange(10, dtype=np.float32).reshape(5, 2)
    write_checkpoint(tmp_path / "a.ckpt", {"a": array, "b": array}, slice_bytes=16)
    assert (tmp_path / "a.ckpt").read_bytes().count(b"Float32") == 6
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "a.ckpt")["a"], array)


def test_bfloat16_is_the_upper_half_of_a_float32(tmp_path):
    found = _read(tmp_path, _value(b"a", b"\x08\x02", b"BFloat16", b"\x80\x3f\x00\xc0"))
    assert found["a"].dtype == np.float32
    assert found["a"].tolist() == [1.0, -2.0]


def test_a_scalar_of_old_mindspore_has_dims_zero(tmp_path):
    found = _read(tmp_path, _value(b"step_num", b"\x08\x00", b"Int32", b"\x07\x00\x00\x00"))
    assert found["step_num"].shape == ()
    assert found["step_num"] == 7


def test_a_string_is_an_array_of_no_dimension(tmp_path):
    found = _read(tmp_path, _value(b"s", b"\x08\x00", b"str", "né".encode("utf-32-le")))
    assert str(found["s"]) == "né"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"\xd8^:\x7frest", "encrypted"),
        (b"\xd9^:\x7frest", "encrypted"),
        (b"{}", "nor a MindSpore checkpoint"),
        (b"\x0a\x02\xff\xff", "damaged after 0 tensors"),
        (_value(b"\xff", b"\x08\x01", b"Int8", b"\1"), "damaged after 0 tensors"),
        (_value(b"a", b"\x08" + b"\xff" * 9 + b"\x01", b"Int8", b""), "truncated or damaged"),
        (BY_HAND + b"\x12\x00", "damaged after 1 tensors, at byte 28 of 30"),
        (_value(b"a", b"\x08\x03", b"Float32", bytes(8)), "holds 8 bytes.*needs 12"),
        (_value(b"a", b"\x08\x02", b"Int4", bytes(8)), "type 'Int4'"),
        (_value(b"a", b"\x08\x02", b"Int8", bytes(2)) + BY_HAND, "twice with unlike shapes"),
        (b"\x0a\x05\x0a\x01a\x1a\x00", "MapParameter"),
    ],
)
def test_what_is_no_whole_checkpoint_is_refused_in_one_line(tmp_path, content, reason):
    with pytest.raises(WeightsError, match=reason) as caught:
        _read(tmp_path, content)
    assert str(tmp_path / "a.ckpt") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_cut_anywhere_inside_a_tensor_is_refused(tmp_path):
    for length in range(1, len(BY_HAND)):
        with pytest.raises(WeightsError, match="after 0 tensors"):
            _read(tmp_path, BY_HAND[:length])
        with pytest.raises(WeightsError, match="after 1 tensors"):
            _read(tmp_path, _value(b"b", b"", b"Int8", b"\1") + BY_HAND[:length])


def test_a_missing_slice_is_noticed_though_the_file_parses(tmp_path):
    write_checkpoint(tmp_path / "a.ckpt", {"a": np.zeros(8, np.float32)}, slice_bytes=16)
    content = (tmp_path / "a.ckpt").read_bytes()
    with pytest.raises(WeightsError, match="holds 16 bytes"):
        _read(tmp_path, content[: len(content) // 2])


def test_the_checksum_is_checked_where_there_is_one(tmp_path):
    import binascii

    checksum = b"crc_num" + binascii.crc32(BY_HAND).to_bytes(10, "big")
    assert _read(tmp_path, BY_HAND + checksum)["a"].tolist() == [1.0, -2.0]
    flipped = bytes([*BY_HAND[:-1], BY_HAND[-1] ^ 1])
    with pytest.raises(WeightsError, match="checksum does not fit"):
        _read(tmp_path, flipped + checksum)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        read_checkpoint(tmp_path / "absent.ckpt")
    with pytest.raises(WeightsError, match="is a folder"):
        read_checkpoint(tmp_path)


def test_nothing_and_odd_types_are_not_written(tmp_path):
    with pytest.raises(WeightsError, match="no parameters"):
        write_checkpoint(tmp_path / "a.ckpt", {})
    with pytest.raises(WeightsError, match="'a' has type complex64"):
        write_checkpoint(tmp_path / "a.ckpt", {"a": np.zeros(2, np.complex64)})
    assert list(tmp_path.iterdir()) == []


def test_the_references_own_checkpoint_has_the_recipes_parameters(golden_dir, reference_checkpoint):
    import json

    expected = json.loads((golden_dir / "ssd_mobilenetv2.parameters.json").read_text())
    found = read_checkpoint(reference_checkpoint)
    names = {entry["name"] for entry in expected}
    assert names <= set(found)
    assert found["multi_box.multi_cls_layers.0.3.bias"].shape == (3 * 4,)  # 3 classes, background


MINDSPORE_ROUND_TRIP = """
import os, sys
import numpy as np
import mindspore as ms
folder = sys.argv[1]
ours = ms.load_checkpoint(f"{folder}/ours.ckpt")
for name, dtype in (("weight", np.float32), ("half", np.float16), ("count", np.int64)):
    assert np.array_equal(ours[name].asnumpy(), np.arange(6).reshape(2, 3).astype(dtype)), name
assert ours["scalar"].asnumpy().shape == () and float(ours["scalar"].asnumpy()) == 0.5
arrays = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.array(3, np.int32)}
saved = [{"name": name, "data": ms.Tensor(array)} for name, array in arrays.items()]
saved.append({"name": "brain", "data": ms.Tensor([1.0, -2.0], ms.bfloat16)})
ms.save_checkpoint(saved, f"{folder}/plain.ckpt")
ms.save_checkpoint(saved, f"{folder}/crc.ckpt", crc_check=True, append_dict={"epoch_num": 3})
ms.save_checkpoint(saved, f"{folder}/secret.ckpt", enc_key=b"0123456789abcdef")
os._exit(0)  # MindSpore 2.10.0 fails aloud while Python is torn down
"""


@pytest.mark.slow
def test_mindspore_reads_ours_and_we_read_mindspores(tmp_path):
    pytest.importorskip("mindspore", reason="the round trip needs MindSpore itself")
    values = np.arange(6).reshape(2, 3)
    ours = {
        "weight": values.astype(np.float32),
        "half": values.astype(np.float16),
        "count": values.astype(np.int64),
        "scalar": np.array(0.5, np.float32),
    }
    write_checkpoint(tmp_path / "ours.ckpt", ours)
    command = [sys.executable, "-c", MINDSPORE_ROUND_TRIP, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("plain", "crc"):
        found = read_checkpoint(tmp_path / f"{name}.ckpt")
        np.testing.assert_array_equal(found["weight"], values.astype(np.float32), strict=True)
        assert found["step"].shape == () and found["step"] == 3
        assert found["brain"].tolist() == [1.0, -2.0]
    assert found["epoch_num"] == 3
    with pytest.raises(WeightsError, match="encrypted"):
        read_checkpoint(tmp_path / "secret.ckpt")
