"""From recipes to fields: what each action unit moves, and by how much it raises the skin, on one person's face."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from merzoo.data.synthetic.fields import COARSE, FINE, GRID_STEP, Array, blur, furrow, noise, sides, smoothstep
from merzoo.data.synthetic.identity import Identity
from merzoo.data.synthetic.recipes import INDEX, TABLE, ActionUnit

STREAM_DIMPLES = 21
SQUEEZE_HEIGHT = 3.5  # units from the lip line at which pressed lips move most
HEIGHT_SATURATION = 12.0  # px: heights grow as a / (1 + a/12), else macro furrows turn into black slots
LID_UP = np.array([row.lid_up for row in TABLE], np.float32)
LID_LOW = np.array([row.lid_low for row in TABLE], np.float32)
HEIGHT_FLOOR = 0.004  # units per px: below this a relief is left out of the stored crop


def landmarks(person: Identity) -> dict[str, tuple[float, float]]:
    """Named places (x, y) of the image-right side, in units."""
    p = person
    return {
        "brow_in": (p.brow_in, p.brow_y), "brow_out": (p.brow_out, p.brow_y), "brow_mid": (0.0, p.brow_y),
        "eye": (p.eye_x, p.eye_y), "eye_mid": (0.0, p.eye_y), "lid": (p.eye_x, p.eye_y - p.eye_up), "lid_out": (p.eye_x + p.eye_width, p.eye_y),
        "cheek": (p.eye_x, 67.0), "ala": (p.nose_width, p.nose_y),
        "mouth": (0.0, p.mouth_y), "corner": (p.mouth_width, p.mouth_y), "lip_up": (0.0, p.mouth_y - p.lip_up), "lip_low": (0.0, p.mouth_y + p.lip_low),
    }  # fmt: skip


@dataclass(frozen=True)
class Relief:
    """A height field, stored where it is not zero."""

    rows: slice
    columns: slice
    height: Array


@dataclass(frozen=True)
class Muscles:
    """The action units of one person.

    `motion`: float32 [2, 17, grid, grid, 2] forward displacement in units per unit of intensity, image-left and image-right side.
    `relief`: [2][17] height per unit of intensity.
    """

    motion: Array
    relief: tuple[tuple[Relief, ...], tuple[Relief, ...]]

    def displacement(self, intensities: Array) -> Array:
        """Forward displacement [grid, grid, 2] of the skin for intensities [2, 17]."""
        total = np.zeros(self.motion.shape[2:], np.float32)
        for side, unit in np.argwhere(np.abs(intensities) > 1e-4):
            cv2.scaleAdd(self.motion[side, unit], float(intensities[side, unit]), total, total)
        return total

    def raise_skin(self, height: Array, intensities: Array) -> None:
        """Adds the folds and bulges of these intensities to `height`, in place."""
        for side, unit in np.argwhere(np.abs(intensities) > 1e-4):
            relief, level = self.relief[side][unit], float(intensities[side, unit])
            height[relief.rows, relief.columns] += level / (1 + abs(level) / HEIGHT_SATURATION) * relief.height

    def peak(self, intensities: Array) -> float:
        """Largest visible motion in px of a 128 px frame: of the skin, of the lips' edge where they part, or of a lid."""
        field = self.displacement(intensities)
        lids = max(float(np.abs(intensities @ factors).max()) for factors in (LID_UP, LID_LOW))
        return max(float(np.hypot(field[..., 0], field[..., 1]).max()), opening(intensities), lids)


def opening(intensities: Array) -> float:
    """Gap between the lips in px."""
    return float(sum(row.opening * intensities[:, INDEX[row.number]].mean() for row in TABLE if row.opening))


