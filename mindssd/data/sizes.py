"""Annotated sizes of pictures and those of their files: the same, of one shape, or at odds."""

import numpy as np

from mindssd.types import Array, ImageSize


def clipped_corners(boxes_xywh: Array, sizes: Array) -> Array:
    """Turn boxes (n, 4) float64 into corners (n, 4) float32 within their images.

    `sizes` is one (height, width), or (n, 2); a side of 0 is not known, and clips nothing.
    """
    corners = boxes_xywh.copy()
    corners[:, 2:] += corners[:, :2]
    sides = np.where(sizes > 0, sizes, np.inf)[..., ::-1]
    return np.clip(corners, 0, np.tile(sides, 2)).astype(np.float32)


def same_shape(a: ImageSize, b: ImageSize) -> bool:
    """Tell whether a picture of size `a` can have been resized to `b`, each side rounded."""
    return bool(same_shapes(np.array([a]), np.array([b]))[0])


def same_shapes(a: Array, b: Array) -> Array:
    """Tell it of many, (n, 2) each: (n,) bool, false where a side is 0.

    Either may be the original. A side is rounded, down or up, to within a pixel: the scales that
    the two sides allow must overlap.
    """
    known = (a > 0).all(axis=1) & (b > 0).all(axis=1)
    a, b = np.where(known[:, None], a, 1.0), np.where(known[:, None], b, 1.0)

    def resized(original: Array, result: Array) -> Array:
        lowest, highest = (result - 1) / original, (result + 1) / original  # (n, 2)
        overlap: Array = lowest.max(axis=1) <= highest.min(axis=1)
        return overlap

    same: Array = known & (resized(a, b) | resized(b, a))
    return same


def size_words(size: ImageSize | Array) -> str:
    """Write a (height, width) as people do: 640x480."""
    return f"{size[1]}x{size[0]}"
