"""The neutral head: height field and skin. Heights in units towards the viewer, colours linear RGB, all on the fine plane."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from merzoo.data.synthetic.fields import CANVAS, FINE, MIDLINE, PAD, SUPERSAMPLE, Array, blur, furrow, noise, smoothstep
from merzoo.data.synthetic.identity import Identity
from merzoo.data.synthetic.mouth import lip_outline

STREAM_SKIN, STREAM_BROWS = 31, 32
HEAD_CENTRE, HEAD_DEPTH, CROWN = 60.0, 34.0, 66.0  # units: y of the widest part, depth, height of the skull above it
BROW_STROKES = 260  # hairs per brow


@dataclass(frozen=True)
class Head:
    """Shape of a head: `radius` is 1 on the silhouette, `mask` covers the skin of the head, `lips` the lips."""

    radius: Array
    mask: Array
    height: Array
    lips: Array
    lip_seam: Array


def _silhouette(person: Identity) -> Array:
    x, y = np.abs(FINE.x), FINE.y - HEAD_CENTRE
    narrow = 1 - (1 - person.jaw) * 1.2 * smoothstep(y, 0, 36) - 0.05 * smoothstep(-y, 18, 60)
    reach = np.where(y > 0, person.chin - HEAD_CENTRE, CROWN)
    power = np.where(y > 0, person.jaw_power, 2.3)
    return (((x / (person.head_width * narrow)) ** power + (np.abs(y) / reach) ** power) ** (1 / power)).astype(np.float32)


def _nose(person: Identity) -> Array:
    p, x, y = person, FINE.x, FINE.y
    t = np.clip((y - (p.eye_y - 4)) / (p.nose_y - p.eye_y + 4), 0, 1)
    profile = (2.2 + p.nose_height * 0.82 * t**1.25) * smoothstep(y, p.brow_y - 4, p.eye_y + 1) * (1 - smoothstep(y, p.nose_y - 1.0, p.nose_y + 6.5))
    narrow = 0.88 if p.feminine else 1.0
    ridge = profile * np.exp(-0.5 * (x / (narrow * (2.9 + 2.1 * t))) ** 2)
    tip = 2.1 * FINE.blob(0, p.nose_y - 0.8, narrow * 3.9, 3.2)
    wings = 3.8 * FINE.pair(p.nose_width - 1.3, p.nose_y + 0.5, 2.3, 2.6) - 1.2 * FINE.pair(p.nose_width - 2.6, p.nose_y + 3.3, 2.0, 1.2)
    return (ridge + tip + wings).astype(np.float32)


def _folds(person: Identity) -> Array:
    p = person
    nasolabial = [
        (p.nose_width + 1.8, p.nose_y - 1), (p.nose_width + 5.5, p.nose_y + 6), (p.mouth_width + 4.3, p.mouth_y - 4), (p.mouth_width + 5.3, p.mouth_y + 3),
    ]  # fmt: skip
    bag = [(p.eye_x - p.eye_width, p.eye_y + 3.5), (p.eye_x - 2, p.eye_y + 6.5), (p.eye_x + 5, p.eye_y + 6.2)]
    lid = p.eye_y - p.eye_up - p.crease
    crease = [(p.eye_x - p.eye_width * 0.9, p.eye_y - 1.5), (p.eye_x - 3, lid), (p.eye_x + 3, lid - 0.1), (p.eye_x + p.eye_width * 1.05, p.eye_y - 0.8)]
    folds = furrow(nasolabial, 1.4, 0.18 + 0.75 * p.age) + furrow(bag, 1.2, 0.16 + 0.5 * p.age) + furrow(crease, 0.9, 0.9)
    if p.age > 0.5:
        for rise in (9.5, 15.5):
            folds += furrow([(0.5, p.brow_y - rise), (11, p.brow_y - rise - 1), (22, p.brow_y - rise + 1)], 1.1, 0.5 * (p.age - 0.5))
    return folds


def shape(person: Identity) -> Head:
    """The head's height field with its features."""
    p, x, y = person, FINE.x, FINE.y
    rng = p.seeded(STREAM_SKIN)
    radius = _silhouette(p)
    height = blur((HEAD_DEPTH * np.sqrt(np.clip(1 - 0.97 * np.minimum(radius, 1) ** 2, 0.03, 1))).astype(np.float32), 2.5)
    height += -5.6 * FINE.pair(p.eye_x - 2.5, p.eye_y - 1, 8.5, 5.5) + 2.6 * FINE.pair(p.eye_x, p.eye_y + 0.2, 7.5, 4.5)
    height += (1.2 if p.feminine else 2.3) * FINE.pair(17, p.brow_y + 1, 11, 4) + p.cheek * FINE.pair(24, 72, 10, 9) - 1.6 * FINE.pair(29, 88, 8, 12)
    height += _nose(p) + 3.5 * FINE.blob(0, p.mouth_y - 2, 15, 9)
    top, line, bottom = lip_outline(p, x)
    inside = np.abs(x) < p.mouth_width
    lips = smoothstep(y - top, -0.5, 0.5) * (1 - smoothstep(y - bottom, -0.7, 0.7)) * inside
    taper = np.clip(1 - (x / p.mouth_width) ** 2, 0, 1) ** 0.5
    upper = 1.5 * np.sin(np.pi * np.clip((line - y) / np.maximum(line - top, 0.3), 0, 1))
    lower = 2.3 * np.sin(np.pi * np.clip((y - line) / np.maximum(bottom - line, 0.3), 0, 1))
    height += blur((np.where(y < line, upper, lower) * taper * (lips > 0.01)).astype(np.float32), 1.2)
    ends = np.clip(1.15 - (x / p.mouth_width) ** 4, 0, 1) * (np.abs(x) < p.mouth_width * 1.08)
    height -= 1.3 * np.exp(-0.5 * ((y - line) / 0.9) ** 2) * ends
    philtrum = p.mouth_y - p.lip_up - 4
    height += 0.5 * FINE.pair(2.2, philtrum, 1.2, 3) - 1.0 * FINE.blob(0, philtrum, 1.5, 3)
    height += 3.6 * FINE.blob(0, p.mouth_y + p.lip_low + 13, 9, 6) - 1.9 * FINE.blob(0, p.mouth_y + p.lip_low + 4.5, 11, 2.4)
    mask = 1 - smoothstep(radius, 0.975, 1.02)
    height += _folds(p) + (0.02 * noise(rng, 0.6) + 0.03 * noise(rng, 1.6) + 0.10 * noise(rng, 5)) * mask
    seam = np.exp(-0.5 * ((y - line) / 0.55) ** 2) * (1 - smoothstep(np.abs(x), p.mouth_width * 0.9, p.mouth_width * 1.06))
    return Head(radius, mask, height.astype(np.float32), blur(lips.astype(np.float32), 0.7), seam.astype(np.float32))


