"""Clips that look like copies of one another: the same pictures under two names, encoded or cropped a little differently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from merzoo.data.clips import ClipData

SIDE = 32  # px to which frames are shrunk: compression and small crops vanish, a face and its movement stay
# Our choice. Copies of synthetic clips that were encoded anew, shifted by a pixel or darkened reach .983 in their frames, most of them .6 in their movement; of
# two people's clips the frames are alike by .94 at most, and clips of one person whose frames reach .98 do not move alike. Copies shifted by 2 % are missed.
SAME = 0.9999  # correlation of frames that are the same but for rounding: where nothing moves that can be compared, only these count
APPEARANCE = 0.98  # correlation of the start frames and of the peak frames from which two clips may be one
MOVEMENT = 0.6  # correlation of what moved between them
BLOCK = 512  # clips compared at once


@dataclass(frozen=True)
class Pair:
    """Two clips, by row, and how alike: the lesser correlation of their start and peak frames, and that of the movement between these."""

    a: int
    b: int
    appearance: float
    movement: float


def signatures(data: ClipData, rows: Sequence[int]) -> np.ndarray:
    """float32 [clips, 3, SIDE²]: start frame, peak frame and their difference in grey, each of mean 0 and length 1 (0 where it is flat)."""
    out = np.empty((len(rows), 3, SIDE * SIDE), np.float32)
    for at, row in enumerate(rows):
        interval, clip = data.interval(int(row)), data.frames(int(row))
        start, peak = (_small(clip[number]) for number in (interval.start, interval.peak))
        for n, picture in enumerate((start, peak, peak - start)):
            centred = picture - picture.mean()
            out[at, n] = (centred / max(float(np.linalg.norm(centred)), 1e-6)).ravel()
    return out


def near_duplicates(signature: np.ndarray, groups: np.ndarray) -> Iterator[Pair]:
    """Pairs of clips from different groups (subjects) that look like copies, a < b, positions in `signature` [clips, 3, N]. Cost: clips² dot products."""
    for first in range(0, len(signature), BLOCK):
        block = signature[first : first + BLOCK]
        start, peak, moved = (block[:, n] @ signature[:, n].T for n in range(3))
        appearance = np.minimum(start, peak)
        moving = np.asarray(signature[:, 2].any(axis=1))
        still = ~moving[first : first + BLOCK, None] & ~moving[None]
        copies = ((appearance >= APPEARANCE) & (moved >= MOVEMENT)) | (still & (appearance >= SAME))
        later = np.arange(first, first + len(block))[:, None] < np.arange(len(signature))[None]
        for a, b in np.argwhere(later & copies & (groups[first : first + BLOCK, None] != groups[None])):
            yield Pair(int(first + a), int(b), float(appearance[a, b]), float(moved[a, b]))


def _small(frame: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
