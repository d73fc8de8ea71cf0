"""Eyes: a layer of their own, since lids slide over an eyeball that stays where it is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from merzoo.data.synthetic.action_units import LID_LOW, LID_UP
from merzoo.data.synthetic.fields import CANVAS, FINE, MIDLINE, PAD, RENDER, SUPERSAMPLE, Array, smoothstep
from merzoo.data.synthetic.identity import Identity

IRIS_RADIUS, PUPIL_RADIUS = 4.4, 1.7  # units
WHITE = np.array([0.84, 0.81, 0.785], np.float32)
WIDEST = 2.6  # units by which an upper lid can rise


@dataclass(frozen=True)
class Gaze:
    """State of the eyes: shift of the iris in units, and how far the lids are closed (0 open, 1 closed)."""

    x: float = 0.0
    y: float = 0.0
    closed: float = 0.0


def eyeballs(person: Identity) -> Array:
    """Both eyeballs [canvas, canvas, 3] as if there were no lids."""
    p = person
    sprite = np.ones((CANVAS, CANVAS, 3), np.float32) * WHITE
    for side in (1, -1):
        dx, dy = FINE.x - side * p.eye_x, FINE.y - p.eye_y
        d = np.hypot(dx, dy + 0.4)
        near = np.abs(dx) < p.eye_width + 3
        vignette = 1 - 0.42 * smoothstep(np.hypot(dx / p.eye_width, dy / 7.0), 0.55, 1.1) * near
        iris = (1 - smoothstep(d, IRIS_RADIUS - 0.45, IRIS_RADIUS + 0.3))[..., None]
        rays = np.arctan2(dy, dx)
        glow = (1 + 0.22 * np.sin(rays * 17 + 3 * np.sin(rays * 5))) * (1.25 - 0.8 * smoothstep(d, IRIS_RADIUS * 0.62, IRIS_RADIUS))
        glow = glow * (0.75 + 0.5 * smoothstep(dy + 0 * dx, -3, 3))
        sprite = sprite * (1 - iris) + iris * (np.array(p.iris, np.float32) * glow[..., None])
        pupil = (1 - smoothstep(d, PUPIL_RADIUS - 0.3, PUPIL_RADIUS + 0.3))[..., None]
        sprite = sprite * (1 - pupil) + pupil * 0.015
        caruncle = 0.6 * FINE.blob(side * (p.eye_x - p.eye_width + 0.6), p.eye_y + 0.5, 1.2, 1.2)[..., None]
        sprite = sprite * vignette[..., None] * (1 - caruncle) + caruncle * np.array([0.66, 0.40, 0.36], np.float32)
    return sprite.astype(np.float32)


def lid_heights(person: Identity, levels: Array, closed: float) -> tuple[float, float]:
    """Opening above and below the eye's centre in units, for the intensities [17] of one side."""
    rise = min(float(levels @ LID_UP), WIDEST)
    low = max(person.eye_low + float(levels @ LID_LOW), 0.2) * (1 - 0.25 * closed)
    up = max((person.eye_up + rise) * (1 - closed) - low * closed, -low)
    return up, low


def _box(person: Identity, side: int) -> tuple[slice, slice]:
    p = person
    left, top = (MIDLINE + side * p.eye_x - p.eye_width - 6) * SUPERSAMPLE, (p.eye_y - 12) * SUPERSAMPLE
    right, bottom = left + (2 * p.eye_width + 12) * SUPERSAMPLE, top + 22 * SUPERSAMPLE
    return slice(max(int(top), 0), min(int(bottom), RENDER)), slice(max(int(left), 0), min(int(right), RENDER))


def paint_eyes(person: Identity, sprite: Array, image: Array, coordinates: tuple[Array, Array], skin_shift: Array, levels: Array, gaze: Gaze) -> None:
    """Lays both eyes over the shaded face, in place.

    `coordinates`: canonical (x, y) seen by each rendered pixel, in units; `skin_shift`: displacement the action units add, which moves lids but not eyeballs;
    `levels`: intensities [2, 17].
    """
    p = person
    light_x, _, light_z = p.light
    lit = 0.55 + 0.5 * p.ambient + 0.15 * light_z
    for index, side in ((0, -1), (1, 1)):
        box = _box(p, side)
        up, low = lid_heights(p, levels[index], gaze.closed)
        qx, qy = coordinates[0][box], coordinates[1][box]
        x, y = (qx - side * p.eye_x) * side, qy - p.eye_y
        y = y + p.eye_tilt * x
        u = x / p.eye_width
        arc = np.clip(1 - u * u, 0, 1)
        upper, lower = y + up * arc**0.72 * (1 - 0.10 * u), low * arc**0.85 * (1 + 0.12 * u) - y
        slit = float(np.clip((up + low) / 0.9, 0, 1))  # closing fades the slit out, so that no seam of eyeball stays
        mask = smoothstep(upper, -0.3, 0.35) * smoothstep(lower, -0.3, 0.3) * (np.abs(u) < 1) * slit
        ball_x = (qx + skin_shift[box][..., 0] + MIDLINE + PAD - gaze.x) * SUPERSAMPLE - 0.5
        ball_y = (qy + skin_shift[box][..., 1] + PAD - gaze.y) * SUPERSAMPLE - 0.5
        ball = cv2.remap(sprite, ball_x, ball_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        ball = ball * (np.clip(0.5 + 0.5 * smoothstep(upper, 0, 2.4), 0, 1) * lit)[..., None]
        spark_x = x * side - 1.3 * np.sign(light_x + 1e-3) - gaze.x
        ball = ball + (0.8 * np.exp(-0.5 * (spark_x / 0.75) ** 2 - 0.5 * ((y + 1.6 - gaze.y) / 0.7) ** 2))[..., None]
        lash_weight = 0.92 if p.feminine else 0.78
        lash_width = 0.62 + (0.22 * smoothstep(u, -0.3, 0.9) if p.feminine else 0)
        lash = lash_weight * np.exp(-0.5 * ((upper + 0.3) / lash_width) ** 2) * (np.abs(u) < 1.06) * smoothstep(u, -1.1, -0.5)
        rim = 0.35 * np.exp(-0.5 * ((lower + 0.3) / 0.45) ** 2) * (np.abs(u) < 1)
        image[box] = (image[box] * (1 - mask[..., None]) + mask[..., None] * np.clip(ball, 0, 1)) * ((1 - lash) * (1 - rim))[..., None]
