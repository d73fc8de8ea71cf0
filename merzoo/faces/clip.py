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
from merzoo.faces.detect import as_grey
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
) -> list[FaceResult]:
    """Find, track and align faces and their candidate intervals; one result a face, largest first.

    face: "largest" (warns where there are more), "all", or "none": the frames are aligned crops already. interval: known onset, apex, offset; nothing is
    spotted then. max_frames: longer events are thinned evenly. stabilise: on top of the alignment held since the onset, take out the head's own shift,
    turn and scale in every frame, as measured on nose, cheeks and forehead; a pixel is resampled once either way.
    Raises `MediaError` (see `open_source`), `NoFaceError`, and `UsageError` for an interval outside the recording.
    """
    if face not in ("largest", "all", "none"):
        raise UsageError(f"face is {face!r}; give largest, all or none")
    if size < 8 or max_events < 1 or max_frames < 3:
        raise UsageError(f"size {size}, max_events {max_events}, max_frames {max_frames}: give at least 8, 1 and 3")
    opened = open_source(source, fps)
    if face == "none":
        tracks, aligner = [_whole_frame(opened)], aligner or _Whole()
    else:
        tracks, aligner = track_faces(opened), aligner or Aligner()
    if face == "largest" and len(tracks) > 1:
        text = f"{opened.name}: {len(tracks)} faces found, the largest is taken; use --face all for one prediction each"
        warnings.warn(text, MerzooWarning, stacklevel=2)
        tracks = tracks[:1]
    results = []
    for track in tracks:
        count = len(track.detected)
        if interval is not None and interval.stop >= count:
            raise UsageError(f"interval {interval.start}, {interval.peak}, {interval.stop} ends after the last of {count} frames of {opened.name}")
        found = spot(opened, track, aligner, max_events) if interval is None else [Candidate(interval, float("nan"), True)]
        events = [_cut(opened, track, aligner, c, size, max_frames, stabilise) for c in found]
        results.append(FaceResult(track.box, None if face == "none" else track.detected_fraction, events, count))
    return results


def thin(interval: Interval, most: int) -> list[int]:
    """At most `most` (>= 3) frame numbers from start to stop, evenly spread; start, peak and stop are always among them."""
    if interval.stop - interval.start < most:
        return list(range(interval.start, interval.stop + 1))
    even = np.linspace(interval.start, interval.stop, most).round().astype(int)
    inner = 1 + int(np.argmin(np.abs(even[1:-1] - interval.peak)))
    if interval.peak not in (interval.start, interval.stop):
        even[inner] = interval.peak
    return sorted(set(even.tolist()))


def _cut(source: FrameSource, track: FaceTrack, aligner: Aligner, found: Candidate, size: int, most: int, stabilise: bool) -> FaceEvent:
    held = aligner.transform(track, found.interval.start)
    face: HeldFace | None = None
    numbers, frames, transforms = [], [], []
    for index, frame in source.read(thin(found.interval, most)):
        transform = held
        if stabilise and face is None:
            face = HeldFace(as_grey(frame), held)
        elif stabilise and face is not None:
            face.add(as_grey(frame))
            transform = face.transform
        numbers.append(index)
        frames.append(crop(frame, transform, size))
        transforms.append(transform)
    return FaceEvent(found.interval, found.strength, found.confident, held, np.stack(frames), np.array(numbers), np.stack(transforms))


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
    for frame in source:
        shape, count = frame.shape, count + 1
    if count < 2:
        raise MediaError(f"{source.name} has a single frame, and motion needs two; give a video or a folder of frames")
    side = min(shape[:2])
    box = [(shape[1] - side) // 2, (shape[0] - side) // 2, side, side]
    return FaceTrack(np.tile(np.array(box, np.float32), (count, 1)), np.ones(count, bool), np.full((count, 2, 2), np.nan, np.float32))
