"""A finished ONNX graph as ncnn's .param and .bin, by pnnx, with the manifest as .json."""

import hashlib
import json
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

from mindssd.deploy.manifest import INPUT, Manifest
from mindssd.deploy.onnx_nodes import attribute_of
from mindssd.deploy.sessions.ncnn_session import PARAM_HASH, WEIGHT_BYTES
from mindssd.errors import EngineError
from mindssd.types import Array


def write_ncnn(model: onnx.ModelProto, manifest: Manifest, target: Path) -> None:
    """Convert a finished graph of one image; weights are float16 where the manifest says so.

    EngineError where pnnx is not installed, or does not take the graph.
    """
    outputs = [output.name for output in model.graph.output]
    with tempfile.TemporaryDirectory() as folder:
        model = _by_corners(model)
        onnx.save(model, Path(folder) / "model.onnx")
        half = manifest.precision == "float16"
        words = [str(_converter()), "model.onnx", f"fp16={int(half)}"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        param, weights = (Path(folder) / f"model.ncnn.{kind}" for kind in ("param", "bin"))
        if done.returncode != 0 or not param.is_file() or not weights.is_file():
            said = (done.stdout + done.stderr).strip().splitlines()
            raise EngineError(f"pnnx fails ({said[-1] if said else done.returncode})")
        names = {"in0": INPUT} | {f"out{index}": name for index, name in enumerate(outputs)}
        content = _renamed(param.read_text(), names).encode()
        target.with_suffix(".bin").write_bytes(weights.read_bytes())
    target.write_bytes(content)
    notes = manifest.to_strings(target) | {
        PARAM_HASH: hashlib.sha256(content).hexdigest(),
        WEIGHT_BYTES: str(target.with_suffix(".bin").stat().st_size),
    }
    text = json.dumps(notes, indent=1, ensure_ascii=False)
    target.with_suffix(".json").write_text(text, encoding="utf-8")


def _converter() -> Path:
    """pnnx's program. Its Python package is not imported: that imports PyTorch."""
    found = find_spec("pnnx")
    for folder in (found.submodule_search_locations or ()) if found else ():
        for name in ("pnnx", "pnnx.exe"):
            if (program := Path(folder) / name).is_file():
                return program
    raise EngineError("exporting for ncnn needs pnnx; pip install 'mindssd[ncnn-export]'")


def _by_corners(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose maps are enlarged by a rule that ncnn has.

    `portable` has output i look at i · old / new. The same comes of a row and column more, which
    repeat the last, enlarged with corners aligned, and cut off again.
    """
    result = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    graph = result.graph
    shapes = {x.name: [d.dim_value for d in x.type.tensor_type.shape.dim] for x in graph.value_info}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if attribute_of(node, "coordinate_transformation_mode", b"") != b"asymmetric":
            nodes.append(node)
            continue
        source, output = node.input[0], node.output[0]
        height, width = shapes[output][2:]
        pads = _constant(graph, f"{output}.pads", np.array([0, 0, 0, 0, 0, 0, 1, 1]))
        sizes = np.array([*shapes[output][:2], height + 1, width + 1])
        grown = helper.make_node(
            "Resize",
            [f"{output}.padded", "", "", _constant(graph, f"{output}.sizes", sizes)],
            [f"{output}.grown"],
            mode="linear",
            coordinate_transformation_mode="align_corners",
        )
        ends = {"starts": [0, 0], "ends": [height, width], "axes": [2, 3]}
        limits = [_constant(graph, f"{output}.{k}", np.array(v)) for k, v in ends.items()]
        nodes += [
            helper.make_node("Pad", [source, pads], [f"{output}.padded"], mode="edge"),
            grown,
            helper.make_node("Slice", [f"{output}.grown", *limits], [output]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    return result


def _constant(graph: onnx.GraphProto, name: str, value: Array) -> str:
    graph.initializer.append(numpy_helper.from_array(value.astype(np.int64), name))
    return name


def _renamed(param: str, names: dict[str, str]) -> str:
    """A .param with other names for some of its values.

    A line is a layer: its kind, name, numbers of inputs and outputs, these, and its settings.
    """
    lines = param.splitlines()
    for index, line in enumerate(lines[2:], start=2):
        words = line.split()
        end = 4 + int(words[2]) + int(words[3])
        values = [names.get(value, value) for value in words[4:end]]
        lines[index] = " ".join([*words[:4], *values, *words[end:]])
    return "\n".join(lines) + "\n"
