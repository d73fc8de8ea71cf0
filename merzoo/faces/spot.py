"""Candidate intervals of a recording without annotation: where a face starts to move, how far it gets, and when it is back.

Two passes in constant memory, for all faces at once. First a speed curve: facial motion over a tenth of a second, all through the recording. Where it
exceeds what is usual in this recording, a movement starts; from there, with the alignment held, displacement from the starting frame gives onset, apex and
offset. (Moilanen et al. 2014 spot by feature differences across an interval of fixed length; displacement from the start suits movements of any length. Our
choice.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from merzoo.faces.align import Aligner
from merzoo.faces.detect import as_grey
from merzoo.faces.meter import Meter, Tell
from merzoo.faces.motion import HeldFace
from merzoo.faces.speed import lag_of, speed_curves
from merzoo.faces.track import FaceTrack
from merzoo.faces.video import FrameSource
from merzoo.interval import Interval

SAMPLES = 50  # a second: faster recordings are sampled at about this rate
FEWEST = 24  # samples taken of a recording however short, where it has them
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


def spot(source: FrameSource, tracks: Sequence[FaceTrack], aligner: Aligner, most: int = 5, tell: Tell | None = None) -> list[list[Candidate]]:
    """Find at most `most` intervals of each face, strongest first and not overlapping. Where no movement stands out, the strongest there is, not confident.

    All faces in the same two passes over the recording, three where some face hardly moves.
    """
    step = max(1, min(round(source.rate / SAMPLES), len(tracks[0].detected) // FEWEST))
    speeds, lag = speed_curves(source, tracks, aligner, step, tell), lag_of(source, step)
    found = _follow(source, [_Lane(track, aligner, movement_starts(speed, lag), most) for track, speed in zip(tracks, speeds, strict=True)], step, tell)
    still = [number for number, candidates in enumerate(found) if not candidates]
    # From the first frame, as clips cut around an expression begin at rest, and from the fastest: the two may overlap.
    tries = [(number, start) for number in still for start in sorted({0, max(0, int(np.argmax(speeds[number])) - lag)})]
    for (number, _), (best, *_) in zip(
        tries, _follow(source, [_Lane(tracks[number], aligner, [_Start(start, 0.0)], 1, 0.0) for number, start in tries], step, tell), strict=True
    ):
        if not found[number] or best.strength > found[number][0].strength:
            found[number] = [replace(best, confident=False)]
    return found


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

    def __init__(self, index: int, grey: np.ndarray, held: np.ndarray, fast: bool) -> None:
        self.start, self.face, self.curve = index, HeldFace(grey, held, fast), [0.0]

    def add(self, grey: np.ndarray) -> None:
        self.curve.append(self.face.add(grey))

    def is_back(self) -> bool:
        top = max(self.curve)
        return top >= FLOOR and max(self.curve[-2:]) <= RETURNED * top

    def candidate(self, step: int) -> Candidate:
        onset, apex, offset = locate(np.array(self.curve))
        first = self.start
        return Candidate(Interval(first + onset * step, first + apex * step, first + offset * step), self.curve[apex], confident=True)


class _Lane:
    """The movements of one face, followed one after the other: each until the face is back, a far faster one takes over, or 4 s are over; starts in
    between belong to it. Only the strongest `most` are kept."""

    def __init__(self, track: FaceTrack, aligner: Aligner, starts: Sequence[_Start], most: int, floor: float = FLOOR) -> None:
        self.track, self.aligner, self.most, self.floor = track, aligner, most, floor
        self.waiting = deque(starts)
        self.found: list[Candidate] = []
        self.active: _Follower | None = None
        self.fastest = 0.0

    def is_done(self) -> bool:
        return self.active is None and not self.waiting

    def wants(self, index: int, step: int) -> bool:
        return self.active is not None or (bool(self.waiting) and self.waiting[0].sample * step <= index)

    def add(self, index: int, grey: np.ndarray, step: int, longest: int) -> None:
        if self.active is not None:
            self.active.add(grey)
            if self.active.is_back() or len(self.active.curve) > longest:
                self.end(step)
        while self.waiting and self.waiting[0].sample * step <= index:
            new = self.waiting.popleft()
            if self.active is not None and new.speed < FASTER * self.fastest:
                continue
            self.end(step)
            self.active, self.fastest = self._follower(index, grey), new.speed

    def _follower(self, index: int, grey: np.ndarray) -> _Follower:
        return _Follower(index, grey, self.aligner.transform(self.track, index), fast=not self.track.is_short)

    def end(self, step: int) -> None:
        """Keep the movement that is followed, if there is one, if it is strong enough."""
        if self.active is not None and len(self.active.curve) > 1:
            candidate = self.active.candidate(step)
            if candidate.strength >= self.floor:
                self.found = sorted([*self.found, candidate], key=lambda c: -c.strength)[: self.most]
        self.active = None


def _follow(source: FrameSource, lanes: list[_Lane], step: int, tell: Tell | None) -> list[list[Candidate]]:
    """What each lane finds, strongest first, in one pass in which only frames that are followed become pictures."""
    if all(lane.is_done() for lane in lanes):
        return [[] for _ in lanes]
    longest, meter = max(2, round(LONGEST * source.rate / step)), Meter("following movements", source, tell)
    for index, picture in source.visit():
        if index % step == 0 and (wanting := [lane for lane in lanes if lane.wants(index, step)]):
            grey = as_grey(picture())
            for lane in wanting:
                lane.add(index, grey, step, longest)
        if all(lane.is_done() for lane in lanes):
            break
        meter(index + 1)
    for lane in lanes:
        lane.end(step)
    return [lane.found for lane in lanes]
