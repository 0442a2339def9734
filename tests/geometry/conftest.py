"""The three recipes' default boxes and what the reference computes with them."""

import pytest

from mindssd.geometry.default_boxes import DefaultBoxes, GridDefaultBoxes, PaperDefaultBoxes
from tests.golden.facts import RECIPES, Golden


@pytest.fixture(params=RECIPES)
def golden(request, golden_dir) -> Golden:
    """One recipe's facts of the reference."""
    return Golden(request.param, golden_dir)


@pytest.fixture(scope="session")
def paper_default_boxes() -> DefaultBoxes:
    """1917 on a 300 by 300 image."""
    grids = [(length, length) for length in (19, 10, 5, 3, 2, 1)]
    return PaperDefaultBoxes().generate((300, 300), grids)


@pytest.fixture(scope="session")
def grid_default_boxes() -> DefaultBoxes:
    """51,150 on a 640 by 640 image."""
    grids = [(length, length) for length in (80, 40, 20, 10, 5)]
    return GridDefaultBoxes().generate((640, 640), grids)


@pytest.fixture
def golden_default_boxes(golden, paper_default_boxes, grid_default_boxes) -> DefaultBoxes:
    return grid_default_boxes if golden.recipe.endswith("fpn") else paper_default_boxes
