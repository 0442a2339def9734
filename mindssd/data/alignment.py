"""Whether two pictures are one and the same but for size, edges, brightness and compression.

One is laid on the other by the affine map of highest correlation (Evangelidis and Psarakis, "ECC",
PAMI 2008), and then compared window by window: in a copy every part agrees, while two pictures of
one place differ somewhere.
"""

import cv2
import numpy as np

from mindssd.types import Array

MOST_MOVED = 0.15
"""A corner may come to lie so far off, as a share of the side: what a crop of a tenth does."""

LEAST_SHARED = 0.6
"""So much of the picture both must show."""

MEAN_AGREEMENT = 0.96
"""The windows' mean correlation from which two pictures are the same.

Of copies, JPEG of quality 30, a third of the size, crops of 8 % on all sides and brightness by 10 %
had 0.979 and more on three sets of photographs; two shots of one scene by hand 0.97 to 0.99; two
cards laid on one spot 0.94 and less (2026-11).
"""

LEAST_AGREEMENT = 0.6
"""The correlation that all but 2 % of the windows have: an object that has moved breaks it."""

_NOISE = 6.0
"""Grey levels: what differs by no more is noise, and a window without more agrees with any other of
its kind."""

_INSET = 0.06
_COARSE = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-3)
_FINE = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
_INVERSE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


def coarse_map(grey: Array, other: Array) -> Array | None:
    """The affine map (2, 3) from places of one small grey picture to those of the other.

    None where none is found by which they correlate. Tried from three beginnings: as they lie, and
    one as a crop of the other.
    """
    first, second = grey.astype(np.float32), other.astype(np.float32)
    best, most = None, 0.6
    for scale in (1.0, 1 - 2 * _INSET, 1 / (1 - 2 * _INSET)):
        found = _aligned(first, second, _about_middle(scale, len(grey)), _COARSE)
        if found is not None and found[0] > most:
            most, best = found
        if most > 0.98:
            break
    return best


def agreement(picture: Array, other: Array, coarse: Array, coarse_side: int) -> float:
    """How well two pictures of one size (S, S, 3) uint8 agree, 0..1; 0 where they are not the same.

    `coarse` as from `coarse_map`, of pictures with `coarse_side`.
    """
    first, second = (
        cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.2) for image in (picture, other)
    )
    side = len(picture)
    start = _scaled(coarse, side / coarse_side)
    found = _aligned(first.mean(axis=2), second.mean(axis=2), start, _FINE)
    mapped = start if found is None else found[1]
    corners = np.array([[0, 0, 1], [side, 0, 1], [0, side, 1], [side, side, 1]], np.float32)
    if np.abs(corners @ mapped.T - corners[:, :2]).max() > MOST_MOVED * side:
        return 0.0
    laid = cv2.warpAffine(second, mapped, (side, side), flags=_INVERSE)
    shared = cv2.warpAffine(np.ones((side, side), np.float32), mapped, (side, side), flags=_INVERSE)
    shown = cv2.erode((shared > 0.999).astype(np.uint8), np.ones((3, 3), np.uint8))
    if shown.mean() < LEAST_SHARED:
        return 0.0
    windows = _window_correlations(first, np.asarray(laid), np.asarray(shown, np.float32))
    if not len(windows) or np.percentile(windows, 2) < LEAST_AGREEMENT:
        return 0.0
    mean = float(windows.mean())
    return mean if mean >= MEAN_AGREEMENT else 0.0


def _window_correlations(first: Array, second: Array, shown: Array) -> Array:
    """The correlation of the colours in each window of an eighth of the side, where both show."""
    window = (len(first) // 8 | 1,) * 2
    covered = cv2.blur(shown, window)

    def mean(values: Array) -> Array:
        return np.asarray(cv2.blur(values * shown[..., None], window) / _some(covered)[..., None])

    means = mean(first), mean(second)
    together: Array = (mean(first * second) - means[0] * means[1]).sum(axis=2)
    spreads = [
        np.maximum(mean(image * image) - middle * middle, 0).sum(axis=2)
        for image, middle in zip((first, second), means, strict=True)
    ]
    noise = 3 * _NOISE**2  # of three colours
    correlation = (together + noise) / np.sqrt((spreads[0] + noise) * (spreads[1] + noise))
    return np.asarray(correlation[covered > 0.7])


def _some(values: Array) -> Array:
    return np.maximum(values, 1e-6)


def _aligned(
    first: Array, second: Array, start: Array, criteria: tuple[int, int, float]
) -> tuple[float, Array] | None:
    try:
        correlation, found = cv2.findTransformECC(  # type: ignore[call-overload]
            first, second, start.copy(), cv2.MOTION_AFFINE, criteria, None, 5
        )
    except cv2.error:  # it has lost its way
        return None
    return float(correlation), np.asarray(found)


def _about_middle(scale: float, side: int) -> Array:
    """The map that enlarges about the middle of a picture."""
    away = (1 - scale) * (side - 1) / 2
    return np.array([[scale, 0, away], [0, scale, away]], np.float32)


def _scaled(mapped: Array, factor: float) -> Array:
    """The same map between pictures `factor` times as large; pixels are at their middles."""
    result = mapped.astype(np.float32).copy()
    away = (factor - 1) / 2
    result[:, 2] = factor * mapped[:, 2] + away - mapped[:, :2] @ np.array([away, away])
    return result
