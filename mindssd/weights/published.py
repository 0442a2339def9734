"""What MindCV publishes and mindssd knows by name: ImageNet backbones, and detectors of COCO.

A published file's name ends in the first eight hex digits of its SHA-256. The backbones' addresses
are those of MindCV 0.3.0's `default_cfgs`, the detectors' and their figures those of its SSD
example's README.
"""

from dataclasses import dataclass

from mindssd.errors import WeightsError


@dataclass(frozen=True)
class Published:
    """One of MindCV's files."""

    name: str
    recipe: str
    """The recipe of ours whose backbone or network it is."""
    path: str
    """Below the base address."""
    megabytes: int
    """About: four bytes for each of the model's parameters."""

    kind = "backbone"

    @property
    def file_name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def hash_prefix(self) -> str:
        """The first eight hex digits of the file's SHA-256."""
        return self.file_name.removesuffix(".ckpt").rpartition("-")[2]


@dataclass(frozen=True)
class PublishedDetector(Published):
    """A detector of COCO's 80 classes, which stand behind the background in the ids' order."""

    ap: float
    """COCO val2017, by MindCV's own protocol, as published."""
    finest_stride: int
    """Pixels between the cells of its first level; each level has half the cells of the one before,
    rounded up."""

    kind = "detector"


BACKBONES = (
    Published(
        "mobilenet_v2_100",
        "ssd_mobilenetv2",
        "mobilenet/mobilenetv2/mobilenet_v2_100-d5532038.ckpt",
        14,
    ),
    Published(
        "mobilenet_v3_large_100",
        "ssd_mobilenetv3",
        "mobilenet/mobilenetv3/mobilenet_v3_large_100-1279ad5f.ckpt",
        22,
    ),
    Published("resnet50", "ssd_resnet50_fpn", "resnet/resnet50-e0733ab8.ckpt", 102),
)

DETECTORS = (
    PublishedDetector(
        "ssd_mobilenetv2", "ssd_mobilenetv2", "ssd/ssd_mobilenetv2-5bbd7411.ckpt", 18, 0.232, 16
    ),
    PublishedDetector(
        "ssd_mobilenetv3", "ssd_mobilenetv3", "ssd/ssd_mobilenetv3-53d9f6e9.ckpt", 20, 0.238, 16
    ),
    PublishedDetector(
        "ssd_resnet50_fpn", "ssd_resnet50_fpn", "ssd/ssd_resnet50_fpn-ac87ddac.ckpt", 134, 0.383, 8
    ),
)

PUBLISHED: dict[str, Published] = {file.name: file for file in (*BACKBONES, *DETECTORS)}


def published_detectors() -> list[PublishedDetector]:
    """The detectors alone."""
    return [file for file in PUBLISHED.values() if isinstance(file, PublishedDetector)]


def names_of(kind: str) -> list[str]:
    """The names of a kind, `backbone` or `detector`."""
    return [name for name, file in PUBLISHED.items() if file.kind == kind]


def find_published(name: str) -> Published:
    """The published file of this name, or WeightsError with the names that there are."""
    if name not in PUBLISHED:
        raise WeightsError(f"{name!r} is not published; there are {', '.join(PUBLISHED)}")
    return PUBLISHED[name]