def _tinted(albedo: Array, amount: Array, colour: tuple[float, float, float]) -> None:
    """albedo *= 1 + amount * colour, in place."""
    for channel, factor in enumerate(colour):
        albedo[..., channel] *= 1 + factor * amount


def skin(person: Identity, head: Head) -> Array:
    """Albedo [canvas, canvas, 3] of bare skin with lips, nostrils, blush, freckles."""
    p, rng = person, person.seeded(STREAM_SKIN + 100)
    smooth = 0.6 if p.feminine else 1.0
    grain = 1 + smooth * (0.03 * noise(rng, 9) + 0.022 * noise(rng, 3) + 0.026 * noise(rng, 0.9) + 0.018 * noise(rng, 0.4))
    albedo = (np.array(p.skin, np.float32) * grain[..., None]).astype(np.float32)
    red = 0.5 * FINE.pair(24, 72, 9, 8) + 0.6 * FINE.blob(0, p.nose_y, 6, 5) + 0.25 * FINE.blob(0, p.chin - 9, 9, 6)
    _tinted(albedo, red * p.blush, (0.03, -0.09, -0.08))
    _tinted(albedo, FINE.pair(p.eye_x - 1.5, p.eye_y + 5.5, 7, 3) * (0.3 + 0.6 * p.age), (-0.10, -0.15, -0.13))
    _tinted(albedo, FINE.pair(p.eye_x, p.eye_y - 3, 8, 3.2), (-0.15 - 0.08 * p.lipstick, -0.17 - 0.13 * p.lipstick, -0.15 - 0.10 * p.lipstick))
    for _ in range(int(rng.integers(1, 10))):  # moles and freckles
        size, depth = float(rng.uniform(0.35, 0.75)), float(rng.uniform(0.1, 0.4))
        _tinted(albedo, depth * FINE.blob(float(rng.uniform(-36, 36)), float(rng.uniform(24, 110)), size, size), (-0.8, -1, -1))
    natural = np.array(p.skin) * np.array([0.95, 0.70, 0.70]) * rng.uniform(0.90, 1.02) + np.array([0.02, 0, 0.01])
    painted = np.array([0.55, 0.13, 0.17]) * rng.uniform(0.8, 1.2)
    lip_colour = natural * (1 - 0.75 * p.lipstick) + 0.75 * p.lipstick * painted
    cover = 0.85 * head.lips[..., None]
    albedo = albedo * (1 - cover) + cover * (lip_colour * (1 + 0.04 * noise(rng, 0.5))[..., None])
    albedo *= 1 - 0.60 * head.lip_seam[..., None]
    _tinted(albedo, FINE.pair(p.nose_width * 0.44, p.nose_y + 3.5, 1.6, 0.85), (-0.66, -0.74, -0.74))
    wing = np.exp(-0.5 * ((np.abs(FINE.x) - p.nose_width - 0.7) / 0.9) ** 2) * np.exp(-0.5 * ((FINE.y - p.nose_y - 0.7) / 2.6) ** 2)
    _tinted(albedo, wing.astype(np.float32), (-0.18, -0.23, -0.23))
    return albedo.astype(np.float32)


