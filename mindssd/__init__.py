"""mindssd: SSD object detection on MindCV's backbones."""

from importlib import import_module as _import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindssd.api import evaluate as evaluate
    from mindssd.api import export as export
    from mindssd.api import train as train
    from mindssd.build.model import load as load
    from mindssd.predict.call import predict as predict

__version__ = _version("mindssd")

__all__ = ["__version__", "evaluate", "export", "load", "predict", "train"]

_HOMES = {"load": "build.model", "train": "api", "evaluate": "api", "export": "api"}


def __getattr__(name: str) -> Any:
    """Import what does the work when it is first asked for, not by `import mindssd`."""
    if name == "predict":
        return _import_module("mindssd.predict")  # the room, which can be called
    if name not in _HOMES:
        raise AttributeError(f"module 'mindssd' has no attribute {name!r}")
    return getattr(_import_module(f"mindssd.{_HOMES[name]}"), name)
