"""From muscles, pose and light to a picture: one resampling of the texture, shading after it, eyes over it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from merzoo.data.synthetic import action_units, identity, mouth
from merzoo.data.synthetic.eyes import Gaze, eyeballs, paint_eyes
from merzoo.data.synthetic.fields import GRID_STEP, MIDLINE, PAD, RENDER, SUPERSAMPLE, Array
from merzoo.data.synthetic.surroundings import paint

LIGHT_FULL = 1.10  # light that falls on a surface facing the lamp, over that of a white card
WRAP = 0.15  # share of light that reaches past the terminator: skin scatters
GLOSS_POWER = 4  # doublings: exponent 16 of Blinn's highlight (Blinn 1977)
KEEP_FACES = 6  # identities kept per process, about 6 MB each
NOISE_GREY = 2.0  # grey levels at mid-grey, growing with the square root of the signal
CHROMA_SHARE = 0.7  # noise of colour over that of brightness
GRAIN_PX = 0.45  # px: blur of the brightness noise
TONE_GAIN, TONE_SHOULDER = 1.20, 0.22  # y = x (1.20 - 0.22 x): a little lift in the shadows, a soft shoulder; our choice
GRAIN_NORM = float(1 / (cv2.getGaussianKernel(3, GRAIN_PX, cv2.CV_32F) ** 2).sum())  # restores unit variance after the blur


@dataclass(frozen=True)
class Pose:
    """Where the head is: shift in units of the 128 px frame, angles in radians, size as a factor."""

    dx: float = 0.0
    dy: float = 0.0
    roll: float = 0.0
    scale: float = 1.0
    yaw: float = 0.0
    pitch: float = 0.0

    def to_canonical(self) -> Array:
        """2x3 map from rendered pixel (column, row) to canonical units (x from the left border of the frame, y)."""
        c, s = np.cos(-self.roll) / self.scale, np.sin(-self.roll) / self.scale
        turn = np.array([[c, -s], [s, c]])
        first = np.array([0.5 / SUPERSAMPLE - MIDLINE - self.dx, 0.5 / SUPERSAMPLE - MIDLINE - self.dy])
        return np.hstack([turn / SUPERSAMPLE, (turn @ first + MIDLINE)[:, None]])


@dataclass(frozen=True)
class Lamp:
    """Changes of the light: its strength as a factor, its direction as a shift of the unit vector's x."""

    gain: float = 1.0
    shift: float = 0.0


