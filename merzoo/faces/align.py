"""From a tracked face to the project's canonical frame: 128 x 128 px, eyes at (64 ∓ 17.5, 51), mouth at y 93, chin at about y 117."""

from __future__ import annotations

import math

import cv2
import numpy as np

from merzoo.errors import MediaError
from merzoo.faces.track import FaceTrack

SIDE = 128  # px: the unit of every canonical coordinate
EYES = np.array([[64 - 17.5, 51.0], [64 + 17.5, 51.0]])  # centres, image left first
# Where the eyes lie in the cascade's box, as shares of its width and height (our choice, measured on real faces).
BOX_EYES = np.array([[0.5 - 0.18, 0.41], [0.5 + 0.18, 0.41]])
WINDOW = 4  # frames to each side whose eye positions are pooled by their median
MOST_SAMPLES = 16  # samples per output px and axis when a large face is shrunk


class Aligner:
    """Similarity that puts the eye centres in place; pooled by the median over 9 frames, and from the box where no eyes are found.

    Other aligners are subclasses, registered by their name.
    """

    name = "eyes"

    def transform(self, track: FaceTrack, frame_index: int) -> np.ndarray:
        """2 x 3 similarity from px of the frame to canonical px, for holding from `frame_index` on."""
        around = slice(max(0, frame_index - WINDOW), frame_index + WINDOW + 1)
        near = track.eyes[around]
        if np.isfinite(near[:, 0, 0]).sum() >= 2:
            return similarity(np.nanmedian(near, axis=0))
        return similarity(_eyes_from_box(track, np.median(track.boxes[around], axis=0)))


def similarity(eyes: np.ndarray) -> np.ndarray:
    """2 x 3 similarity (float64) that takes eye centres [2, 2] in px of the frame, image left first, to their canonical places."""
    start, end = (complex(*map(float, p)) for p in eyes)
    if abs(end - start) < 1:
        raise MediaError("the eyes of the face are less than a pixel apart; give a video with a larger face")
    turn = complex(EYES[1, 0] - EYES[0, 0], 0) / (end - start)
    shift = complex(*EYES.mean(axis=0)) - turn * (start + end) / 2
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def similarity_from_box(box: np.ndarray) -> np.ndarray:
    """2 x 3 similarity for a cascade's box x, y, w, h whose eyes are not known."""
    x, y, w, h = map(float, box)
    return similarity(np.array([x, y]) + BOX_EYES * [w, h])


def crop(frame: np.ndarray, transform: np.ndarray, size: int = SIDE, fast: bool = False) -> np.ndarray:
    """Aligned uint8 [size, size(, 3)] of a frame, resampled once.

    A face larger than the crop is averaged over the area of each output pixel (several samples, then their mean), so fine texture does not
    alias into motion; a smaller one is interpolated.
    fast: linear samples where several are averaged, in a fifth of the time, for measuring motion.
    """
    scale = math.hypot(transform[0, 0], transform[1, 0]) * size / SIDE
    samples = min(MOST_SAMPLES, max(1, math.ceil(1 / scale - 0.05)))
    factor = size * samples / SIDE
    # Pixel centres: x -> (x + 1/2) * factor - 1/2.
    matrix = transform * factor
    matrix[:, 2] += (factor - 1) / 2
    side = size * samples
    kind = cv2.INTER_LINEAR if fast and samples > 1 else cv2.INTER_CUBIC
    large = cv2.warpAffine(frame, matrix, (side, side), flags=kind, borderMode=cv2.BORDER_REPLICATE)
    return large if samples == 1 else cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA)


def _eyes_from_box(track: FaceTrack, box: np.ndarray) -> np.ndarray:
    """Eyes by this face's own ratios where its eyes were ever found, else by the general ones."""
    own = BOX_EYES if track.eye_ratios is None else track.eye_ratios
    return box[:2] + own * box[2:]
