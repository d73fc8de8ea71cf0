"""What happens in a clip: which emotion, how strongly, when, and everything else that moves meanwhile.

The emotion is drawn independently of the person, and the timing independently of the emotion, so that neither identity nor length gives the label away.
All of it is drawn from seeds made of (generator, part, identity, clip), never from the order of calls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from merzoo.data.synthetic.fields import Array
from merzoo.data.synthetic.identity import GENERATOR_SEED, Identity
from merzoo.data.synthetic.recipes import ACTION_UNITS, INDEX

STREAM_EMOTION, STREAM_TIMING, STREAM_MOTION, STREAM_ANNOTATION = 51, 52, 53, 54

CLASSES = ("happiness", "surprise", "disgust", "repression", "others")
PRIOR = (0.18, 0.17, 0.22, 0.18, 0.25)
Combo = tuple[float, dict[int, float]]  # probability, {action unit: relative intensity}
COMBOS: dict[str, tuple[Combo, ...]] = {  # {4} and {4, 7} occur in two classes: labels of real sets are ambiguous too
    "happiness": ((0.34, {12: 1}), (0.34, {6: 0.7, 12: 1}), (0.12, {12: 1, 25: 0.6}), (0.10, {6: 1, 7: 0.4}), (0.10, {12: 0.9, 14: 0.6})),
    "surprise": ((0.40, {1: 1, 2: 1}), (0.22, {1: 1, 2: 1, 5: 0.8}), (0.14, {1: 1, 2: 1, 25: 0.7}), (0.12, {2: 1}), (0.12, {1: 1})),
    "disgust": ((0.25, {4: 0.8, 9: 1}), (0.20, {10: 1}), (0.20, {4: 1, 7: 0.8}), (0.15, {9: 1, 10: 0.6}), (0.12, {4: 0.8, 7: 0.6, 10: 0.7}), (0.08, {4: 1})),
    "repression": ((0.28, {15: 1}), (0.22, {17: 1}), (0.18, {15: 1, 17: 1}), (0.14, {17: 0.5, 24: 1}), (0.10, {14: 1, 17: 0.5}), (0.08, {12: 0.8, 15: 0.7})),
    "others": (
        (0.24, {4: 1}), (0.16, {4: 1, 7: 0.8}), (0.16, {14: 1}), (0.12, {7: 1}), (0.10, {1: 1, 4: 1}), (0.08, {20: 1}), (0.07, {25: 1}), (0.07, {23: 1}),
    ),
}  # fmt: skip
ONE_SIDED_UNITS = (2, 10, 12, 14, 15)
SLOW_WAVES = 3  # sinusoids per slow process
SLOW_HEAD = 8  # slow processes besides the tonic ones: dx, dy, roll, scale, yaw, pitch, light strength, light direction


@dataclass(frozen=True)
class Conditions:
    """How clips of a kind are made. Times in seconds, motion in px of a 128 px frame, angles in degrees. The values of micro clips are difficulty "target"."""

    fps: float
    peak_px: tuple[float, float]  # peak displacement of the whole combination, log-uniform
    most_px: float  # ceiling of the same after personal variation
    onset_s: tuple[float, float]
    hold_s: tuple[float, float]
    offset_s: tuple[float, float]
    longest_s: float  # of onset, hold and offset together
    lead_s: tuple[float, float]
    tail_s: tuple[float, float] | None  # None: the clip has a fixed number of frames
    onset_jitter: int  # frames, uniform +-
    apex_jitter: int  # frames, about 1.5 sigma
    apex_after: int  # frames: least annotated distance from onset to apex
    habit_px: tuple[float, float]
    drift_px: float = 0.20  # standard deviation of the slow shift
    drift_deg: float = 0.15  # of the roll
    drift_scale: float = 0.0015
    turn_deg: float = 0.30  # of yaw and pitch
    light: float = 0.010  # of the light's strength
    light_shift: float = 0.02  # of its direction
    tonic_drift_px: float = 0.12
    habit_share: float = 0.35  # of clips in which a habit shows as a bump of its own
    blink_share: float = 0.12
    saccade_share: float = 0.15
    one_sided_share: float = 0.15


MICRO = Conditions(
    fps=100, peak_px=(0.6, 2.0), most_px=3.0, onset_s=(0.10, 0.28), hold_s=(0, 0.06), offset_s=(0.12, 0.35), longest_s=0.5,
    lead_s=(0.06, 0.13), tail_s=(0.05, 0.10), onset_jitter=3, apex_jitter=4, apex_after=5, habit_px=(0.15, 0.5),
)  # fmt: skip
MACRO = Conditions(
    fps=20, peak_px=(4, 8), most_px=8.0, onset_s=(0.25, 0.55), hold_s=(0.05, 0.5), offset_s=(0.35, 0.8), longest_s=0.95,
    lead_s=(0.05, 0.20), tail_s=None, onset_jitter=1, apex_jitter=1, apex_after=2, habit_px=(0.6, 2.0),
)  # fmt: skip
KINDS = {"micro": MICRO, "macro": MACRO}
LONGEST_LAG = 0.03  # s by which action units start one after another
CROP_SD = (1.0, 1.0, 0.7, 0.012, 2.0, 1.5)  # static crop error: px, px, deg, scale; static head turn: yaw deg, pitch deg
BLINK_CLOSE, BLINK_SHUT, BLINK_OPEN = 0.08, 0.02, 0.16  # s
GAZE_SD = (0.3, 0.15)  # units


@dataclass(frozen=True)
class Timing:
    """Seconds from the clip's first frame, and what an annotator wrote down (frames)."""

    lead: float
    onset: float
    hold: float
    offset: float
    frames: int
    fps: float
    start: int
    peak: int
    stop: int

    @property
    def apex(self) -> float:
        """Time of the true apex: the middle of the hold."""
        return self.lead + self.onset + 0.5 * self.hold


