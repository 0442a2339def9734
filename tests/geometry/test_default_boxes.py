"""Where the default boxes stand and how large they are."""

import numpy as np
import pytest

from mindssd.geometry.boxes import xyxy_to_cxcywh
from mindssd.geometry.default_boxes import (
    GridDefaultBoxes,
    PaperDefaultBoxes,
    level_step,
)
from tests.default_boxes import default_boxes_at

SCHEMES = [PaperDefaultBoxes(), GridDefaultBoxes()]


@pytest.mark.parametrize(
    ("image_length", "grid_length", "step"),
    [
        (300, 19, 16),  # reaches to 304
        (300, 10, 32),  # to 320, not yet a tenth over
        (300, 5, 64),
        (300, 3, 100),  # 128 would reach to 384
        (300, 2, 150),
        (300, 1, 300),
        (640, 80, 8),
        (640, 5, 128),
        (320, 20, 16),
        (224, 7, 32),
        (110, 11, 10),  # 16 would reach to 176
    ],
)
def test_step_is_the_stride_unless_it_overhangs(image_length, grid_length, step):
    assert level_step(image_length, grid_length) == step


def test_first_level_of_the_paper_has_three_boxes_at_each_cell():
    # One cell over a 100 by 100 image: a square of a tenth, then 2:1 and 1:2 with scale 0.2.
    default_boxes = PaperDefaultBoxes().generate((100, 100), [(1, 1)])
    root = np.sqrt(2)
    np.testing.assert_allclose(
        default_boxes.boxes_cxcywh,
        [
            [0.5, 0.5, 0.1, 0.1],
            [0.5, 0.5, 0.2 * root, 0.2 / root],
            [0.5, 0.5, 0.2 / root, 0.2 * root],
        ],
        rtol=1e-6,
    )


def test_other_levels_of_the_paper_have_six_with_a_square_between_scales_last():
    default_boxes = PaperDefaultBoxes(min_scale=0.2, max_scale=0.5).generate(
        (90, 90), [(2, 2), (1, 1)]
    )
    widths = default_boxes.boxes_cxcywh[12:, 2]
    roots = np.sqrt([1, 2, 1 / 2, 3, 1 / 3])
    np.testing.assert_allclose(widths, [*(0.5 * roots), np.sqrt(0.5 * 1.0)], rtol=1e-6)


def test_scales_rise_evenly_and_end_in_one():
    np.testing.assert_allclose(
        PaperDefaultBoxes().scales(6), [0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0], rtol=1e-12
    )
    assert PaperDefaultBoxes().scales(1) == (0.2, 1.0)


def test_grid_boxes_are_sized_by_the_step():
    # Step 8 of a 16 by 16 image: 4 steps are 32 pixels, twice the image; the next size is √2 of it.
    default_boxes = GridDefaultBoxes(aspect_ratios=(1.0,)).generate((16, 16), [(2, 2)])
    np.testing.assert_allclose(
        default_boxes.boxes_cxcywh[:2],
        [[0.25, 0.25, 2, 2], [0.25, 0.25, 2 * np.sqrt(2), 2 * np.sqrt(2)]],
        rtol=1e-6,
    )


def test_boxes_run_along_a_row_first():
    default_boxes = GridDefaultBoxes().generate((32, 48), [(2, 3)])
    centres = default_boxes.boxes_cxcywh[::6, :2] * [48, 32]
    expected = [[8, 8], [24, 8], [40, 8], [8, 24], [24, 24], [40, 24]]
    np.testing.assert_allclose(centres, expected, rtol=1e-6)


def test_a_ratio_is_one_of_pixels_on_any_image():
    height, width = 200, 450
    default_boxes = PaperDefaultBoxes().generate((height, width), [(4, 8), (2, 4)])
    size = default_boxes.boxes_cxcywh[-6:, 2:] * [width, height]  # (6, 2) pixels
    np.testing.assert_allclose(size[:, 0] / size[:, 1], [1, 2, 1 / 2, 3, 1 / 3, 1], rtol=1e-6)
    # Scale 0.95 covers 0.95² of the image.
    np.testing.assert_allclose(size[:5].prod(axis=1) / (height * width), 0.95**2, rtol=1e-6)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("grids", [[(1, 1)], [(7, 5)], [(19, 33), (10, 17), (5, 9)]])
