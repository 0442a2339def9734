"""Arithmetic on boxes: areas, overlaps, clipping and the forms they come in.

A box is (x1, y1, x2, y2) unless its name says otherwise; the unit is the caller's. Every function
takes any number of boxes, none included, and gives new arrays.
"""

import numpy as np

from mindssd.types import Array, ImageSize


def area(boxes: Array) -> Array:
    """Width times height of each box, (N, 4) to (N,); 0 where it is inverted either way."""
    width = np.maximum(boxes[:, 2] - boxes[:, 0], 0)
    height = np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    return np.asarray(width * height)


def pairwise_iou(boxes: Array, others: Array) -> Array:
    """Intersection over union of each box with each other one.

    (N, 4) and (M, 4), same unit, to (N, M) in 0..1. Two boxes without area have IoU 0. No boxes on
    a side gives an empty result.
    """
    intersection = pairwise_intersection(boxes, others)
    union = np.add(area(boxes)[:, None], area(others))
    union -= intersection
    # The smallest normal number, so that 0 / 0 is 0 and every other ratio stays what it is.
    np.maximum(union, np.finfo(union.dtype).tiny, out=union)
    return np.asarray(np.divide(intersection, union, out=intersection))


def pairwise_intersection(boxes: Array, others: Array) -> Array:
    """The area that each box has in common with each other one.

    (N, 4) and (M, 4), same unit, to (N, M).
    """
    x1, y1, x2, y2 = np.ascontiguousarray(others.T)  # strided columns would take twice the time
    width = np.minimum(boxes[:, 2, None], x2)  # (N, M)
    width -= np.maximum(boxes[:, 0, None], x1)
    height = np.minimum(boxes[:, 3, None], y2)
    height -= np.maximum(boxes[:, 1, None], y1)
    np.maximum(width, 0, out=width)
    np.maximum(height, 0, out=height)
    return np.asarray(np.multiply(width, height, out=width))


def pairwise_cover(boxes: Array, others: Array) -> Array:
    """How much of each box each other one covers.

    (N, 4) and (M, 4), same unit, to (N, M) in 0..1. Of a box without area nothing is covered.
    """
    intersection = pairwise_intersection(boxes, others)
    areas = np.maximum(area(boxes), np.finfo(intersection.dtype).tiny)
    return np.asarray(np.divide(intersection, areas[:, None], out=intersection))


def clip(boxes: Array, image_size: ImageSize) -> Array:
    """Move every corner that lies outside the image onto its edge.

    (N, 4) pixels to (N, 4). A box wholly outside is left without area. For boxes as fractions of
    the image, `image_size` is (1, 1).
    """
    height, width = image_size
    limits = np.asarray([width, height, width, height], boxes.dtype)
    return np.asarray(np.clip(boxes, 0, limits))


def xyxy_to_cxcywh(boxes: Array) -> Array:
    """Corners to centre and size. (N, 4) to (N, 4); the inverse of `cxcywh_to_xyxy`."""
    size = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([boxes[:, :2] + size / 2, size], axis=1)


def cxcywh_to_xyxy(boxes_cxcywh: Array) -> Array:
    """Centre and size to corners. (N, 4) to (N, 4); the inverse of `xyxy_to_cxcywh`."""
    half_size = boxes_cxcywh[:, 2:] / 2
    centre = boxes_cxcywh[:, :2]
    return np.concatenate([centre - half_size, centre + half_size], axis=1)


def pixels_to_unit(boxes: Array, image_size: ImageSize) -> Array:
    """Pixels to fractions of the image. (N, 4) to (N, 4); the inverse of `unit_to_pixels`."""
    height, width = image_size
    return np.asarray(boxes / np.asarray([width, height, width, height], boxes.dtype))


def unit_to_pixels(boxes_unit: Array, image_size: ImageSize) -> Array:
    """Fractions of the image to pixels. (N, 4) to (N, 4); the inverse of `pixels_to_unit`."""
    height, width = image_size
    return np.asarray(boxes_unit * np.asarray([width, height, width, height], boxes_unit.dtype))
