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
    """`length` frames spaced evenly from start to stop (nearest frames), uint8 [3, length, H, W]; loaded as [0, 1]."""

    def __init__(self, length: int = 16) -> None:
        if not isinstance(length, int) or length < 2:
            raise UsageError(f"sequence view: length {length!r} must be a whole number of at least 2")
        self.length = length

    def prepare(self, frames: np.ndarray, interval: Interval) -> np.ndarray:
        """See `ViewKind.prepare`."""
        index = np.rint(np.linspace(interval.start, interval.stop, self.length)).astype(int)
        return frames[index].transpose(3, 0, 1, 2)
