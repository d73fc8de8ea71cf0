"""A closer look at the frames around one, so that an alignment held from there on is as good in a long recording as in a short one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from merzoo.faces.align import WINDOW
from merzoo.faces.detect import Box, FaceDetector
from merzoo.faces.track import EYES_EVERY, FaceTrack


class CloserLook:
    """Eyes in the frames that the aligner pools around frame `at` of a track. frames: those to `add`, none where all were looked at already."""

    def __init__(self, track: FaceTrack, at: int, detector: FaceDetector | None) -> None:
        around = range(max(0, at - WINDOW), min(len(track.detected), at + WINDOW + 1))
        seen = detector is None or track.looked is None or bool(track.looked[around.start : around.stop].all())
        self.frames = range(0) if seen else around
        self._track, self._detector = track, detector
        self._eyes: dict[int, np.ndarray] = {}

    def add(self, index: int, grey: np.ndarray) -> None:
        """Look at one of `frames`."""
        if index % EYES_EVERY or self._detector is None:
            return
        known = Box(*self._track.boxes[index].tolist())
        face = self._detector.near(grey, known)
        if face is not None and (eyes := self._detector.eyes(grey, face)) is not None:
            self._eyes[index] = eyes

    def track(self) -> FaceTrack:
        """The track with the eyes that were found."""
        if not self._eyes:
            return self._track
        eyes = self._track.eyes.copy()
        for index, pair in self._eyes.items():
            eyes[index] = pair
        return replace(self._track, eyes=eyes)
