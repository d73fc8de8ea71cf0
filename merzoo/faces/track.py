"""Faces followed through a recording: detection in some frames, association by overlap, gaps interpolated, boxes smoothed."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from merzoo.errors import NoFaceError
from merzoo.faces.detect import Box, FaceDetector, as_grey
from merzoo.faces.meter import Meter, Tell
from merzoo.faces.video import FrameSource

DENSE = 150  # first frames, all looked at, so that a clip no longer than this is searched as closely as can be
LOOKS = 6.0  # a second, after those, while nothing hurries
HURRIED = 30.0  # looks a second while a followed face is missing or moves fast
FAST = 0.7  # intersection over union with the look before, below which a face moves fast
RESCAN = 0.5  # s between scans of the whole frame while a face is being followed
RARELY = 2.0  # the same, s, after the first frames
EYES_EVERY = 2  # frames between searches for the eyes
EYES_RARELY = 0.5  # the same, s, after the first frames
LOST = 0.5  # s without detection after which a face is no longer searched for around its last place
FORGOTTEN = 10.0  # s after which a face that was seen in one or two looks is taken for a false alarm
SAME_FACE = 0.3  # intersection over union that makes a detection the continuation of a track
BRIEF = 0.2  # a track with fewer detections than this share of the longest one's is a passer-by or a false alarm


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """One face through T frames.

    boxes: float32 [T, 4], x, y, w, h in px, smoothed; interpolated in gaps, held before the first and after the last detection.
    detected: bool [T], the detector itself found this face in the frame. eyes: float32 [T, 2, 2], image left eye first, NaN where not found.
    looked: bool [T], the frames that the detector was run on; None: all.
    """

    boxes: np.ndarray
    detected: np.ndarray
    eyes: np.ndarray
    looked: np.ndarray | None = None

    @cached_property
    def present(self) -> np.ndarray:
        """bool [T]: the detector found this face in the frame, or, where it was not run on it, in the nearest that it was run on."""
        if self.looked is None:
            return self.detected
        looks = np.flatnonzero(self.looked)
        return np.repeat(self.detected[looks], _stands_for(looks, len(self.detected)))

    @property
    def detected_fraction(self) -> float:
        """Share of the frames in which the detector itself found this face; interpolated ones do not count.

        A frame that it was not run on counts as the nearest that it was run on, so that close looks at one place do not weigh more.
        """
        return float(self.present.mean())

    @property
    def is_short(self) -> bool:
        """So short that nothing is measured less closely than it can be."""
        return len(self.detected) <= DENSE

    @cached_property
    def eye_ratios(self) -> np.ndarray | None:
        """Where this face's eyes lie in its box, [2, 2] as shares of width and height: the median; None unless they were found twice."""
        known = np.flatnonzero(np.isfinite(self.eyes[:, 0, 0]))
        if len(known) < 2:
            return None
        return np.median((self.eyes[known] - self.boxes[known, None, :2]) / self.boxes[known, None, 2:], axis=0)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Median x, y, w, h in px over the frames in which the face was there."""
        x, y, w, h = np.median(self.boxes[self.present], axis=0).round().astype(int).tolist()
        return x, y, w, h


class _Growing:
    """A track while frames arrive: a few numbers a detection."""

    def __init__(self, index: int, box: Box) -> None:
        self.at, self.boxes = array("q"), array("d")
        self.eyes_at, self.eyes = array("q"), array("f")
        self.add(index, box)

    def add(self, index: int, box: Box) -> None:
        self.box, self.last = box, index
        self.at.append(index)
        self.boxes.extend((box.x, box.y, box.w, box.h))

    def add_eyes(self, index: int, eyes: np.ndarray) -> None:
        self.eyes_at.append(index)
        self.eyes.extend(eyes.ravel().tolist())


def track_faces(source: FrameSource, detector: FaceDetector | None = None, tell: Tell | None = None) -> list[FaceTrack]:
    """Follow every face through the source in one pass, largest first.

    The detector looks at each of the first 150 frames and then at 6 a second, at up to 30 while a face is missing or moves fast. It looks at the whole frame
    at first, while nothing is followed, where a face is missed and every 0.5 s (2 s after the first frames); around the known faces in between.
    Kept are tracks with at least 3 detections (all, in shorter clips) that are there for a fifth of the time of the longest.
    Raises `NoFaceError` where none is left.
    """
    search, meter, length = _Search(detector or FaceDetector(), source.rate), Meter("finding faces", source, tell), 0
    for index, picture in source.visit():
        if index == search.next:
            search.look(index, as_grey(picture()))
        length = index + 1
        meter(length)
    tracks = search.finish(length)
    if not tracks:
        text = "give one in which a face looks at the camera and fills at least an eighth of the frame"
        raise NoFaceError(f"{source.name}: no face is found in {length} frames; {text}")
    return tracks


class _Search:
    """The faces found so far, and the frame to look at next."""

    def __init__(self, detector: FaceDetector, rate: float) -> None:
        self.detector, self.rate = detector, rate
        self.next, self.stride, self.scanned = 0, 1, 0
        self.looks = array("q")
        self.tracks: list[_Growing] = []

    def frames(self, seconds: float) -> int:
        return max(1, round(seconds * self.rate))

    def look(self, index: int, grey: np.ndarray) -> None:
        """Look for faces in frame `self.next`."""
        alive = [t for t in self.tracks if index - t.last <= self.frames(LOST)]
        known = [(t, t.box) for t in alive if len(t.at) > 2]  # what was seen once or twice may be a false alarm, and hurries nobody
        if not alive or self._scan_is_due(index):
            self._scan(index, grey)
        for track in alive:
            if track.last != index:
                box = self.detector.near(grey, track.box)
                if box is not None and box.iou(track.box) >= SAME_FACE and not self._taken(box, index):
                    track.add(index, box)
        if index >= DENSE and self.scanned != index and any(t.last == self.looks[-1] for t, _ in known):
            self._scan(index, grey)
        for track in self.tracks:
            if track.last == index and self._eyes_are_due(track, index) and (eyes := self.detector.eyes(grey, track.box)) is not None:
                track.add_eyes(index, eyes)
        self.looks.append(index)
        self._go_on(index, any(t.last != index or t.box.iou(box) < FAST for t, box in known))

    def _go_on(self, index: int, hurry: bool) -> None:
        if index + 1 < DENSE:
            self.stride = 1
        elif hurry:
            self.stride = min(self.stride, self.frames(1 / HURRIED))
        else:
            self.stride = min(2 * self.stride, self.frames(1 / LOOKS))
        self.next = index + self.stride

    def _scan_is_due(self, index: int) -> bool:
        return index % self.frames(RESCAN) == 0 if index < DENSE else index - self.scanned >= self.frames(RARELY)

    def _eyes_are_due(self, track: _Growing, index: int) -> bool:
        if index < DENSE:
            return index % EYES_EVERY == 0
        return not track.eyes_at or index - track.eyes_at[-1] >= self.frames(EYES_RARELY)

    def _scan(self, index: int, grey: np.ndarray) -> None:
        """Find all faces of the frame. Greedy by overlap with the last known places, however long ago: a face that comes back to its place stays the same."""
        self.scanned, boxes = index, self.detector.detect(grey)
        self.tracks = [t for t in self.tracks if len(t.at) > 2 or index - t.last <= self.frames(FORGOTTEN)]
        open_tracks = {i: t for i, t in enumerate(self.tracks) if t.last != index}
        pairs = sorted(((t.box.iou(b), i, j) for i, t in open_tracks.items() for j, b in enumerate(boxes)), reverse=True)
        used = set()
        for overlap, i, j in pairs:
            if overlap >= SAME_FACE and i in open_tracks and j not in used and not self._taken(boxes[j], index):
                open_tracks.pop(i).add(index, boxes[j])
                used.add(j)
        for j, box in enumerate(boxes):
            if j not in used and not self._taken(box, index):
                self.tracks.append(_Growing(index, box))

    def _taken(self, box: Box, index: int) -> bool:
        """Another track has this place in this frame already."""
        return any(t.last == index and t.box.iou(box) >= SAME_FACE for t in self.tracks)

    def finish(self, length: int) -> list[FaceTrack]:
        looks = np.array(self.looks, int)
        seen = [t for t in self.tracks if len(t.at) >= min(3, length)]
        if not seen:
            return []
        share = _stands_for(looks, length)
        there = [int(share[np.searchsorted(looks, np.array(t.at))].sum()) for t in seen]
        kept = [_close(t, looks, length) for t, frames in zip(seen, there, strict=True) if frames >= BRIEF * max(there)]
        return sorted(kept, key=lambda t: -t.box[2] * t.box[3])


def _stands_for(looks: np.ndarray, length: int) -> np.ndarray:
    """How many frames are nearest to each look, int [looks], the earlier one where two are as near."""
    return np.diff(np.concatenate([[0], (looks[:-1] + looks[1:]) // 2 + 1, [length]]))


def _close(track: _Growing, looks: np.ndarray, length: int) -> FaceTrack:
    at, raw, every = np.array(track.at), np.array(track.boxes).reshape(-1, 4), np.arange(length)
    # Centre and size are smoothed, not the corners, which share the size's jitter.
    state = np.concatenate([raw[:, :2] + raw[:, 2:] / 2, raw[:, 2:]], axis=1)
    smooth = np.stack([np.interp(every, at, _smooth(c)) for c in state.T], axis=1)
    boxes = np.concatenate([smooth[:, :2] - smooth[:, 2:] / 2, smooth[:, 2:]], axis=1)
    detected, looked = np.zeros(length, bool), np.zeros(length, bool)
    detected[at] = looked[looks] = True
    eyes = np.full((length, 2, 2), np.nan, np.float32)
    eyes[np.array(track.eyes_at, int)] = np.array(track.eyes, np.float32).reshape(-1, 2, 2)
    return FaceTrack(boxes.astype(np.float32), detected, eyes, looked)


def _smooth(values: np.ndarray, width: int = 5) -> np.ndarray:
    """Running median, then running mean over `width` detections: outliers first, jitter second."""
    half = width // 2
    for reduce in (np.median, np.mean):
        padded = np.pad(values, half, mode="edge")
        values = reduce(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)
    return values
