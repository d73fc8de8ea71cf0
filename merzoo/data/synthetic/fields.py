"""The canonical face plane and the few shapes everything is painted with.

Coordinates: x is measured from the mid-line to the image's right, y downwards from the top of the frame; 1 unit = 1 pixel of a 128 px frame.
Axes are kept as open grids (1, n) and (n, 1), so a Gaussian is an outer product and costs almost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

FRAME = 128  # units: side of the frame
MIDLINE = 64.0  # units from the left border
PAD = 8  # units of canvas around the frame, so that crop errors never look beyond it
SUPERSAMPLE = 2  # canvas and render pixels per unit: the texture is resampled once, from 2x, which keeps its sharpness
RENDER = FRAME * SUPERSAMPLE  # px: side of the rendered image
CANVAS = (FRAME + 2 * PAD) * SUPERSAMPLE  # px
GRID_STEP = 2  # units: displacement fields are smooth, a coarse grid does
GRID = (FRAME + 2 * PAD) // GRID_STEP


@dataclass(frozen=True)
class Plane:
    """A square raster over the padded frame: `count` cells of `step` units."""

    count: int
    step: float

    @cached_property
    def x(self) -> Array:
        """(1, count): distance from the mid-line; antisymmetric, so mirroring the face is flipping the array."""
        return (((np.arange(self.count, dtype=np.float32) + 0.5) * self.step) - PAD - MIDLINE)[None, :].astype(np.float32)

    @cached_property
    def y(self) -> Array:
        """(count, 1): distance from the top of the frame."""
        return (((np.arange(self.count, dtype=np.float32) + 0.5) * self.step) - PAD)[:, None].astype(np.float32)

    def zeros(self) -> Array:
        return np.zeros((self.count, self.count), np.float32)

    def blob(self, x: float, y: float, sx: float, sy: float, sy_up: float | None = None) -> Array:
        """Gaussian of height 1 at (x, y); `sy_up` is its sigma above the centre where that differs."""
        dy = self.y - y
        sigma = sy if sy_up is None else np.where(dy < 0, sy_up, sy)
        return (np.exp(-0.5 * ((self.x - x) / sx) ** 2) * np.exp(-0.5 * (dy / sigma) ** 2)).astype(np.float32)

    def pair(self, x: float, y: float, sx: float, sy: float, sy_up: float | None = None) -> Array:
        """The same blob on both sides of the face."""
        return self.blob(x, y, sx, sy, sy_up) + self.blob(-x, y, sx, sy, sy_up)

    def window(self, x0: float, x1: float, y0: float, y1: float) -> tuple[slice, slice]:
        """Rows and columns that cover the box."""

        def span(low: float, high: float, shift: float) -> slice:
            first, last = (low + shift) / self.step - 1, (high + shift) / self.step + 1
            return slice(int(np.clip(first, 0, self.count)), int(np.clip(last, 0, self.count)))

        return span(y0, y1, PAD), span(x0, x1, PAD + MIDLINE)


FINE = Plane(CANVAS, 1 / SUPERSAMPLE)
COARSE = Plane(GRID, GRID_STEP)


def smoothstep(value: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> Array:
    """0 below `low`, 1 above `high`, smooth between."""
    first, last = np.asarray(low, np.float32), np.asarray(high, np.float32)
    t = np.clip((np.asarray(value, np.float32) - first) / (last - first), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def sides(plane: Plane) -> tuple[Array, Array]:
    """Weights (image-left, image-right) that add up to 1; soft over some units, since muscles of both sides meet at the mid-line."""
    softness = 3.0  # units
    right = (1 / (1 + np.exp(-plane.x / softness))).astype(np.float32)
    return 1 - right, right


def noise(rng: np.random.Generator, sigma: float) -> Array:
    """Noise on the fine plane with unit variance and grain of `sigma` units."""
    grain = sigma * SUPERSAMPLE
    if grain > 6:  # coarse grain: interpolate a small grid instead of blurring a large one
        count = max(int(CANVAS * 0.7 / grain), 5)
        z = cv2.resize(rng.standard_normal((count, count), dtype=np.float32), (CANVAS, CANVAS), interpolation=cv2.INTER_CUBIC)
    else:
        z = cv2.GaussianBlur(rng.standard_normal((CANVAS, CANVAS), dtype=np.float32), (0, 0), grain)
    return (z / z.std()).astype(np.float32)


def blur(image: Array, sigma: float) -> Array:
    """Gaussian blur on the fine plane; sigma in canvas pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def _along(x: Array, y: Array, points: Sequence[tuple[float, float]]) -> tuple[Array, Array]:
    """Distance to a polyline, and how far along it (0 to 1) the nearest point lies."""
    distance = np.full(np.broadcast_shapes(x.shape, y.shape), np.inf, np.float32)
    position = np.zeros_like(distance)
    count = len(points) - 1
    for i, ((x0, y0), (x1, y1)) in enumerate(pairwise(points)):
        vx, vy = x1 - x0, y1 - y0
        t = np.clip(((x - x0) * vx + (y - y0) * vy) / (vx * vx + vy * vy), 0, 1)
        d = np.hypot(x - x0 - t * vx, y - y0 - t * vy)
        near = d < distance
        distance = np.where(near, d, distance).astype(np.float32)
        position = np.where(near, (i + t) / count, position).astype(np.float32)
    return distance, position


def furrow(points: Sequence[tuple[float, float]], width: float, depth: float) -> Array:
    """A fold of skin on both sides of the face: a trench with shoulders along a polyline, which reads as a fold under any light.

    `points` on the +x side, `width` = sigma of the trench in units, `depth` in units of height; tapered towards its ends.
    """
    shoulder, reach = 2.2 * width, 2.2 * width * 3.2
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    rows, columns = FINE.window(min(xs) - reach, max(xs) + reach, min(ys) - reach, max(ys) + reach)
    d, t = _along(FINE.x[:, columns], FINE.y[rows], points)
    taper = np.sin(np.pi * (t * 0.9 + 0.05)) ** 0.7
    out = FINE.zeros()
    out[rows, columns] = depth * (0.45 * np.exp(-0.5 * (d / shoulder) ** 2) - np.exp(-0.5 * (d / width) ** 2)) * taper
    return out + out[:, ::-1]
