"""What `mindssd export` is asked to make of a model, and the formats that there are."""

from dataclasses import dataclass
from pathlib import Path, PurePath

from mindssd.deploy.manifest import InGraphNMS, Precision
from mindssd.errors import ConfigError

SUFFIXES = {
    "onnx": ".onnx",
    "openvino": ".xml",
    "tflite": ".tflite",
    "ncnn": ".ncnn.param",
    "mindir": ".mindir",
    "ckpt": ".ckpt",
    "web": ".web",
}
"""By the format's name; beside OpenVINO's .xml comes a .bin, beside a .mindir a .json, and beside
ncnn's .param both. A .web is a folder."""

_WITH_OTHERS = ("openvino", "ncnn")
"""Whose readers look for the files beside one by its suffix, and take no other for it."""

SIMPLE_READERS = ("tflite", "ncnn")
"""Their files take one image, and have hard-swish as an operator."""
_TAKES = {
    "--int8": ("onnx", "openvino", "tflite"),
    "--float16": SIMPLE_READERS,
    "--nms": ("onnx", "openvino", "tflite"),
    "--batch": ("onnx", "openvino"),
    "--runtime-archive": ("web",),
}
"""The formats that a setting is for."""

MAX_LOSS = 0.01


def _check(nms: InGraphNMS) -> None:
    """Raise ConfigError for what NMS cannot be done by."""
    for name, value in (("score", nms.score_threshold), ("iou", nms.iou_threshold)):
        if not 0 <= value <= 1:
            raise ConfigError(f"--nms-{name} is {value}: expected 0 to 1")
    if nms.max_detections < 1:
        raise ConfigError(f"--nms-detections is {nms.max_detections}: expected at least 1")


@dataclass(frozen=True)
class ExportSettings:
    """What to make of a model."""

    format: str = "onnx"
    out: Path | None = None
    nms: InGraphNMS | None = None
    batch: int | None = None
    """How many images the file is to take at once; None leaves it free."""
    int8: bool = False
    float16: bool = False
    """Keep weights in float16."""
    max_loss: float = MAX_LOSS
    """The mAP that int8 or float16 may lose."""
    force: bool = False
    """Keep a file that loses more."""
    runtime_archive: Path | None = None
    """Where a page's runtime is taken from, instead of npm's registry and the cache."""

    def __post_init__(self) -> None:
        if self.format not in SUFFIXES:
            raise ConfigError(f"format {self.format}: expected {', '.join(SUFFIXES)}")
        asked = {
            "--int8": self.int8,
            "--float16": self.float16,
            "--nms": self.nms is not None,
            "--batch": self.batch is not None,
            "--runtime-archive": self.runtime_archive is not None,
        }
        for name, formats in _TAKES.items():
            if asked[name] and self.format not in formats:
                *others, last = formats
                names = f"{', '.join(others)} and {last}" if others else last
                raise ConfigError(f"{name} is for {names}, not for {self.format}")
        if self.batch is not None and self.batch < 1:
            raise ConfigError(f"--batch is {self.batch}: expected at least 1")
        if self.int8 and self.float16:
            raise ConfigError("--int8 and --float16 are two files: give one of them")
        if not self.max_loss >= 0:  # so is NaN
            raise ConfigError(f"--max-loss is {self.max_loss}: expected at least 0")
        if self.nms is not None:
            _check(self.nms)
        ending = PurePath(f"model{SUFFIXES[self.format]}").suffix
        if self.format in _WITH_OTHERS and self.out is not None and self.out.suffix != ending:
            raise ConfigError(f"--out {self.out}: what {self.format} reads ends in {ending}")

    @property
    def precision(self) -> Precision:
        """What the file is in."""
        return "int8" if self.int8 else "float16" if self.float16 else "float32"
