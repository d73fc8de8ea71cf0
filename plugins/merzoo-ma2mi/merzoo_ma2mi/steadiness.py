"""Which frames of a clip may form a pair: not across a cut, and not where the whole face has moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from merzoo.data.clips import ClipData

SIDE = 64  # px that frames are shrunk to for both tests
CUT_GREY = 25.0  # mean absolute change of grey level from one frame to the next that only another shot makes
FACE_WIDTH = 0.7  # width of an aligned face, as a share of the crop
MOST_SHIFT = 0.03  # of the face's width


@dataclass(frozen=True)
class Track:
    """A clip's steadiness.

    position: [T, 2] of the face in crop widths, summed over the shifts between neighbouring frames; shot: [T], which shot a frame is of.
    """

    position: np.ndarray
    shot: np.ndarray

    def pairs(self, apart: int) -> np.ndarray:
        """First frames t of the pairs (t, t + apart) of one shot in which the face moves at most 3 % of its width, int64."""
        if apart >= len(self.shot):
            return np.empty(0, np.int64)
        shift = np.linalg.norm(self.position[apart:] - self.position[:-apart], axis=1)
        return np.flatnonzero((self.shot[apart:] == self.shot[:-apart]) & (shift <= MOST_SHIFT * FACE_WIDTH))


def track(frames: np.ndarray) -> Track:
    """The track of frames uint8 [T, H, W, 3] (both tests are our choice).

    Shift: phase correlation of neighbouring frames under a Hann window; it follows the face as a whole and hardly what the face does.
    Cut: a mean change of grey above `CUT_GREY`.
    """
    import cv2

    window = cv2.createHanningWindow((SIDE, SIDE), cv2.CV_32F)
    steps, cuts = [(0.0, 0.0)], [False]
    before: np.ndarray | None = None
    for frame in frames:
        grey = cv2.resize(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        if before is not None:
            cuts.append(float(np.abs(grey - before).mean()) > CUT_GREY)
            # Copies: OpenCV applies the window to its arguments themselves.
            x, y = (0.0, 0.0) if cuts[-1] else cv2.phaseCorrelate(before.copy(), grey.copy(), window)[0]
            steps.append((x, y))
        before = grey
    return Track(np.cumsum(np.array(steps), axis=0) / SIDE, np.cumsum(cuts))


_known: WeakKeyDictionary[ClipData, dict[int, Track]] = WeakKeyDictionary()


def tracks(data: ClipData, rows: Sequence[int]) -> list[Track]:
    """The tracks of these rows, each made once a data set, whatever fold asks."""
    known = _known.setdefault(data, {})
    for row in rows:
        if row not in known:
            known[row] = track(data.frames(row))
    return [known[row] for row in rows]