@dataclass(frozen=True)
class Script:
    """A clip before anybody plays it."""

    identity: int
    clip: int
    kind: str
    emotion: str
    combo: dict[int, float]
    timing: Timing

    @property
    def conditions(self) -> Conditions:
        return KINDS[self.kind]

    def seed(self, part: int, stream: int, *more: int) -> list[int]:
        return [GENERATOR_SEED, part, self.identity, self.clip, stream, *more]


def _emotion(seed: list[int]) -> tuple[str, dict[int, float]]:
    rng = np.random.default_rng([*seed, STREAM_EMOTION])
    emotion = CLASSES[int(rng.choice(len(CLASSES), p=PRIOR))]
    chances = np.array([chance for chance, _ in COMBOS[emotion]])
    return emotion, COMBOS[emotion][int(rng.choice(len(chances), p=chances / chances.sum()))][1]


def _timing(seed: list[int], c: Conditions, fixed_frames: int | None) -> Timing:
    rng = np.random.default_rng([*seed, STREAM_TIMING])
    onset, hold, offset, lead = (float(rng.uniform(*span)) for span in (c.onset_s, c.hold_s, c.offset_s, c.lead_s))
    pace = 1.0 if fixed_frames is None else min(1.0, fixed_frames / 24)  # shorter clips are quicker ones: all of the expression stays inside
    onset, hold, offset, lead = onset * pace, hold * pace, offset * pace, lead * pace
    squeeze = min(1.0, c.longest_s * pace / (onset + hold + offset))
    onset, hold, offset = onset * squeeze, hold * squeeze, offset * squeeze
    frames = fixed_frames or int(np.ceil((lead + onset + hold + offset + float(rng.uniform(*(c.tail_s or (0, 0))))) * c.fps)) + 1
    marks = np.random.default_rng([*seed, STREAM_ANNOTATION])
    start = max(round(lead * c.fps) + int(marks.integers(-c.onset_jitter, c.onset_jitter + 1)), 0)
    slip = float(np.clip(marks.normal(0, c.apex_jitter / 1.5), -2 * c.apex_jitter, 2 * c.apex_jitter))
    peak = int(np.clip(round((lead + onset + 0.5 * hold) * c.fps + slip), start + c.apex_after, frames - 2))
    stop = round((lead + onset + hold + offset) * c.fps) + int(marks.integers(-c.onset_jitter, c.onset_jitter + 1))
    return Timing(lead, onset, hold, offset, frames, c.fps, start, peak, int(np.clip(stop, peak + 1, frames - 1)))


def write(part: int, identity: int, clip: int, kind: str, frames: int | None = None) -> Script:
    """The script of one clip; `frames` fixes its length (macro clips)."""
    seed = [GENERATOR_SEED, part, identity, clip]
    emotion, combo = _emotion(seed)
    return Script(identity, clip, kind, emotion, combo, _timing(seed, KINDS[kind], frames))


