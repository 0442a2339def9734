"""Boxes as offsets and back."""

import numpy as np
import pytest

from mindssd.geometry.boxes import clip, cxcywh_to_xyxy, xyxy_to_cxcywh
from mindssd.geometry.coding import MAX_LOG_SIZE_RATIO, decode, encode
from mindssd.geometry.matching import match

VARIANCES = (0.1, 0.2)
DEFAULT_BOX = np.array([[0.5, 0.5, 0.2, 0.4]])


def test_offsets_of_a_shifted_and_stretched_box():
    # Right by 0.02 = 0.1 widths, down by 0.08 = 0.2 heights; e times as wide, as high as before.
    box = np.array([[0.52, 0.58, 0.2 * np.e, 0.4]])
    ty, tx, th, tw = encode(box, DEFAULT_BOX, VARIANCES)[0]
    assert (ty, tx, th, tw) == pytest.approx((0.2 / 0.1, 0.1 / 0.1, 0, 1 / 0.2))


def test_a_default_box_has_no_offset_from_itself():
    np.testing.assert_allclose(encode(DEFAULT_BOX, DEFAULT_BOX, VARIANCES), np.zeros((1, 4)))
    np.testing.assert_allclose(
        decode(np.zeros((1, 4)), DEFAULT_BOX, VARIANCES), cxcywh_to_xyxy(DEFAULT_BOX)
    )


@pytest.mark.parametrize("variances", [VARIANCES, (1.0, 1.0)])
def test_decode_is_the_inverse_of_encode(paper_default_boxes, variances):
    default_boxes = paper_default_boxes.boxes_cxcywh.astype(np.float64)
    rng = np.random.default_rng(0)
    boxes = np.concatenate(
        [rng.uniform(0, 1, (len(default_boxes), 2)), rng.uniform(0.01, 1, (len(default_boxes), 2))],
        axis=1,
    )
    decoded = decode(encode(boxes, default_boxes, variances), default_boxes, variances)
    np.testing.assert_allclose(xyxy_to_cxcywh(decoded), boxes, atol=1e-12)


def test_nothing_codes_to_nothing():
    nothing = np.zeros((0, 4), np.float32)
    assert encode(nothing, nothing, VARIANCES).shape == (0, 4)
    assert decode(nothing, nothing, VARIANCES).shape == (0, 4)


def test_float32_stays_float32():
    default_box = DEFAULT_BOX.astype(np.float32)
    assert encode(default_box, default_box, VARIANCES).dtype == np.float32
    assert decode(default_box, default_box, VARIANCES).dtype == np.float32


def test_decode_leaves_its_input_alone():
    offsets = np.full((1, 4), 1000.0, np.float32)
    decode(offsets, DEFAULT_BOX.astype(np.float32), VARIANCES)
    assert offsets.tolist() == [[1000.0] * 4]


def test_a_flat_box_has_finite_offsets():
    assert np.isfinite(encode(np.array([[0.5, 0.5, 0.0, 0.1]]), DEFAULT_BOX, VARIANCES)).all()


@pytest.mark.parametrize("wild", [1e4, 1e30, 3e38, -1e30])
def test_wild_offsets_decode_to_finite_boxes(wild):
    offsets = np.full((1, 4), wild, np.float32)
    boxes = decode(offsets, DEFAULT_BOX.astype(np.float32), VARIANCES)
    assert np.isfinite(boxes).all()
    assert (boxes[:, 2:] >= boxes[:, :2]).all()


def test_a_box_is_at_most_a_thousand_times_its_default_box():
    bound = MAX_LOG_SIZE_RATIO / VARIANCES[1]
    offsets = np.array([[0, 0, bound, bound], [0, 0, bound + 9, bound + 9]])
    decoded = decode(offsets, np.repeat(DEFAULT_BOX, 2, axis=0), VARIANCES)
    np.testing.assert_allclose(xyxy_to_cxcywh(decoded)[:, 2:], [[200, 400], [200, 400]])


def test_offsets_are_the_references(golden, golden_default_boxes):
    targets = golden.load("targets")
    for k in range(5):
        truths = targets[f"truth_{k}_y1_x1_y2_x2_label"][:, [1, 0, 3, 2]]
        matched = match(truths, golden_default_boxes, 0.5)
        positive = np.flatnonzero(matched >= 0)
        offsets = encode(
            xyxy_to_cxcywh(truths[matched[positive]]),
            golden_default_boxes.boxes_cxcywh[positive],
            VARIANCES,
        )
        np.testing.assert_allclose(offsets, targets[f"positive_offsets_{k}"], rtol=0, atol=1e-4)


def test_decoded_boxes_are_the_references(golden, golden_default_boxes):
    facts = golden.load("decode")
    default_boxes = golden_default_boxes.boxes_cxcywh[facts["anchor_index"]]
    for offsets, expected in zip(facts["offsets"], facts["boxes_y1_x1_y2_x2"], strict=True):
        boxes = clip(decode(offsets, default_boxes, VARIANCES), (1, 1))
        np.testing.assert_allclose(boxes[:, [1, 0, 3, 2]], expected, rtol=0, atol=1e-5)
