"""Lips: their line and outline on the neutral face, and the gap when they part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from merzoo.data.synthetic.fields import FRAME, SUPERSAMPLE, Array, smoothstep
from merzoo.data.synthetic.identity import Identity

SHARE_UP, SHARE_LOW = 0.35, 0.65  # of a gap, how much the upper and the lower lip move
CORNER_LIFT = 0.5  # units by which corners of a mean mouth lie above its middle: a mouth at rest that looks at rest
FADE = 9.0  # units over which the skin around takes the gap up
INSIDE = np.array([0.13, 0.045, 0.045], np.float32)  # linear RGB of an open mouth
TEETH = np.array([0.60, 0.58, 0.53], np.float32)  # added to it


def lip_line(person: Identity, x: Array) -> Array:
    """y of the line between the lips."""
    u = np.clip(np.abs(x) / person.mouth_width, 0, 1.3)
    bow = 0.7 * np.exp(-((x / 3.0) ** 2)) - 0.35 * np.exp(-(((np.abs(x) - 5.5) / 3.0) ** 2))
    return (person.mouth_y - (person.mouth_curve + CORNER_LIFT) * (u**2 - 0.3) + bow - 0.2).astype(np.float32)


def lip_outline(person: Identity, x: Array) -> tuple[Array, Array, Array]:
    """y of the upper lip's top (with the bow), of the lip line, and of the lower lip's bottom."""
    line, distance = lip_line(person, x), np.abs(x)
    taper = np.clip(1 - (x / person.mouth_width) ** 2, 0, 1)
    bow = 1 + 0.16 * np.exp(-(((distance - 3.3) / 2.2) ** 2)) - 0.24 * np.exp(-((x / 1.7) ** 2))
    return line - person.lip_up * taper**0.85 * bow, line, line + person.lip_low * taper**0.62


@dataclass(frozen=True)
class Gap:
    """The inside of a parted mouth, over some rows of the rendered image."""

    rows: slice
    mask: Array
    teeth: Array

    def paint(self, image: Array) -> None:
        """Covers the skin that was warped into the gap, in place."""
        mask = self.mask[..., None]
        image[self.rows] = image[self.rows] * (1 - mask) + mask * (INSIDE + self.teeth[..., None] * TEETH)


def part_lips(person: Identity, x: Array, y: Array, gap: float) -> Gap | None:
    """Opens the lips by `gap` units: changes the canonical coordinate `y` in place, since a tear is no smooth displacement, and says what the gap shows."""
    if gap <= 1e-3:
        return None
    rows = slice(int((person.mouth_y - 16) * SUPERSAMPLE), int(min(FRAME, person.mouth_y + 30) * SUPERSAMPLE))
    xs, ys = x[rows], y[rows]
    shape = np.clip(1 - (xs / (person.mouth_width * 0.92)) ** 2, 0, 1)
    up, low = SHARE_UP * gap * shape, SHARE_LOW * gap * shape
    side = ys - lip_line(person, xs)
    mask = smoothstep(side + up, -0.25, 0.25) * (1 - smoothstep(side - low, -0.25, 0.25)) * (shape > 0)
    teeth = smoothstep(side + up, 0.6, 1.4) * (1 - smoothstep(side + up, 2.6, 3.6)) * smoothstep(shape, 0.1, 0.5) * np.clip(gap - 1.2, 0, 1)
    above = ys + up * np.exp(-((np.clip(-(side + up), 0, None) / FADE) ** 2))
    below = ys - low * np.exp(-((np.clip(side - low, 0, None) / FADE) ** 2))
    outside = np.where(side < 0, above, below)
    inside_edge = np.where(side < 0, ys - side - 0.05, ys - side + 0.05)
    y[rows] = np.where((side > -up) & (side < low), inside_edge, outside)
    return Gap(rows, mask.astype(np.float32), teeth.astype(np.float32))