def add_beard(person: Identity, head: Head, albedo: Array) -> None:
    """Stubble, moustache or full beard, in place."""
    p, x, y = person, FINE.x, FINE.y
    if p.beard == "none":
        return
    rng = p.seeded(STREAM_SKIN + 200)
    bare_cheeks = 1 - 0.75 * FINE.pair(23, 82, 9, 9)
    aside, under = smoothstep(np.abs(x), p.mouth_width * 0.7, p.mouth_width * 1.1), smoothstep(y, p.mouth_y + 6, p.mouth_y + 10)
    jaw = smoothstep(y, p.nose_y + 10, p.mouth_y + 4) * np.maximum(aside, under)
    lip = smoothstep(y, p.nose_y + 4.5, p.nose_y + 8) * (1 - smoothstep(y, p.mouth_y - 1, p.mouth_y + 4))
    lip = lip * (1 - smoothstep(np.abs(x), p.mouth_width * 0.9, p.mouth_width * 1.2))
    area = {"stubble": np.maximum(jaw, lip), "moustache": lip, "full": np.maximum(jaw, lip)}[p.beard] * bare_cheeks * (1 - 0.9 * head.lips) * head.mask
    strength = {"stubble": rng.uniform(0.15, 0.3), "moustache": 0.75, "full": 0.8}[p.beard]
    hairs = cv2.GaussianBlur(rng.standard_normal((CANVAS, CANVAS), dtype=np.float32), (0, 0), sigmaX=0.7, sigmaY=2.0 if p.beard != "stubble" else 0.7)
    cover = np.clip(strength * blur(area.astype(np.float32), 2.5) * (1 + 0.28 * hairs / hairs.std()), 0, 0.92)[..., None]
    albedo *= 1 - cover
    albedo += cover * np.array(p.hair, np.float32) * 0.8


def _brow_y(person: Identity, x: float) -> float:
    p = person
    t = (x - p.brow_in) / (p.brow_out - p.brow_in)
    arch = p.brow_arch * np.sin(np.pi * np.clip(t * 0.78 + 0.05, 0, 1)) ** 1.2
    return float(p.brow_y + 1.2 - arch + p.brow_tilt * (0.5 - t) + 6.4 * np.clip(t - 0.75, 0, 1))


def add_brows(person: Identity, albedo: Array) -> None:
    """Brows as many fine hairs, in place."""
    p, rng = person, person.seeded(STREAM_BROWS)
    zoom, fraction = 2, 3  # drawn at twice the canvas, in eighths of a pixel
    sheet = np.zeros((CANVAS * zoom, CANVAS * zoom), np.float32)
    scale = SUPERSAMPLE * zoom * 2**fraction

    def pixel(x: float, y: float) -> tuple[int, int]:
        return round((x + MIDLINE + PAD) * scale), round((y + PAD) * scale)

    for side in (1, -1):
        for _ in range(BROW_STROKES):
            t = float(rng.uniform() ** 0.85)
            x = p.brow_in + (p.brow_out - p.brow_in) * t
            half = 1.06 * p.brow_thickness * (1 - 0.6 * t**2) * (0.75 + 0.25 * min(1.0, t * 6))
            y = _brow_y(p, x) + float(rng.uniform(-1, 1)) * half
            angle = np.deg2rad(-72 + 67 * min(1.0, t * 1.6) + (25 * (t - 0.6) if t > 0.6 else 0) + rng.normal(0, 9))
            length = float(rng.uniform(1.6, 3.0))
            end = pixel(side * (x + length * np.cos(angle)), y + length * np.sin(angle))
            cv2.line(sheet, pixel(side * x, y), end, float(rng.uniform(0.4, 0.95)), 1, cv2.LINE_AA, fraction)
    hairs = np.asarray(cv2.resize(np.clip(sheet, 0, 1), (CANVAS, CANVAS), interpolation=cv2.INTER_AREA), np.float32)
    cover = np.clip(hairs * 1.15 + 0.45 * blur(hairs, 1.8), 0, 0.92)[..., None]
    albedo *= 1 - cover
    albedo += cover * (np.array(p.hair, np.float32) * 0.7 + 0.015)