class Face:
    """One person, ready to be rendered. Immutable after construction, so threads may share it."""

    def __init__(self, number: int) -> None:
        self.person = identity.draw(number)
        canvas = paint(self.person)
        self._albedo, self._height = canvas.albedo, canvas.height
        self._eyeballs = eyeballs(self.person)
        self.muscles = action_units.build(self.person, canvas.bare)
        depth = action_units.smoothed(canvas.height)
        row, column = int((self.person.eye_y + PAD) / GRID_STEP), int((self.person.eye_x + MIDLINE + PAD) / GRID_STEP)
        self._depth = depth - depth[row, column]  # the head turns about the depth of its eyes, which alignment holds in place

    def parallax(self, pose: Pose) -> Array:
        """Forward displacement [grid, grid, 2] in units that turning the head by small angles adds."""
        return np.dstack([self._depth * np.float32(np.sin(pose.yaw)), self._depth * np.float32(np.sin(pose.pitch))])

    def render(self, intensities: Array, pose: Pose | None = None, gaze: Gaze | None = None, lamp: Lamp | None = None) -> Array:
        """Linear RGB [256, 256, 3], about 0 to 1.2, for intensities [2, 17] in px of a 128 px frame (image-left, image-right)."""
        pose, gaze, lamp = pose or Pose(), gaze or Gaze(), lamp or Lamp()
        field = action_units.inverse(self.muscles.displacement(intensities) + self.parallax(pose))
        to_units = pose.to_canonical()
        to_grid = to_units / GRID_STEP
        to_grid[:, 2] += PAD / GRID_STEP - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        shift = cv2.warpAffine(field, to_grid, (RENDER, RENDER), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        at = np.arange(RENDER, dtype=np.float32)
        a = to_units.astype(np.float32)
        x = (a[0, 0] * at + (a[0, 2] - MIDLINE))[None, :] + (a[0, 1] * at)[:, None] - shift[..., 0]
        y = (a[1, 0] * at + a[1, 2])[None, :] + (a[1, 1] * at)[:, None] - shift[..., 1]
        gap = mouth.part_lips(self.person, x, y, action_units.opening(intensities))
        image = self._shaded(intensities, x, y, lamp)
        if gap is not None:
            gap.paint(image)
        paint_eyes(self.person, self._eyeballs, image, (x, y), np.asarray(shift, np.float32), intensities, gaze)
        return image * np.float32(lamp.gain)

    def _shaded(self, intensities: Array, x: Array, y: Array, lamp: Lamp) -> Array:
        """Skin under the lamp. Normals are taken after the warp, so furrows move with the skin while the light stays."""
        height = self._height.copy()
        self.muscles.raise_skin(height, intensities)
        columns, rows = (x + (MIDLINE + PAD)) * SUPERSAMPLE - 0.5, (y + PAD) * SUPERSAMPLE - 0.5
        texture = cv2.remap(cv2.merge([self._albedo, height]), columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        relief = np.ascontiguousarray(texture[..., 3])
        slope_x = cv2.Scharr(relief, cv2.CV_32F, 1, 0, scale=SUPERSAMPLE / 32)
        slope_y = cv2.Scharr(relief, cv2.CV_32F, 0, 1, scale=SUPERSAMPLE / 32)
        light = np.array(self.person.light, np.float32) + np.array([lamp.shift, 0, 0], np.float32)
        light /= np.linalg.norm(light)
        half = light + np.array([0, 0, 1], np.float32)
        half /= np.linalg.norm(half)
        length = slope_x * slope_x
        length += slope_y * slope_y
        length += 1
        cv2.pow(length, -0.5, length)
        diffuse = np.clip(((light[2] - slope_x * light[0] - slope_y * light[1]) * length) * (1 - WRAP) + WRAP, 0, None)
        gloss = np.clip((half[2] - slope_x * half[0] - slope_y * half[1]) * length, 0, 1)
        for _ in range(GLOSS_POWER):
            gloss *= gloss
        shade = np.float32(self.person.ambient) + np.float32(LIGHT_FULL - self.person.ambient) * diffuse
        image = texture[..., :3] * shade[..., None]
        image += (np.float32(self.person.gloss) * gloss)[..., None]
        return image


@lru_cache(maxsize=KEEP_FACES)
def face(number: int) -> Face:
    """The face of a person, kept for the process."""
    return Face(number)


def camera(image: Array, size: int, seed: list[int] | None) -> np.ndarray:
    """uint8 [size, size, 3] of a rendered image: optics (area average), tone curve, sensor noise, rounding.

    Brightness carries noise with a grain a little over a pixel and colour a coarser one, as sensors with a colour mosaic and chroma-subsampled codecs leave it.
    Rounding stays: without it motion below the noise could be read off in a way no camera allows. `seed` None = no noise.
    """
    small = image if size == RENDER else cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    x = np.clip(small, 0, 1.2)
    x = x * (TONE_GAIN - TONE_SHOULDER * x) * 255
    if seed is not None:
        rng = np.random.default_rng(seed)
        grain = cv2.GaussianBlur(rng.standard_normal((size, size), dtype=np.float32), (3, 3), GRAIN_PX) * GRAIN_NORM
        coarse = rng.standard_normal(((size + 1) // 2, (size + 1) // 2, 3), dtype=np.float32)
        chroma = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
        level = NOISE_GREY * (0.6 + 0.4 * np.sqrt(np.clip(x[..., 1], 0, 255) / 128))
        x = x + (level * grain)[..., None] + (level * CHROMA_SHARE)[..., None] * chroma
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)
