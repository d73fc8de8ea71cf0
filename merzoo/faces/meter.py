"""How far a reading of a long recording is, told now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

from merzoo.faces.video import FrameSource

SECONDS = 0.5  # between two tellings

Tell = Callable[[str], None]


class Meter:
    """Called with the number of frames that are done, tells e.g. "finding faces: 12,000 of 108,000 frames, 510 a second" twice a second."""

    def __init__(self, what: str, source: FrameSource, tell: Tell | None) -> None:
        self._what, self._of, self._tell = what, source.declared_frames, tell
        self._began = time.monotonic()
        self._next = self._began + SECONDS

    def __call__(self, done: int) -> None:
        if self._tell is None or (now := time.monotonic()) < self._next:
            return
        self._next = now + SECONDS
        # A container may declare fewer frames than it has.
        of = f" of {self._of:,}" if self._of and self._of >= done else ""
        self._tell(f"{self._what}: {done:,}{of} frames, {done / (now - self._began):,.0f} a second")
