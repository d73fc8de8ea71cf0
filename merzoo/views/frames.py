"""Views made of the frames themselves: key frames, their difference, a sequence."""

from __future__ import annotations

import numpy as np

from merzoo.errors import UsageError
from merzoo.interval import Interval
from merzoo.views.base import ViewKind

MOMENTS = ("start", "peak", "stop")


class Keyframes(ViewKind):
    """The frames at the named moments of the interval, uint8 [len(moments), 3, H, W]; loaded as [0, 1]."""

    def __init__(self, moments: tuple[str, ...] | list[str] = ("start", "peak")) -> None:
        if not isinstance(moments, list | tuple) or not moments or any(m not in MOMENTS for m in moments):
            raise UsageError(f"keyframes view: moments {moments!r} must be a list of {', '.join(MOMENTS)}")
        self.moments = tuple(moments)

    def prepare(self, frames: np.ndarray, interval: Interval) -> np.ndarray:
        """See `ViewKind.prepare`."""
        return frames[[getattr(interval, m) for m in self.moments]].transpose(0, 3, 1, 2)


class Difference(ViewKind):
    """Peak minus start as int16 [3, H, W]; loaded as peak − start in [−1, 1]."""

    def prepare(self, frames: np.ndarray, interval: Interval) -> np.ndarray:
        """See `ViewKind.prepare`."""
        return (frames[interval.peak].astype(np.int16) - frames[interval.start]).transpose(2, 0, 1)


class Sequence(ViewKind):
    """`length` frames spaced evenly from start to stop (nearest frames), uint8 [3, length, H, W]; loaded as [0, 1].

    side: shrink every frame to side x side px, by area; None keeps the size of the stored crop. Input crops are cut, not resized, so this is how a network
    sees a whole face in few pixels.
    """

    def __init__(self, length: int = 16, side: int | None = None) -> None:
        if not isinstance(length, int) or length < 2:
            raise UsageError(f"sequence view: length {length!r} must be a whole number of at least 2")
        if side is not None and (not isinstance(side, int) or isinstance(side, bool) or side < 1):
            raise UsageError(f"sequence view: side {side!r} must be whole pixels, at least 1, or left out")
        self.length, self.side = length, side

    def prepare(self, frames: np.ndarray, interval: Interval) -> np.ndarray:
        """See `ViewKind.prepare`. Raises `UsageError` where the frames are smaller than `side`: enlarging adds nothing."""
        index = np.rint(np.linspace(interval.start, interval.stop, self.length)).astype(int)
        return self._shrunk(frames, index).transpose(3, 0, 1, 2)

    def _shrunk(self, frames: np.ndarray, index: np.ndarray) -> np.ndarray:
        stored = min(frames.shape[1:3])
        if self.side is None or frames.shape[1:3] == (self.side, self.side):
            return frames[index]
        if stored < self.side:
            raise UsageError(f"sequence view: frames of {stored} px cannot be shrunk to {self.side} px; give a larger preprocessing size, or a smaller side")
        import cv2

        return np.stack([cv2.resize(frames[at], (self.side, self.side), interpolation=cv2.INTER_AREA) for at in index])
