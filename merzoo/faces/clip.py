"""From a source to aligned clips of its faces' events: the one call that prediction needs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from merzoo.errors import MediaError, MerzooWarning, UsageError
from merzoo.faces.align import SIDE, Aligner, crop
from merzoo.faces.closer import CloserLook
from merzoo.faces.detect import FaceDetector, as_grey
from merzoo.faces.meter import Tell
from merzoo.faces.motion import HeldFace
from merzoo.faces.spot import Candidate, spot
from merzoo.faces.track import FaceTrack, track_faces
from merzoo.faces.video import FrameSource, open_source
from merzoo.interval import Interval


@dataclass(frozen=True, eq=False)
class FaceEvent:
    """One candidate expression.

    interval: onset, apex, offset in frame numbers of the source. strength: displacement at the apex, px of the 128 px crop (NaN where the caller gave
    the interval). confident: False where nothing stood out and this is the strongest there was. transform: 2 x 3 from px of the frame to canonical
    px, fixed at the onset. frames: uint8 [T, size, size, 3], RGB, onset to offset. frame_numbers: int [T], always with onset, apex and offset.
    transforms: [T, 2, 3], `transform` followed by the removal of each frame's head motion (all equal to `transform` where not stabilised).
    """

    interval: Interval
    strength: float
    confident: bool
    transform: np.ndarray
    frames: np.ndarray
    frame_numbers: np.ndarray
    transforms: np.ndarray


@dataclass(frozen=True, eq=False)
class FaceResult:
    """One face: median box x, y, w, h in px; share of frames in which the detector found it (None: it was not run); events, strongest first."""

    box: tuple[int, int, int, int]
    detected_fraction: float | None
    events: list[FaceEvent]
    frame_count: int  # frames that decoded


def face_clips(
    source: str | os.PathLike[str] | np.ndarray | FrameSource,
    *,
    face: Literal["largest", "all", "none"] = "largest",
    size: int = SIDE,
    max_events: int = 5,
    max_frames: int = 128,
    interval: Interval | None = None,
    stabilise: bool = True,
    aligner: Aligner | None = None,
    fps: float | None = None,
    tell: Tell | None = None,
) -> list[FaceResult]:
    """Find, track and align faces and their candidate intervals; one result a face, largest first.

    face: "largest" (warns where there are more), "all", or "none": the frames are aligned crops already. interval: known onset, apex, offset; nothing is
    spotted then. max_frames: longer events are thinned evenly. stabilise: on top of the alignment held since the onset, take out the head's own shift,
    turn and scale in every frame, as measured on nose, cheeks and forehead; a pixel is resampled once either way.
    tell: called now and then with a few words on how far a long recording is.

    A recording is read four times, whatever its faces and events: for faces, for movement all through it, to follow movements (again where nothing moves
    much), and to cut the events. Each time a few frames are in memory.
    Raises `MediaError` (see `open_source`), `NoFaceError`, and `UsageError` for an interval outside the recording.
    """
    if face not in ("largest", "all", "none"):
        raise UsageError(f"face is {face!r}; give largest, all or none")
    if size < 8 or max_events < 1 or max_frames < 3:
        raise UsageError(f"size {size}, max_events {max_events}, max_frames {max_frames}: give at least 8, 1 and 3")
    opened = open_source(source, fps)
    detector = None if face == "none" else FaceDetector()
    if detector is None:
        tracks, aligner = [_whole_frame(opened)], aligner or _Whole()
    else:
        tracks, aligner = track_faces(opened, detector, tell), aligner or Aligner()
    if face == "largest" and len(tracks) > 1:
        text = f"{opened.name}: {len(tracks)} faces found, the largest is taken; use --face all for one prediction each"
        warnings.warn(text, MerzooWarning, stacklevel=2)
        tracks = tracks[:1]
    count = len(tracks[0].detected)
    if interval is not None and interval.stop >= count:
        raise UsageError(f"interval {interval.start}, {interval.peak}, {interval.stop} ends after the last of {count} frames of {opened.name}")
    given = None if interval is None else [Candidate(interval, float("nan"), True)]
    found = spot(opened, tracks, aligner, max_events, tell) if given is None else [given] * len(tracks)
    looks = [[CloserLook(t, one.interval.start, detector) for one in of] for t, of in zip(tracks, found, strict=True)]
    cuts = [[_Cut(*pair, aligner, size, max_frames, stabilise) for pair in zip(*pairs, strict=True)] for pairs in zip(found, looks, strict=True)]
    _read_once(opened, [cut for of in cuts for cut in of])
    shares = [None if face == "none" else track.detected_fraction for track in tracks]
    return [FaceResult(t.box, share, [cut.event() for cut in of], count) for t, share, of in zip(tracks, shares, cuts, strict=True)]


def thin(interval: Interval, most: int) -> list[int]:
    """At most `most` (>= 3) frame numbers from start to stop, evenly spread; start, peak and stop are always among them."""
    if interval.stop - interval.start < most:
        return list(range(interval.start, interval.stop + 1))
    even = np.linspace(interval.start, interval.stop, most).round().astype(int)
    inner = 1 + int(np.argmin(np.abs(even[1:-1] - interval.peak)))
    if interval.peak not in (interval.start, interval.stop):
        even[inner] = interval.peak
    return sorted(set(even.tolist()))


def _read_once(source: FrameSource, cuts: Sequence[_Cut]) -> None:
    """Give every cut the frames that it wants, in one pass."""
    plan: dict[int, list[_Cut]] = {}
    for cut in cuts:
        for index in cut.wanted:
            plan.setdefault(index, []).append(cut)
    for index, frame in source.read(sorted(plan)):
        for cut in plan[index]:
            cut.add(index, frame)


class _Cut:
    """One event while its frames arrive. Where the onset's surroundings are looked at more closely, its first frames wait until they have been."""

    def __init__(self, found: Candidate, closer: CloserLook, aligner: Aligner, size: int, most: int, stabilise: bool) -> None:
        self.found, self.closer, self.aligner, self.size, self.stabilise = found, closer, aligner, size, stabilise
        self.numbers = thin(found.interval, most)
        self.wanted = sorted({*self.numbers, *self.closer.frames})
        self.held: np.ndarray | None = None
        self.face: HeldFace | None = None
        self.waiting: list[tuple[int, np.ndarray]] = []
        self.crops: list[tuple[int, np.ndarray, np.ndarray]] = []

    def add(self, index: int, frame: np.ndarray) -> None:
        if index in self.closer.frames:
            self.closer.add(index, as_grey(frame))
        if index in self.numbers:
            self.waiting.append((index, frame))
        if index >= max(self.closer.frames, default=0):
            self._crop()

    def event(self) -> FaceEvent:
        """The event, once every frame has been added."""
        self._crop()
        held, (numbers, frames, transforms) = self._aligned(), zip(*self.crops, strict=True)
        return FaceEvent(self.found.interval, self.found.strength, self.found.confident, held, np.stack(frames), np.array(numbers), np.stack(transforms))

    def _aligned(self) -> np.ndarray:
        if self.held is None:
            self.held = self.aligner.transform(self.closer.track(), self.found.interval.start)
        return self.held

    def _crop(self) -> None:
        for index, frame in self.waiting:
            transform = self._aligned()
            if self.stabilise and self.face is None:
                self.face = HeldFace(as_grey(frame), transform)
            elif self.face is not None:
                self.face.add(as_grey(frame))
                transform = self.face.transform
            self.crops.append((index, crop(frame, transform, self.size), transform))
        self.waiting.clear()


class _Whole(Aligner):
    """Frames that are aligned crops: their middle square becomes the canonical frame."""

    name = "none"

    def transform(self, track: FaceTrack, frame_index: int) -> np.ndarray:
        x, y, side, _ = track.boxes[frame_index].tolist()
        scale = SIDE / side
        shift = (scale - 1) / 2  # pixel centres
        return np.array([[scale, 0.0, shift - scale * x], [0.0, scale, shift - scale * y]])


def _whole_frame(source: FrameSource) -> FaceTrack:
    shape: Sequence[int] = ()
    count = 0
    for index, picture in source.visit():
        if not index:
            shape = picture().shape
        count = index + 1
    if count < 2:
        raise MediaError(f"{source.name} has a single frame, and motion needs two; give a video or a folder of frames")
    side = min(shape[:2])
    box = [(shape[1] - side) // 2, (shape[0] - side) // 2, side, side]
    return FaceTrack(np.tile(np.array(box, np.float32), (count, 1)), np.ones(count, bool), np.full((count, 2, 2), np.nan, np.float32))
