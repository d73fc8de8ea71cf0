"""What frames a face: hair, ears, neck, clothes, backdrop; and the light that reaches each place."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from merzoo.data.synthetic.anatomy import HEAD_CENTRE, Head, add_beard, add_brows, shape, skin
from merzoo.data.synthetic.fields import CANVAS, FINE, SUPERSAMPLE, Array, blur, noise, smoothstep
from merzoo.data.synthetic.identity import Identity

STREAM_HAIR, STREAM_BACKDROP = 41, 42
SHADOW_REACH = 22  # units over which one part of the face can shade another
SHADOW_STRENGTH = 0.34  # share of the light lost in full cast shadow
EAR_TOP, EAR_BOTTOM = 45.0, 72.0  # y


@dataclass(frozen=True)
class Canvas:
    """The neutral person on the fine plane: albedo [canvas, canvas, 3], height, and `bare` skin (1) against hair (0)."""

    albedo: Array
    height: Array
    bare: Array


def _strands(person: Identity, rng: np.random.Generator) -> Array:
    """Hair texture of unit variance, whose strands run from the parting outwards and down."""
    x, y = FINE.x - person.parting_x * 0.7, FINE.y + 34.0
    radius = np.hypot(x, y)
    wave = person.style.curl * (np.sin(radius / 7.0 + 2.2 * np.sin(x / 19.0)) + 0.5 * np.sin(radius / 3.1 + x / 6.0))
    angle = np.arctan2(x, y) + wave / np.maximum(radius, 12)
    fine = cv2.GaussianBlur(rng.standard_normal((64, 1024), dtype=np.float32), (0, 0), sigmaX=1.1, sigmaY=3.0)
    lock = cv2.GaussianBlur(rng.standard_normal((64, 1024), dtype=np.float32), (0, 0), sigmaX=6.0, sigmaY=6.0)
    texture = fine / fine.std() + 0.9 * lock / lock.std()
    u, v = (angle / np.pi * 0.5 + 0.5) * 1023, np.clip(radius / 175, 0, 1) * 63
    out = cv2.remap(texture, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return (out / out.std()).astype(np.float32)


def _hairline(person: Identity) -> Array:
    """y above which hair covers the forehead: descends towards the temples, with a notch where the hair parts."""
    x = FINE.x
    line = person.hairline + person.style.hairline + 1.0 + 13 * smoothstep(np.abs(x), person.head_width * 0.55, person.head_width) ** 1.4
    line = line + 1.5 * (1 - np.cos(x / person.head_width * 2.4))
    if person.style.parting:
        line = line - 5.0 * np.exp(-0.5 * ((x - person.parting_x) / person.style.parting) ** 2)
    return line.astype(np.float32)


def _hair_masks(person: Identity, head: Head, strands: Array) -> tuple[Array, Array]:
    """(hair behind the head, hair over the face), 0 to 1."""
    p, s, x, y = person, person.style, np.abs(FINE.x), FINE.y
    fray = 1.1 * strands
    over = 1 - smoothstep(y - _hairline(p) + fray, -2.2, 2.2)
    edge = head.radius + 0.012 * strands
    inner = 1 - s.overlap / p.head_width
    sides = smoothstep(edge, inner - 0.02, inner + 0.03) * (1 - smoothstep(y + 2.5 * strands, s.sides_to - 4, s.sides_to + 4))
    curtain = 29 - 6 * smoothstep(y, 60, 20)  # units: hair beside the face never closes under the chin
    sides = sides * smoothstep(y, p.hairline, p.hairline + 12) * smoothstep(x + 0.8 * strands, curtain, curtain + 3)
    skull = ((x / (p.head_width + s.volume)) ** 3.2 + (np.abs(y - HEAD_CENTRE + 8) / (66 + s.volume)) ** 3.2) ** (1 / 3.2)
    outline = np.where(y > 48, x / (p.head_width + s.volume * (1 - 0.35 * smoothstep(y, 70, 120))), skull)
    cap = 1 - smoothstep(outline + 0.018 * strands + 0.006 * s.curl * np.sin(FINE.y / 3.0), 0.975, 1.025)
    end = 1 - smoothstep(y + 2.0 * strands, s.sides_to - 3, s.sides_to + 4)
    behind = cap * end
    front = np.clip(np.maximum(over, sides), 0, 1) * cap
    return blur(behind.astype(np.float32), 0.8), blur(front.astype(np.float32), 0.8)


def _hair_colour(person: Identity, strands: Array) -> Array:
    """Strands with a band of sheen across the crown and darker depths at the sides."""
    sheen = 0.55 * np.exp(-0.5 * ((FINE.y - 4 + 0.004 * FINE.x**2) / 8.0) ** 2) * np.clip(strands + 0.6, 0, None)
    tone = np.clip(1 + 0.24 * strands + sheen, 0.25, 2.4)
    return np.clip(np.array(person.hair, np.float32) * tone[..., None], 0.008, 1).astype(np.float32)


def _over(below: Array, colour: Array, cover: Array) -> Array:
    """`colour` laid over `below` where `cover` is 1."""
    return (below * (1 - cover[..., None]) + cover[..., None] * colour).astype(np.float32)


def _backdrop(person: Identity) -> tuple[Array, Array]:
    """Wall, shoulders and neck: albedo and height."""
    p, rng = person, person.seeded(STREAM_BACKDROP)
    wall = 1 + 0.05 * noise(rng, 14) + 0.10 * (FINE.y - 64) / 64 * float(rng.uniform(-1, 1))
    return (np.array(p.backdrop, np.float32) * wall[..., None]).astype(np.float32), FINE.zeros()


def _neck_and_clothes(person: Identity, albedo: Array, height: Array) -> tuple[Array, Array]:
    p, x, y = person, np.abs(FINE.x), FINE.y
    half = (23.5 if p.feminine else 27.5) + 4.8 * smoothstep(y, 112, 132)
    neck = (1 - smoothstep(x - half, -0.8, 0.8)) * smoothstep(y, 88, 92)
    round_neck = 7 * np.sqrt(np.clip(1 - (x / (half + 1)) ** 2, 0, 1)) - 3.5
    albedo = _over(albedo, np.array(p.skin, np.float32) * 0.86, neck)
    height = height * (1 - neck) + neck * round_neck
    shoulder = 117.5 + 0.006 * (x - 30) ** 2 * np.where(x > 30, 0.25, 0)
    collar = 123.5 - 0.010 * x**2
    cloth = blur(smoothstep(y - np.where(x > half, shoulder, collar + 6), -0.7, 0.7), 1.4)
    albedo = _over(albedo, np.array(p.clothes, np.float32), cloth)
    return albedo, blur((height * (1 - cloth) + cloth * (0.8 * round_neck + 1.5)).astype(np.float32), 2.0)


def _ears(person: Identity, albedo: Array, height: Array) -> tuple[Array, Array]:
    """Seen from the front an ear is a narrow flap: rim, hollow, lobe."""
    p, x, y = person, np.abs(FINE.x), FINE.y
    t = (y - EAR_TOP) / (EAR_BOTTOM - EAR_TOP)
    centre = p.head_width + 0.6 - 2.6 * smoothstep(t, 0.55, 1.05)
    wide = 4.9 * np.clip(1 - (2 * t - 0.92) ** 2, 0, 1) ** 0.5 * (1 - 0.33 * smoothstep(t, 0.45, 0.95))
    radius = np.hypot((x - centre) / np.maximum(wide, 0.05), np.maximum(np.abs(2 * t - 1) - 0.6, 0) * 2.5)
    cover = blur((1 - smoothstep(radius, 0.88, 1.05)).astype(np.float32), 0.8)
    rim = np.exp(-0.5 * ((radius - 0.74) / 0.16) ** 2)
    hollow = np.exp(-0.5 * ((x - centre + 0.6) / 1.5) ** 2) * np.exp(-0.5 * ((t - 0.5) / 0.17) ** 2)
    colour = np.array(p.skin, np.float32) * np.array([0.97, 0.86, 0.84], np.float32) * (1 - 0.38 * hollow[..., None] + 0.03 * rim[..., None])
    flap = 5.0 + 1.1 * rim - 1.5 * hollow + 0.12 * (x - p.head_width)
    return _over(albedo, colour, cover), (height * (1 - cover) + cover * flap).astype(np.float32)


def _cast_shadow(person: Identity, height: Array) -> Array:
    """Share of the light (0 to 1) that higher parts take from each place: a march over the height field towards the light."""
    lx, ly, lz = person.light
    level = np.hypot(lx, ly)
    if level < 1e-3:
        return np.zeros_like(height)
    soft = blur(height, 2.0)
    above = np.full_like(height, -10.0)
    for step in np.arange(1.0, SHADOW_REACH, 1.5):  # units along the plane; the ray climbs lz / level per unit
        shift = np.array([[1, 0, step * lx / level * SUPERSAMPLE], [0, 1, step * ly / level * SUPERSAMPLE]])
        there = cv2.warpAffine(soft, shift, (CANVAS, CANVAS), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
        above = np.maximum(above, there - soft - step * lz / level * 0.55)  # lamps are wide and close: shadows reach further than a point light's
    return blur(smoothstep(above, -0.5, 4.0), 3.0)


def paint(person: Identity) -> Canvas:
    """The neutral person, layer over layer: wall, hair behind, neck and clothes, ears, head, hair in front."""
    p, head = person, shape(person)
    rng = p.seeded(STREAM_HAIR)
    strands = _strands(p, rng)
    behind, front = _hair_masks(p, head, strands)
    hair = _hair_colour(p, strands)
    albedo, height = _backdrop(p)
    albedo, height = _over(albedo, hair * 0.72, behind), height + behind * (2.5 + 0.25 * strands)
    albedo, height = _neck_and_clothes(p, albedo, height)
    if p.style.ears:
        albedo, height = _ears(p, albedo, height)
    face = skin(p, head)
    add_beard(p, head, face)
    add_brows(p, face)
    albedo, height = _over(albedo, face, head.mask), height * (1 - head.mask) + head.height * head.mask
    shade = blur(front, 6.0)
    albedo *= (1 - 0.30 * np.clip(np.roll(shade, 5, axis=0) - front, 0, 1) * head.mask)[..., None]  # hair shades the forehead under it
    low = smoothstep(FINE.y, 98, 110)  # long hair lies over collars without tracing their edges
    lies = height * (1 - low) + low * blur(height, 9.0)
    albedo, height = _over(albedo, hair, front), height * (1 - front) + front * (lies + 1.3 + 0.28 * strands)
    hollow = np.clip(height - blur(height, 7.0), -3, 1.5)
    albedo *= np.clip(1 + 0.08 * hollow, 0.6, 1.1)[..., None]
    albedo *= (1 - SHADOW_STRENGTH * _cast_shadow(p, height))[..., None]
    return Canvas(np.clip(albedo, 0.004, 1.2).astype(np.float32), height.astype(np.float32), np.clip(1 - front, 0, 1))
