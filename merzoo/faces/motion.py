"""How far the face itself moved between two aligned crops: dense flow, less the head's own motion, in px of the 128 px crop."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from merzoo.faces.align import SIDE

SIZE = 96  # px: side of the crops that flow is measured on
STEP = 4  # px of those crops between flow samples
BLOCK = 3  # samples: flow is averaged over BLOCK x BLOCK of them (16 px of the 128 px crop), which noise does not survive and a moving muscle does
STRONGEST = 4  # blocks whose mean is the amount of motion
ROUNDS = 6  # of reweighting in the robust fit


class FacialMotion:
    """Measures motion between grey uint8 crops [96, 96]; holds the flow estimator (DIS, Kroeger et al. 2016), so one a thread."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def between(self, before: np.ndarray, after: np.ndarray) -> float:
        """Mean displacement of the most moved blocks of the face, px of the 128 px crop, after subtracting the affine motion of the whole."""
        flow = self._flow.calc(before, after, None)[::STEP, ::STEP] * (SIDE / SIZE)
        points, inside = _grid()
        left = flow[inside] - _affine(points[inside], flow[inside])
        residual = np.zeros_like(flow)
        residual[inside] = left
        weight = cv2.blur(inside.astype(np.float32), (BLOCK, BLOCK))
        blocks = cv2.blur(residual, (BLOCK, BLOCK)) / np.maximum(weight, 1e-6)[..., None]
        moved = np.hypot(*blocks[inside & (weight > 0.6)].T)
        return float(np.sort(moved)[-STRONGEST:].mean())


def _affine(points: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The affine flow [N, 2] that most points follow: least squares reweighted by the residual (Geman-McClure), so muscles stay out of it."""
    design = np.column_stack([points, np.ones(len(points))])
    weight = np.ones(len(points))
    fitted = np.zeros_like(flow)
    for _ in range(ROUNDS):
        root = np.sqrt(weight)[:, None]
        fitted = design @ np.linalg.lstsq(design * root, flow * root, rcond=None)[0]
        off = np.hypot(*(flow - fitted).T)
        width = max(1.4826 * float(np.median(off)), 0.02)
        weight = 1 / (1 + (off / width) ** 2) ** 2
    return fitted


@cache
def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Flow samples in canonical px, about the face's middle, and which of them are skin: inside the face, and not in the eyes, where blinks and gaze move."""
    axis = (np.arange(0, SIZE, STEP) + 0.5) * SIDE / SIZE - 0.5
    x, y = np.meshgrid(axis, axis)
    face = ((x - 64) / 36) ** 2 + ((y - 70) / 44) ** 2 < 1
    eyes = (np.abs(np.abs(x - 64) - 17.5) < 11) & (np.abs(y - 51) < 6)
    return np.stack([x - 64, y - 68], axis=-1) / 64, face & ~eyes
