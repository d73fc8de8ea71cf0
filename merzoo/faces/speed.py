"""How fast faces move, all through a recording: one pass for all of them, with a tenth of a second of it in memory."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from merzoo.cores import cores
from merzoo.faces.align import Aligner, crop
from merzoo.faces.detect import as_grey
from merzoo.faces.meter import Meter, Tell
from merzoo.faces.motion import SIZE, between
from merzoo.faces.track import FaceTrack
from merzoo.faces.video import FrameSource

LAG = 0.1  # s over which speed is measured
HELD = 1.0  # s for which an alignment serves at most
SHIFTED = 0.02  # shares of the face's width by which it may have moved or grown meanwhile
WORKERS = 4  # threads at most: decoding cannot feed more
AHEAD = 4  # measurements a thread that may wait


def speed_curves(source: FrameSource, tracks: Sequence[FaceTrack], aligner: Aligner, step: int = 1, tell: Tell | None = None) -> list[np.ndarray]:
    """Facial motion float [ceil(T / step)] of each face over the last 0.1 s, px of the 128 px crop, at every `step`-th frame; 0 where it is mostly away."""
    length, meter = len(tracks[0].detected), Meter("measuring movement", source, tell)
    workers = min(WORKERS, cores())
    with ThreadPoolExecutor(workers, thread_name_prefix="speed") as pool:
        curves = [_Curve(track, aligner, lag_of(source, step), round(HELD * source.rate), pool, AHEAD * workers) for track in tracks]
        for index, frame in source.read(range(0, length, step)):
            grey = as_grey(frame)
            for curve in curves:
                curve.add(index, grey)
            meter(index + 1)
        return [curve.finish() for curve in curves]


def lag_of(source: FrameSource, step: int) -> int:
    """Samples in 0.1 s."""
    return max(1, round(LAG * source.rate / step))


class _Curve:
    """The speeds of one face. Both crops of a measurement are aligned alike, so in a long recording an alignment that is about right serves for a while."""

    def __init__(self, track: FaceTrack, aligner: Aligner, lag: int, held: int, pool: ThreadPoolExecutor, ahead: int) -> None:
        self.track, self.aligner, self.held, self.pool, self.ahead = track, aligner, held, pool, ahead
        self.recent: deque[tuple[int, np.ndarray]] = deque(maxlen=lag + 1)
        self.crops: dict[int, np.ndarray] = {}
        self.aligned_at, self.transform = -1, np.eye(2, 3)
        self.speeds = array("d")
        self.waiting: deque[Future[float]] = deque()

    def add(self, index: int, grey: np.ndarray) -> None:
        self.recent.append((index, grey))
        first, before = self.recent[0]
        if first == index or self.track.present[first : index + 1].mean() < 0.5:
            self._flush(0)
            self.speeds.append(0.0)
            return
        self._align(first)
        self.crops = {at: one for at, one in self.crops.items() if at >= first}
        self.waiting.append(self.pool.submit(between, self._crop(first, before), self._crop(index, grey)))
        self._flush(self.ahead)

    def finish(self) -> np.ndarray:
        self._flush(0)
        return np.array(self.speeds)

    def _flush(self, leave: int) -> None:
        while len(self.waiting) > leave:
            self.speeds.append(self.waiting.popleft().result())

    def _align(self, index: int) -> None:
        at, boxes = self.aligned_at, self.track.boxes
        if at >= 0 and not self.track.is_short and index - at < self.held and np.abs(boxes[index] - boxes[at]).max() < SHIFTED * boxes[at, 2]:
            return
        self.aligned_at, self.transform, self.crops = index, self.aligner.transform(self.track, index), {}

    def _crop(self, index: int, grey: np.ndarray) -> np.ndarray:
        if index not in self.crops:
            self.crops[index] = crop(grey, self.transform, SIZE, fast=not self.track.is_short)
        return self.crops[index]
