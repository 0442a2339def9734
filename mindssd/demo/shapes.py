"""Outlines and lines for the demo's drawings: points (n, 2), x to the right and y down."""

import numpy as np
import numpy.typing as npt

from mindssd.types import Array

Limb = tuple[tuple[float, ...], *tuple[tuple[float, float], ...]]
"""The widths of a ribbon, and the control points of the curve that it follows."""


def heading(bearing: npt.ArrayLike) -> Array:
    """Give the unit vectors (..., 2) of bearings in radians, 0 to the right, clockwise."""
    return np.stack([np.cos(bearing), np.sin(bearing)], axis=-1)


def ellipse(centre: npt.ArrayLike, radii: npt.ArrayLike) -> Array:
    """List the outline (24, 2) of an ellipse; `radii` is one number or (x, y)."""
    return np.asarray(centre) + np.asarray(radii) * heading(np.arange(24) * np.pi / 12)


def curve(controls: npt.ArrayLike) -> Array:
    """Draw the Bézier curve of control points (k, d) as a line (24, d)."""
    share = np.arange(24)[:, None, None] / 23
    level = np.repeat(np.asarray(controls, np.float64)[None], 24, axis=0)
    while level.shape[1] > 1:  # de Casteljau
        level = level[:, :-1] * (1 - share) + level[:, 1:] * share
    return level[:, 0]


def ribbon(controls: npt.ArrayLike, *widths: float) -> Array:
    """Outline a Bézier curve as wide as the one of `widths`, its ends round: (58, 2)."""
    line = curve(controls)
    along = np.gradient(line, axis=0)
    along *= curve(np.reshape(widths, (-1, 1)) / 2) / np.hypot(*along.T)[:, None]
    across = along[:, ::-1] * (-1, 1)
    arc = heading(np.arange(2, -3, -1) * np.pi / 6)  # from across to across, by along
    end = line[-1] + arc @ np.array([along[-1], across[-1]])
    start = line[0] - arc @ np.array([along[0], across[0]])
    return np.concatenate([line + across, end, (line - across)[::-1], start])