def test_counts_are_those_promised_before_the_grids_were_known(scheme, grids):
    default_boxes = scheme.generate((304, 528), grids)
    per_location = scheme.boxes_per_location(len(grids))
    counts = [rows * columns * k for (rows, columns), k in zip(grids, per_location, strict=True)]
    of_levels = [
        len(c.centres) * k
        for c, k in zip(default_boxes.cells, default_boxes.num_per_cell, strict=True)
    ]
    assert of_levels == list(counts)
    assert len(default_boxes) == sum(counts)
    assert default_boxes.boxes.shape == default_boxes.boxes_cxcywh.shape == (sum(counts), 4)
    assert default_boxes.boxes.dtype == default_boxes.boxes_cxcywh.dtype == np.float32


@pytest.mark.parametrize("scheme", SCHEMES)
def test_both_forms_say_the_same(scheme):
    default_boxes = scheme.generate((300, 400), [(19, 25), (10, 13)])
    np.testing.assert_allclose(
        xyxy_to_cxcywh(default_boxes.boxes), default_boxes.boxes_cxcywh, atol=1e-6
    )


def test_the_recipes_counts_at_a_cell():
    assert PaperDefaultBoxes().boxes_per_location(6) == (3, 6, 6, 6, 6, 6)
    assert GridDefaultBoxes().boxes_per_location(5) == (6,) * 5


def test_default_boxes_reach_over_the_border_unclipped(paper_default_boxes):
    assert paper_default_boxes.boxes.min() < 0
    assert paper_default_boxes.boxes.max() > 1


def test_a_block_holds_corners_and_areas_and_knows_its_extent():
    boxes_cxcywh = np.array([[0.5, 0.5, 0.2, 0.4], [0.2, 0.5, 0.2, 0.2]])
    default_boxes = default_boxes_at(boxes_cxcywh)
    first, *others = default_boxes.blocks[:, 0].T
    np.testing.assert_allclose(first, [0.4, 0.3, 0.6, 0.7, 0.08], rtol=1e-6)
    # The last box fills the block.
    np.testing.assert_allclose(others, [[0.1, 0.4, 0.3, 0.6, 0.04]] * len(others), rtol=1e-6)
    np.testing.assert_allclose(default_boxes.block_extents[:, 0], [0.1, 0.3, 0.6, 0.7], rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PaperDefaultBoxes(min_scale=0.5, max_scale=0.2),
        lambda: PaperDefaultBoxes(first_level_scale=0),
        lambda: PaperDefaultBoxes(aspect_ratios=(-2.0,)),
        lambda: GridDefaultBoxes(scale=0),
        lambda: GridDefaultBoxes(scales_per_octave=0),
        lambda: GridDefaultBoxes(aspect_ratios=()),
        lambda: PaperDefaultBoxes().generate((300, 300), []),
        lambda: GridDefaultBoxes().generate((300, 300), [(0, 4)]),
    ],
)
def test_impossible_settings_are_refused_with_their_values(make):
    with pytest.raises(ValueError, match=r"expected|positive"):
        make()


def test_default_boxes_are_the_references(golden, golden_default_boxes):
    anchors = golden.load("anchors")
    assert len(golden_default_boxes) == anchors["num_anchors"]
    index = anchors["anchor_index"]
    corners = golden_default_boxes.boxes[index][:, [1, 0, 3, 2]]
    np.testing.assert_allclose(corners, anchors["y1_x1_y2_x2"], rtol=0, atol=1e-6)
    centres = golden_default_boxes.boxes_cxcywh[index][:, [1, 0, 3, 2]]
    np.testing.assert_allclose(centres, anchors["cy_cx_h_w"], rtol=0, atol=1e-6)