@dataclass(frozen=True)
class Motion:
    """Everything random in how a person plays a script. Sides: 0 image-left, 1 image-right; `units` = 17."""

    variation: Array  # [2, units] factor on the relative intensities
    peak_px: float
    power: float  # exponent of the onset's curve
    lags: Array  # [units] s
    tonic_factor: Array  # [units]
    habit: int  # the action unit that bumps, or 0
    habit_px: float
    habit_time: tuple[float, float]  # centre and width, s
    blink: float | None  # s
    gaze: tuple[float, float]
    saccade: tuple[float, float]  # s, units
    crop: tuple[float, ...]  # dx, dy, roll, scale, yaw, pitch (px, rad, factor)
    frequency: Array  # [SLOW_HEAD + units, waves] Hz
    phase: Array
    weight: Array

    def slow(self, process: int, t: float) -> float:
        """A slow process of unit variance."""
        return float((self.weight[process] * np.sin(2 * np.pi * self.frequency[process] * t + self.phase[process])).sum())


def improvise(script: Script, part: int, person: Identity) -> Motion:
    """How this person plays this script."""
    c, units = script.conditions, len(ACTION_UNITS)
    rng = np.random.default_rng(script.seed(part, STREAM_MOTION))
    length = script.timing.frames / script.timing.fps
    peak_px = float(np.exp(rng.uniform(*np.log(c.peak_px))))
    strength = np.array(person.gain) * np.exp(rng.normal(0, 0.15, units))
    lean = np.clip(np.array(person.asymmetry) + rng.normal(0, 0.08, units), -0.6, 0.6)
    variation = np.stack([strength * (1 - lean), strength * (1 + lean)])
    one_sided, side = rng.uniform() < c.one_sided_share, int(rng.integers(0, 2))
    if one_sided:
        variation[side, [INDEX[a] for a in ONE_SIDED_UNITS]] *= 0.15
    habit, habit_px = int(rng.choice(person.habits)), float(rng.uniform(*c.habit_px))
    habit_time = float(rng.uniform(0, length)), float(rng.uniform(0.06, 0.2)) * (1 if script.kind == "micro" else 2)
    shows, blinks, looks = (rng.uniform() < share for share in (c.habit_share, c.blink_share, c.saccade_share))
    blink, saccade = float(rng.uniform(-0.1, length)), (float(rng.uniform(0, length)), float(rng.normal(0, 0.5)))
    crop = rng.normal(0, 1, 6) * np.array(CROP_SD)
    processes = SLOW_HEAD + units
    return Motion(
        variation=variation.astype(np.float32), peak_px=peak_px, power=float(rng.uniform(1, 1.6)),
        lags=rng.uniform(0, LONGEST_LAG, units).astype(np.float32), tonic_factor=np.clip(1 + 0.25 * rng.normal(size=units), 0, 2).astype(np.float32),
        habit=habit if shows else 0, habit_px=habit_px, habit_time=habit_time, blink=blink if blinks else None,
        gaze=(float(rng.normal(0, GAZE_SD[0])), float(rng.normal(0, GAZE_SD[1]))), saccade=saccade if looks else (np.inf, 0.0),
        crop=(crop[0], crop[1], np.deg2rad(crop[2]), 1 + crop[3], np.deg2rad(crop[4]), np.deg2rad(crop[5])),
        frequency=rng.uniform(0.15, 1.3, (processes, SLOW_WAVES)).astype(np.float32),
        phase=rng.uniform(0, 2 * np.pi, (processes, SLOW_WAVES)).astype(np.float32),
        weight=(rng.normal(0, 1, (processes, SLOW_WAVES)) * np.sqrt(2 / SLOW_WAVES)).astype(np.float32),
    )  # fmt: skip


def envelope(timing: Timing, motion: Motion, t: float) -> Array:
    """Share (0 to 1) of each action unit's peak at time t, [units]: smooth rise, hold, smooth fall (our choice; durations after the field's 0.5 s limit)."""
    since = t - timing.lead - motion.lags
    rise = np.clip(since / timing.onset, 0, 1)
    fall = np.clip((since - timing.onset - timing.hold) / timing.offset, 0, 1)
    return ((rise * rise * (3 - 2 * rise)) ** motion.power * (1 - fall) ** 2 * (1 + 2 * fall)).astype(np.float32)
