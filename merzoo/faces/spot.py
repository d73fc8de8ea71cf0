"""Candidate intervals of a recording without annotation: where a face starts to move, how far it gets, and when it is back.

Two passes in constant memory. First a speed curve: facial motion over a tenth of a second, all through the recording. Where it exceeds what is usual in
this recording, a movement starts; from there, with the alignment held, displacement from the starting frame gives onset, apex and offset. (Moilanen et
al. 2014 spot by feature differences across an interval of fixed length; displacement from the start suits movements of any length. Our choice.)
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from merzoo.faces.align import Aligner, crop
from merzoo.faces.detect import as_grey
from merzoo.faces.motion import SIZE, HeldFace, between
from merzoo.faces.track import FaceTrack
from merzoo.faces.video import FrameSource
from merzoo.interval import Interval

SAMPLES = 50  # a second: faster recordings are sampled at about this rate
FEWEST = 24  # samples taken of a recording however short, where it has them
LAG = 0.1  # s over which speed is measured
LONGEST = 4.0  # s: an expression still held after this ends here (macro-expressions last 0.5 to 4 s, micro-expressions up to 0.5 s)
USUAL = 30  # percentile of the speed that counts as rest
ABOVE = 4.0  # times the speed at rest that make a movement
FASTER = 3.0  # a movement this many times as fast as the one it follows is an event of its own
FLOOR = 0.2  # px of the 128 px crop: slower, or smaller, is not told from noise and compression
RETURNED = 0.3  # share of the apex's displacement below which the face is back
STARTED = 0.1  # share of the apex's displacement above which the movement has begun


@dataclass(frozen=True)
class Candidate:
    """An interval in source frame numbers; strength: displacement at the peak, px of the 128 px crop; confident: above what is usual here."""

    interval: Interval
    strength: float
    confident: bool


def spot(source: FrameSource, track: FaceTrack, aligner: Aligner, most: int = 5) -> list[Candidate]:
    """Find at most `most` intervals, strongest first and not overlapping. Where no movement stands out, the strongest there is, not confident."""
    step = max(1, min(round(source.rate / SAMPLES), len(track.detected) // FEWEST))
    speed = speed_curve(source, track, aligner, step)
    lag = max(1, round(LAG * source.rate / step))
    starts = movement_starts(speed, lag)
    found = _follow(source, track, aligner, starts, step) if starts else []
    found = [c for c in found if c.strength >= FLOOR]
    if not found:
        found = [_weak(source, track, aligner, speed, lag, step)]
    return sorted(found, key=lambda c: -c.strength)[:most]


def speed_curve(source: FrameSource, track: FaceTrack, aligner: Aligner, step: int = 1) -> np.ndarray:
    """Facial motion float [ceil(T / step)] over the last 0.1 s, px of the 128 px crop, at every `step`-th frame; 0 where the face is mostly not detected."""
    lag = max(1, round(LAG * source.rate / step))
    recent: deque[tuple[int, np.ndarray]] = deque(maxlen=lag + 1)
    speed = []
    for index, frame in source.read(range(0, len(track.detected), step)):
        recent.append((index, as_grey(frame)))
        first, before = recent[0]
        if first == index or track.detected[first : index + 1].mean() < 0.5:
            speed.append(0.0)
            continue
        held = aligner.transform(track, first)
        speed.append(between(crop(before, held, SIZE), crop(recent[-1][1], held, SIZE)))
    return np.array(speed)


def _weak(source: FrameSource, track: FaceTrack, aligner: Aligner, speed: np.ndarray, lag: int, step: int) -> Candidate:
    """The strongest movement where none stands out: from the first frame, as clips cut around an expression begin at rest, or from the fastest."""
    fastest = int(np.argmax(speed))
    tries = [_follow(source, track, aligner, [_Start(s, 0.0)], step)[0] for s in sorted({0, max(0, fastest - lag)})]
    best = max(tries, key=lambda c: c.strength)
    return Candidate(best.interval, best.strength, confident=False)


@dataclass(frozen=True)
class _Start:
    sample: int  # of the speed curve
    speed: float  # highest of the movement, px in 0.1 s


def movement_starts(speed: np.ndarray, lag: int) -> list[_Start]:
    """Samples after which a movement starts: `lag` before the speed first exceeds four times what it is at rest, and 0.2 px."""
    threshold = max(FLOOR, ABOVE * float(np.percentile(speed, USUAL)))
    fast = speed > threshold
    rises = np.flatnonzero(fast & ~np.concatenate([[False], fast[:-1]]))
    ends = np.append(rises, len(speed))[1:]
    return [_Start(max(0, int(r) - lag), float(speed[r:e].max())) for r, e in zip(rises, ends, strict=True)]


def locate(displacement: np.ndarray) -> tuple[int, int, int]:
    """Onset, apex and offset in a curve [N >= 2] of displacement from its first sample.

    Apex: the maximum of its running mean over 3, never the first sample. Onset: the last sample before the apex below a tenth of it. Offset: the
    first after the apex below three tenths of it; else the lowest one, if the face went a third of the way back; else the last.
    """
    smooth = np.convolve(np.pad(displacement, 1, mode="edge"), np.ones(3) / 3, mode="valid")
    apex = 1 + int(np.argmax(smooth[1:]))
    top = float(displacement[apex])
    onset = max((i for i in range(apex) if displacement[i] <= STARTED * top), default=0)
    after = displacement[apex:]
    back = np.flatnonzero(after <= RETURNED * top)
    if len(back):
        return onset, apex, apex + int(back[0])
    if after.min() < 0.67 * top:
        return onset, apex, apex + int(np.argmin(after))
    return onset, apex, len(displacement) - 1


class _Follower:
    """One movement while it is followed: displacement from its first frame."""

    def __init__(self, index: int, grey: np.ndarray, held: np.ndarray) -> None:
        self.start, self.face, self.curve = index, HeldFace(grey, held), [0.0]

    def add(self, grey: np.ndarray) -> None:
        self.curve.append(self.face.add(grey))

    def is_back(self) -> bool:
        top = max(self.curve)
        return top >= FLOOR and max(self.curve[-2:]) <= RETURNED * top

    def candidate(self, step: int) -> Candidate:
        onset, apex, offset = locate(np.array(self.curve))
        first = self.start
        return Candidate(Interval(first + onset * step, first + apex * step, first + offset * step), self.curve[apex], confident=True)


def _follow(source: FrameSource, track: FaceTrack, aligner: Aligner, starts: list[_Start], step: int) -> list[Candidate]:
    """One pass: each movement followed until the face is back, a far faster one takes over, or 4 s are over; starts in between belong to it."""
    longest = max(2, round(LONGEST * source.rate / step))
    waiting = deque(starts)
    found: list[Candidate] = []
    active: _Follower | None = None
    fastest = 0.0
    for index, frame in source.read(range(starts[0].sample * step, len(track.detected), step)):
        grey = as_grey(frame)
        if active is not None:
            active.add(grey)
            if active.is_back() or len(active.curve) > longest:
                found.append(active.candidate(step))
                active = None
        while waiting and waiting[0].sample * step <= index:
            new = waiting.popleft()
            if active is not None and new.speed < FASTER * fastest:
                continue
            if active is not None and len(active.curve) > 1:
                found.append(active.candidate(step))
            active, fastest = _Follower(index, grey, aligner.transform(track, index)), new.speed
        if active is None and not waiting:
            break
    if active is not None and len(active.curve) > 1:
        found.append(active.candidate(step))
    return found
