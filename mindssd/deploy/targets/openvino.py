"""A model as OpenVINO's .xml and .bin."""

from pathlib import Path
from typing import Any

from mindssd.deploy.manifest import Manifest
from mindssd.deploy.sessions.openvino_session import RT_INFO, import_openvino
from mindssd.errors import EngineError


def write_openvino(content: bytes, manifest: Manifest, target: Path) -> None:
    """Write an ONNX model as OpenVINO's .xml and .bin, in float32, with the manifest inside."""
    try:
        ov = import_openvino()
    except ImportError as error:
        raise EngineError("OpenVINO is not installed; pip install 'mindssd[openvino]'") from error
    model: Any = ov.Core().read_model(model=content, weights=b"")
    for key, value in manifest.to_strings(target).items():
        model.set_rt_info(value, [RT_INFO, key])
    ov.save_model(model, str(target), compress_to_fp16=False)
