"""A network as another program's graph: ONNX by PyTorch, MindIR by MindSpore."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from msgspec.structs import replace

from mindssd.build.engine import build_engine
from mindssd.build.network import network_spec
from mindssd.config.schema import Config
from mindssd.errors import EngineError
from mindssd.geometry.coding import MAX_LOG_SIZE_RATIO
from mindssd.types import Array


def raw_onnx(config: Config, parameters: Mapping[str, Array], num_classes: int) -> bytes:
    """The network with these parameters as ONNX: images (B, 3, H, W) to offsets and logits.

    By PyTorch, whatever engine trained it: MindSpore 2.10.0's exporter lacks operators.
    """
    for package in ("torch", "onnxscript"):
        if find_spec(package) is None:
            raise EngineError(f"exporting as ONNX needs {package}; pip install 'mindssd[export]'")
    from mindssd.engines.torch.start import importing

    with importing():
        from mindssd.engines.torch.onnx_graph import to_onnx

    return to_onnx(network_spec(config, num_classes), parameters)


def export_mindir(
    config: Config,
    parameters: Mapping[str, Array],
    num_classes: int,
    default_boxes_cxcywh: Array,
    path: Path,
) -> Callable[[Array], tuple[Array, ...]]:
    """Write the network as MindIR, boxes decoded; return the `forward` of that file."""
    build_engine(replace(config, engine="mindspore"))  # which it is written by
    from mindssd.engines.mindspore.mindir import export_mindir

    spec = network_spec(config, num_classes)
    return export_mindir(
        spec,
        parameters,
        default_boxes_cxcywh,
        config.matching.variances,
        MAX_LOG_SIZE_RATIO,
        path,
    )
