"""Faces followed through a recording: detection in every frame, association by overlap, gaps interpolated, boxes smoothed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from merzoo.errors import NoFaceError
from merzoo.faces.detect import Box, FaceDetector, as_grey
from merzoo.faces.video import FrameSource

RESCAN = 0.5  # s between scans of the whole frame while a face is being followed
LOST = 0.5  # s without detection after which a face is no longer searched for around its last place
SAME_FACE = 0.3  # intersection over union that makes a detection the continuation of a track
EYES_EVERY = 2  # frames between searches for the eyes
BRIEF = 0.2  # a track with fewer detections than this share of the longest one's is a passer-by or a false alarm


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """One face through T frames.

    boxes: float32 [T, 4], x, y, w, h in px, smoothed; interpolated in gaps, held before the first and after the last detection.
    detected: bool [T], the detector itself found this face in the frame. eyes: float32 [T, 2, 2], image left eye first, NaN where not found.
    """

    boxes: np.ndarray
    detected: np.ndarray
    eyes: np.ndarray

    @property
    def detected_fraction(self) -> float:
        """Share of all frames in which the detector itself, run on every frame, found this face; interpolated frames do not count."""
        return float(self.detected.mean())

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Median x, y, w, h in px over the frames in which the face was detected."""
        x, y, w, h = np.median(self.boxes[self.detected], axis=0).round().astype(int).tolist()
        return x, y, w, h


@dataclass
class _Growing:
    """A track while frames arrive: a few numbers a frame."""

    boxes: dict[int, Box] = field(default_factory=dict)
    eyes: dict[int, np.ndarray] = field(default_factory=dict)
    last: int = -1

    def add(self, index: int, box: Box) -> None:
        self.boxes[index], self.last = box, index


def track_faces(source: FrameSource, detector: FaceDetector | None = None) -> list[FaceTrack]:
    """Follow every face through the source in one pass, largest first.

    The detector is run on every frame: on the whole frame at first, while nothing is followed and every 0.5 s; around the known faces in between.
    Kept are tracks with at least 3 detections (all, in shorter clips) and a fifth of the most detected track's.
    Raises `NoFaceError` where none is left.
    """
    detector = detector or FaceDetector()
    rescan, lost = max(1, round(RESCAN * source.rate)), max(1, round(LOST * source.rate))
    tracks: list[_Growing] = []
    length = 0
    for index, frame in enumerate(source):
        grey = as_grey(frame)
        alive = [t for t in tracks if index - t.last <= lost]
        if not alive or index % rescan == 0:
            _associate(tracks, detector.detect(grey), index)
        for track in alive:
            if track.last != index:
                known = track.boxes[track.last]
                box = detector.near(grey, known)
                if box is not None and box.iou(known) >= SAME_FACE and not _taken(tracks, box, index):
                    track.add(index, box)
        if index % EYES_EVERY == 0:
            for track in tracks:
                if track.last == index and (eyes := detector.eyes(grey, track.boxes[index])) is not None:
                    track.eyes[index] = eyes
        length = index + 1
    return _finish(tracks, length, source)


def _associate(tracks: list[_Growing], boxes: list[Box], index: int) -> None:
    """Greedy by overlap with the last known places, however long ago: a face that comes back to its place stays the same face."""
    pairs = sorted(((t.boxes[t.last].iou(b), i, j) for i, t in enumerate(tracks) for j, b in enumerate(boxes)), reverse=True)
    free, used = set(range(len(tracks))), set()
    for overlap, i, j in pairs:
        if overlap >= SAME_FACE and i in free and j not in used:
            tracks[i].add(index, boxes[j])
            free.discard(i)
            used.add(j)
    for j, box in enumerate(boxes):
        if j not in used and not _taken(tracks, box, index):
            tracks.append(_Growing())
            tracks[-1].add(index, box)


def _taken(tracks: list[_Growing], box: Box, index: int) -> bool:
    """Another track has this place in this frame already."""
    return any(t.last == index and t.boxes[index].iou(box) >= SAME_FACE for t in tracks)


def _finish(tracks: list[_Growing], length: int, source: FrameSource) -> list[FaceTrack]:
    most = max((len(t.boxes) for t in tracks), default=0)
    enough = max(min(3, length), BRIEF * most)
    kept = [_close(t, length) for t in tracks if len(t.boxes) >= enough]
    if not kept:
        text = "give one in which a face looks at the camera and fills at least an eighth of the frame"
        raise NoFaceError(f"{source.name}: no face is found in {length} frames; {text}")
    return sorted(kept, key=lambda t: -t.box[2] * t.box[3])


def _close(track: _Growing, length: int) -> FaceTrack:
    at = np.array(sorted(track.boxes))
    raw = np.array([(b.x, b.y, b.w, b.h) for b in (track.boxes[i] for i in at)])
    every = np.arange(length)
    # Centre and size are smoothed, not the corners, which share the size's jitter.
    state = np.stack([raw[:, 0] + raw[:, 2] / 2, raw[:, 1] + raw[:, 3] / 2, raw[:, 2], raw[:, 3]], axis=1)
    smooth = np.stack([np.interp(every, at, _smooth(c)) for c in state.T], axis=1)
    boxes = np.concatenate([smooth[:, :2] - smooth[:, 2:] / 2, smooth[:, 2:]], axis=1)
    detected = np.zeros(length, bool)
    detected[at] = True
    eyes = np.full((length, 2, 2), np.nan, np.float32)
    for index, pair in track.eyes.items():
        eyes[index] = pair
    return FaceTrack(boxes.astype(np.float32), detected, eyes)


def _smooth(values: np.ndarray, width: int = 5) -> np.ndarray:
    """Running median, then running mean over `width` detections: outliers first, jitter second."""
    half = width // 2
    for reduce in (np.median, np.mean):
        padded = np.pad(values, half, mode="edge")
        values = reduce(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)
    return values
