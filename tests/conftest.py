"""Where the tests find the facts they compare with: `../shared` beside the checkout."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def _shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is absent: the golden facts and data lie beside the checkout")
    return path


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """What the reference computes, as data."""
    return _shared("golden")


@pytest.fixture(scope="session")
def bccd_dir() -> Path:
    """292 training and 72 validation microscope images in COCO layout."""
    return _shared("data/bccd")


@pytest.fixture(scope="session")
def backbone_checkpoint() -> Path:
    """An ImageNet-pretrained MobileNetV2 under MindCV's names."""
    return _shared("weights/mobilenet_v2_100.ckpt")
