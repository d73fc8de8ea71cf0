"""How far the face itself moved between two aligned crops: dense flow, less the head's own motion, in px of the 128 px crop."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from merzoo.faces.align import SIDE, crop

SIZE = 96  # px: side of the crops that flow is measured on
STEP = 4  # px of those crops between flow samples
BLOCK = 3  # samples: flow is averaged over BLOCK x BLOCK of them (16 px of the 128 px crop): noise does not survive it, a moving muscle does
STRONGEST = 4  # blocks whose mean is the amount of motion
ROUNDS = 6  # of reweighting in the robust fits
CENTRE = np.array([64.0, 68.0])  # px: origin of the fits' coordinates, the middle of the face
LEAP = 16.0  # px: more between two frames is a cut or a failed match, not the head's motion


class HeldFace:
    """A face followed from a reference frame on: alignment held, then corrected for the head's own motion.

    Motion is measured against the reference, from where the head was in the frame before, so it may grow slowly to any size.
    transform: 2 x 3 from px of the frame added last to canonical px. fast: see `merzoo.faces.align.crop`.
    """

    def __init__(self, grey: np.ndarray, held: np.ndarray, fast: bool = False) -> None:
        self.transform, self._fast = held, fast
        self._reference = crop(grey, held, SIZE, fast)

    def add(self, grey: np.ndarray) -> float:
        """Take the next frame; how far the face has moved since the reference, as in `between`."""
        moved = flow(self._reference, crop(grey, self.transform, SIZE, self._fast))
        head = drift(moved)
        if np.abs(head - np.eye(2, 3)).max() < LEAP:
            self.transform = cv2.invertAffineTransform(head) @ np.vstack([self.transform, [0.0, 0.0, 1.0]])
        return facial(moved)


def between(before: np.ndarray, after: np.ndarray) -> float:
    """Facial motion between two grey uint8 crops [96, 96], px of the 128 px crop."""
    return facial(flow(before, after))


def facial(moved: np.ndarray) -> float:
    """Displacement, px of the 128 px crop, of the most moved parts of the face in a flow [24, 24, 2].

    The affine motion that most of the face shares (head shift, turn, nod and approach, to first order) is subtracted, the rest averaged over
    blocks, and the mean length of the 4 most moved blocks returned (our choice). Eyes are left out: blinks and gaze are no expression.
    """
    design, skin = _affinities()
    residual = np.zeros_like(moved)
    residual[skin] = moved[skin] - design @ _robust(design, moved[skin])
    weight = cv2.blur(skin.astype(np.float32), (BLOCK, BLOCK))
    blocks = cv2.blur(residual, (BLOCK, BLOCK)) / np.maximum(weight, 1e-6)[..., None]
    lengths = np.hypot(*blocks[skin & (weight > 0.6)].T)
    return float(np.sort(lengths)[-STRONGEST:].mean())


def drift(moved: np.ndarray) -> np.ndarray:
    """The head's motion in a flow [24, 24, 2] as a 2 x 3 similarity in canonical px.

    A robust fit to nose, cheeks and forehead; mouth, chin and eyes have no say. A turned head is no similarity: what is left of it stays in.
    """
    design, rigid = _similarities()
    a, b, c, d = _robust(design, moved[rigid])
    turn = np.array([[1 + a, -b], [b, 1 + a]])
    return np.column_stack([turn, np.array([c, d]) + CENTRE - turn @ CENTRE])


def flow(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Flow float32 [24, 24, 2] in px of the 128 px crop on every 4th pixel of grey crops [96, 96] (Farnebäck 2003).

    Chosen over DIS, which shrank motion of 0.5 to 2 px to half or less where this keeps its order and proportion (measured on a smoothly warped face).
    """
    dense = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 13, 3, 7, 1.5, 0)  # type: ignore[call-overload]
    return dense[STEP // 2 :: STEP, STEP // 2 :: STEP] * (SIDE / SIZE)


def _robust(design: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Parameters [P] of moved [N, 2] = design [N, 2, P] @ parameters: least squares reweighted by the residual (Geman and McClure 1987),
    so that the parts which move on their own stay out of it."""
    count, _, size = design.shape
    products = np.matmul(design.transpose(0, 2, 1), np.concatenate([design, moved[:, :, None]], axis=2)).reshape(count, -1)
    rows, wanted = design.reshape(-1, size), moved.reshape(-1)
    weight, ridge = np.ones(count), 1e-9 * np.eye(size)
    for _ in range(ROUNDS):
        sums = (weight @ products).reshape(size, size + 1)
        solution = np.linalg.solve(sums[:, :size] + ridge, sums[:, size])
        left = wanted - rows @ solution
        off = np.hypot(left[::2], left[1::2])
        width = max(1.4826 * _median(off), 0.02)
        weight = (1 + (off / width) ** 2) ** -2
    return solution


def _median(values: np.ndarray) -> float:
    """The median [N] of numbers that are finite: np.median's checks take longer than its sorting."""
    middle = (len(values) - 1) // 2, len(values) // 2
    ordered = np.partition(values, middle)
    return float(ordered[middle[0]] + ordered[middle[1]]) / 2


@cache
def _affinities() -> tuple[np.ndarray, np.ndarray]:
    """Design [N, 2, 6] of affine flow on the skin, and where that is [24, 24]."""
    points, skin, _ = _grid()
    half = np.column_stack([points[skin] / 64, np.ones(int(skin.sum()))])
    design = np.zeros((len(half), 2, 6))
    design[:, 0, :3] = design[:, 1, 3:] = half
    return design, skin


@cache
def _similarities() -> tuple[np.ndarray, np.ndarray]:
    """Design [N, 2, 4] of similarities, (u, v) = (a x - b y + c, b x + a y + d), on what hardly deforms, and where that is [24, 24]."""
    points, _, rigid = _grid()
    (x, y), zero, one = points[rigid].T, np.zeros(int(rigid.sum())), np.ones(int(rigid.sum()))
    return np.stack([np.column_stack([x, -y, one, zero]), np.column_stack([y, x, zero, one])], axis=1), rigid


@cache
def _grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flow samples in canonical px about CENTRE [24, 24, 2]; which of them are skin of the face but not eyes; which of those hardly deform."""
    axis = (np.arange(STEP // 2, SIZE, STEP) + 0.5) * SIDE / SIZE - 0.5
    x, y = np.meshgrid(axis, axis)
    face = ((x - 64) / 36) ** 2 + ((y - 70) / 44) ** 2 < 1
    eyes = (np.abs(np.abs(x - 64) - 17.5) < 11) & (np.abs(y - 51) < 6)
    return np.stack([x, y], axis=-1) - CENTRE, face & ~eyes, face & ~eyes & (y < 82)
