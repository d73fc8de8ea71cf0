"""A person playing a script: the state of face, head, eyes and light at every instant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from merzoo.data.synthetic.eyes import Gaze
from merzoo.data.synthetic.fields import Array
from merzoo.data.synthetic.recipes import ACTION_UNITS, INDEX, TABLE
from merzoo.data.synthetic.render import Face, Lamp, Pose, face
from merzoo.data.synthetic.script import BLINK_CLOSE, BLINK_OPEN, BLINK_SHUT, SLOW_HEAD, Motion, Script, envelope, improvise

SAFE = np.array([row.safe for row in TABLE], np.float32)
HABIT_OTHER_SIDE = 0.7  # habits are a little one-sided


@dataclass(frozen=True)
class Performance:
    """Ties a script to a face. `peak`: intensities [2, 17] px that the expression reaches, image-left and image-right."""

    script: Script
    motion: Motion
    face: Face
    peak: Array

    def expression(self, t: float) -> Array:
        """Phasic intensities [2, 17] of the labelled expression at time t (s)."""
        return self.peak * envelope(self.script.timing, self.motion, t)

    def habit(self, t: float) -> Array:
        """Phasic bump of a habit, unrelated to the emotion, [2, 17]."""
        out = np.zeros((2, len(ACTION_UNITS)), np.float32)
        if self.motion.habit:
            centre, width = self.motion.habit_time
            level = self.motion.habit_px * np.exp(-0.5 * ((t - centre) / width) ** 2)
            out[:, INDEX[self.motion.habit]] = level, level * HABIT_OTHER_SIDE
        return out

    def tonic(self, t: float, drifting: bool = True) -> Array:
        """Levels held all the time, with their slow drift, [2, 17]."""
        person, c = self.face.person, self.script.conditions
        level = np.array(person.tonic, np.float32) * self.motion.tonic_factor
        for unit in person.habits if drifting else ():
            level[INDEX[unit]] += c.tonic_drift_px * self.motion.slow(SLOW_HEAD + INDEX[unit], t)
        lean = np.array(person.asymmetry, np.float32)
        return np.clip(level, 0, None) * np.stack([1 - lean, 1 + lean])

    def pose(self, t: float) -> Pose:
        """Static crop error and turn, with the slow drift of the head."""
        c, slow = self.script.conditions, self.motion.slow
        dx, dy, roll, scale, yaw, pitch = self.motion.crop
        turn = np.deg2rad(c.turn_deg)
        return Pose(
            dx + c.drift_px * slow(0, t), dy + c.drift_px * slow(1, t), roll + np.deg2rad(c.drift_deg) * slow(2, t),
            scale * (1 + c.drift_scale * slow(3, t)), yaw + turn * slow(4, t), pitch + turn * slow(5, t),
        )  # fmt: skip

    def lamp(self, t: float) -> Lamp:
        c = self.script.conditions
        return Lamp(1 + c.light * self.motion.slow(6, t), c.light_shift * self.motion.slow(7, t))

    def gaze(self, t: float) -> Gaze:
        m = self.motion
        x = m.gaze[0] + (m.saccade[1] if t > m.saccade[0] else 0.0)
        closed = 0.0
        if m.blink is not None:
            since = t - m.blink
            shutting, opening = since / BLINK_CLOSE, 1 - (since - BLINK_CLOSE - BLINK_SHUT) / BLINK_OPEN
            closed = float(np.clip(min(shutting, opening), 0, 1))
        return Gaze(x, m.gaze[1], closed)

    def render(self, t: float, *, motion: bool = True, head: bool = True) -> Array:
        """Linear image at time t. `motion=False` freezes everything the face does at rest, `head=False` freezes head and light as at t = 0."""
        still = 0.0 if not head else t
        if motion:
            levels, gaze = self.tonic(t) + self.habit(t) + self.expression(t), self.gaze(t)
        else:
            levels, gaze = self.tonic(0.0), Gaze(*self.motion.gaze)
        return self.face.render(levels, self.pose(still), gaze, self.lamp(still))


def _peak(script: Script, motion: Motion, who: Face) -> Array:
    """Intensities at the apex. The combination as a whole, not each action unit, is scaled to its peak displacement.

    Units that overlap, such as 1 and 2, would else show double.
    """
    nominal = np.zeros((2, len(ACTION_UNITS)), np.float32)
    for unit, share in script.combo.items():
        nominal[:, INDEX[unit]] = share
    levels = nominal * (motion.peak_px / who.muscles.peak(nominal)) * motion.variation
    levels = np.minimum(levels, SAFE)
    reached, most = who.muscles.peak(levels), script.conditions.most_px
    return (levels * min(1.0, most / reached)).astype(np.float32)


def perform(script: Script, part: int) -> Performance:
    """The performance of a script by its person."""
    who = face(script.identity)
    motion = improvise(script, part, who.person)
    return Performance(script, motion, who, _peak(script, motion, who))