def _motion(person: Identity, row: ActionUnit, places: dict[str, tuple[float, float]]) -> Array:
    x, y = COARSE.x, COARSE.y
    field = np.zeros((COARSE.count, COARSE.count, 2), np.float32)
    for pull in row.pulls:
        px, py = places[pull.at][0] + pull.dx, places[pull.at][1] + pull.dy
        middle = 0.5 if px == 0 else 1.0  # a place on the mid-line is its own mirror image
        for side in (1, -1):
            blob = middle * COARSE.blob(side * px, py, pull.sx, pull.sy, pull.sy_up)
            field[..., 0] += side * pull.vx * blob
            field[..., 1] += pull.vy * blob
    if row.squeeze:
        t = (y - person.mouth_y) / SQUEEZE_HEIGHT
        field[..., 1] -= row.squeeze * t * np.exp(0.5 - 0.5 * t**2) * np.exp(-0.5 * (x / (person.mouth_width * 0.75)) ** 2)
    if row.jaw:
        neck = 1 - smoothstep(y, person.chin, person.chin + 14)  # the neck gives, the clothes stay
        lowered = neck * smoothstep(y, person.mouth_y - 2, person.mouth_y + 14)
        field[..., 1] += row.jaw * lowered * np.exp(-0.5 * (x / 26) ** 2)
    if row.under_hair:
        line = person.hairline + person.style.hairline
        field *= smoothstep(y, line + 3, max(line + 6, min(line + 15, person.brow_y - 6)))[..., None]
    if row.scaled:
        field /= np.hypot(field[..., 0], field[..., 1]).max()
    return field


def _height(person: Identity, row: ActionUnit, places: dict[str, tuple[float, float]]) -> Array:
    total = FINE.zeros()
    for bulge in row.bulges:
        bx, by = places[bulge.at][0] + bulge.dx, places[bulge.at][1] + bulge.dy
        shape = FINE.blob(bx, by, bulge.sx, bulge.sy)
        total += bulge.height * (shape if bx == 0 else shape + shape[:, ::-1])
    for fold in row.folds:
        points = [(places[name][0] + dx, places[name][1] + dy) for name, dx, dy in fold.points]
        total += furrow(points, fold.width, fold.depth * person.wrinkle)
    if row.dimples:
        total += row.dimples * noise(person.seeded(STREAM_DIMPLES), 1.1) * FINE.blob(0, person.mouth_y + 14, 7, 5)
    return total


def _cropped(height: Array) -> Relief:
    rows, columns = np.any(np.abs(height) > HEIGHT_FLOOR, axis=1), np.any(np.abs(height) > HEIGHT_FLOOR, axis=0)
    if not rows.any():
        return Relief(slice(0, 0), slice(0, 0), height[:0, :0])
    (top, bottom), (left, right) = (np.flatnonzero(v)[[0, -1]] for v in (rows, columns))
    window = slice(int(top), int(bottom) + 1), slice(int(left), int(right) + 1)
    return Relief(*window, np.ascontiguousarray(height[window]))


def build(person: Identity, bare: Array) -> Muscles:
    """All fields of a person; `bare` (fine plane, 0 to 1) is where skin is not covered by hair, since furrows must not show through it."""
    places, coarse_sides, fine_sides = landmarks(person), sides(COARSE), sides(FINE)
    motion = np.zeros((2, len(TABLE), COARSE.count, COARSE.count, 2), np.float32)
    reliefs: tuple[list[Relief], list[Relief]] = ([], [])
    for i, row in enumerate(TABLE):
        field, height = _motion(person, row, places), _height(person, row, places) * bare
        for side in (0, 1):
            motion[side, i] = field * coarse_sides[side][..., None]
            reliefs[side].append(_cropped(height * fine_sides[side]))
    return Muscles(motion, (tuple(reliefs[0]), tuple(reliefs[1])))


def inverse(field: Array, steps: int | None = None) -> Array:
    """The backward map of x -> x + D(x): d with d(q) = D(q - d(q)), by fixed-point iteration on the coarse grid.

    Without it macro motion comes out too small and lags at the landmark. The number of steps grows with the largest displacement, unless given.
    """
    largest = float(np.abs(field).max())
    if largest <= 0.02:  # px: the correction would be below a thousandth of a pixel
        return field
    count = steps if steps is not None else (4 if largest < 3 else 7)
    at = np.arange(field.shape[0], dtype=np.float32)
    columns, rows = np.meshgrid(at, at)
    guess = field
    for _ in range(count):
        where = columns - guess[..., 0] / GRID_STEP, rows - guess[..., 1] / GRID_STEP
        guess = cv2.remap(field, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    return guess


def smoothed(height: Array) -> Array:
    """A height field on the coarse grid, smooth enough to be used as parallax without tearing the nose."""
    small = cv2.resize(blur(height, 9.0), (COARSE.count, COARSE.count), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)
