"""The synthetic faces as a data set: a table of clips, their frames, and the truth behind them."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

from merzoo.data.synthetic import action_units
from merzoo.data.synthetic.fields import FRAME, GRID_STEP, PAD, RENDER, Array
from merzoo.data.synthetic.parts import PARTS, Part
from merzoo.data.synthetic.performance import Performance, perform
from merzoo.data.synthetic.render import camera
from merzoo.data.synthetic.script import CLASSES, Script, write
from merzoo.data.table import Task
from merzoo.errors import DataError, UnknownNameError
from merzoo.specs import Preprocessing

if TYPE_CHECKING:
    import pandas as pd

GENERATOR_VERSION = "1"
STREAM_SENSOR = 61
SMALLEST = 16  # px


@dataclass(frozen=True)
class ClipTruth:
    """What the generator knows about a clip.

    `true_start`, `true_peak`: frames of the true onset and apex (the table holds annotated ones).
    `intensities`: float32 [T, 2, 17], displacement in px of a 128 px frame that the labelled expression asks of each action unit, image-left then image-right.
    `tonic` and `habit`: the same for what the face does besides.
    """

    true_start: int
    true_peak: int
    intensities: Array
    tonic: Array
    habit: Array
    performance: Performance

    def displacement(self, frame_a: int, frame_b: int, size: int = FRAME) -> Array:
        """float32 [size, size, 2]: where the skin seen at each pixel of frame a is in frame b, in pixels of that size, without motion of the head.

        Skin only: lids, iris and the edge of parting lips are layers of their own and are not in it. Raises `DataError` for frames the clip does not have.
        """
        count = len(self.intensities)
        if not (0 <= frame_a < count and 0 <= frame_b < count):
            raise DataError(f"frames {frame_a} and {frame_b} are not both among the clip's {count}; count from 0")
        levels = self.intensities + self.tonic + self.habit
        muscles = self.performance.face.muscles
        first, second = muscles.displacement(levels[frame_a]), muscles.displacement(levels[frame_b])
        rest = action_units.inverse(first, steps=8)
        at = np.arange(rest.shape[0], dtype=np.float32)
        columns, rows = np.meshgrid(at, at)
        where = columns - rest[..., 0] / GRID_STEP, rows - rest[..., 1] / GRID_STEP
        moved = cv2.remap(second, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        pose = self.performance.pose(frame_a / self.performance.script.timing.fps)
        to_grid = pose.to_canonical() @ np.diag([RENDER / size, RENDER / size, 1.0])
        to_grid[:, 2] += pose.to_canonical()[:, :2] @ np.full(2, 0.5 * RENDER / size - 0.5)
        to_grid /= GRID_STEP
        to_grid[:, 2] += PAD / GRID_STEP - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(moved - rest, to_grid, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        c, s = np.cos(pose.roll) * pose.scale, np.sin(pose.roll) * pose.scale
        turn = np.array([[c, -s], [s, c]], np.float32) * np.float32(size / FRAME)
        return np.asarray(seen @ turn.T, np.float32)


class SyntheticFaces:
    """Deterministic micro- and macro-expression clips of people who do not exist.

    `part` is one of "weights", "development", "benchmark", "demo", "tiny"; their people are disjoint, and people in macro clips never occur in micro clips.
    Raises `UnknownNameError` for another part.
    """

    name = "synthetic"
    labels = CLASSES
    task: Task = "classes"
    provides = ("macro-clips", "au-labels", "emotion-labels")

    def __init__(self, part: str = "benchmark") -> None:
        if part not in PARTS:
            near = difflib.get_close_matches(str(part), PARTS, cutoff=0.5)
            raise UnknownNameError("part of the synthetic faces", str(part), near, f"(parts: {', '.join(PARTS)})")
        self.part = part

    def __repr__(self) -> str:
        return f"SyntheticFaces(part={self.part!r})"

    @property
    def _part(self) -> Part:
        return PARTS[self.part]

    @cached_property
    def _scripts(self) -> dict[str, Script]:
        p = self._part
        scripts = [write(p.code, who, clip, "micro") for who in p.micro for clip in range(p.micro_clips)]
        scripts += [write(p.code, who, clip, "macro", p.macro_frames) for who in p.macro for clip in range(p.macro_clips)]
        return {f"{self.name}:s{s.identity:04d}/c{s.clip:02d}": s for s in scripts}

    def _script(self, sample_id: str) -> Script:
        try:
            return self._scripts[sample_id]
        except (KeyError, TypeError):
            near = difflib.get_close_matches(str(sample_id), self._scripts, cutoff=0.8)
            raise UnknownNameError(f"clip in the synthetic faces' part '{self.part}'", str(sample_id), near, "(its table lists all)") from None

    def table(self) -> pd.DataFrame:
        """One row a clip, micro first, in a fixed order.

        Columns: sample_id, dataset, subject, clip_id, kind ("micro" or "macro"), start, peak, stop (annotated, with an annotator's error: frames from 0),
        fps, frames (how many), emotion, aus ("6+12"), corrections (always empty).
        """
        import pandas as pd

        rows = [
            {
                "sample_id": sample_id, "dataset": self.name, "subject": sample_id.split("/")[0], "clip_id": sample_id.split("/")[1], "kind": s.kind,
                "start": s.timing.start, "peak": s.timing.peak, "stop": s.timing.stop, "fps": float(s.timing.fps), "frames": s.timing.frames,
                "emotion": s.emotion, "aus": "+".join(str(a) for a in sorted(s.combo)), "corrections": "",
            }
            for sample_id, s in self._scripts.items()
        ]  # fmt: skip
        return pd.DataFrame(rows)

    @cached_property
    def manifest_hash(self) -> str:
        """sha256 (hex) over generator version, part and table; nothing is rendered for it."""
        text = f"{self.name} {GENERATOR_VERSION} {self.part}\n" + self.table().to_csv(index=False, lineterminator="\n")
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def source_hash(self) -> str:
        """The manifest's: what is rendered follows from it."""
        return self.manifest_hash

    @property
    def sources(self) -> tuple[SyntheticFaces]:
        """Itself: every part renders its own clips."""
        return (self,)

    def lengths(self) -> dict[str, int]:
        """sample id -> frames, in the table's order."""
        return {sample_id: script.timing.frames for sample_id, script in self._scripts.items()}

    def crops(self, sample_id: str, preprocessing: Preprocessing) -> np.ndarray:
        """Frames as the clip store wants them: rendered faces are aligned by birth, whatever the aligner."""
        return self.frames(sample_id, preprocessing.size)

    def frames(self, sample_id: str, size: int = FRAME, only: Sequence[int] | None = None) -> np.ndarray:
        """uint8 [T, size, size, 3] RGB, aligned; `only` renders just these frame numbers, with the same pixels.

        Raises `UnknownNameError` for a clip that is not in this part, `DataError` for a size outside 16 to 256 or a frame the clip does not have.
        """
        return self.ablated(sample_id, size=size, only=only)

    def ablated(
        self, sample_id: str, *, motion: bool = True, head: bool = True, noise: bool = True, size: int = FRAME, only: Sequence[int] | None = None
    ) -> np.ndarray:
        """The same script with causes of change taken away.

        `motion` is all the face does (expression, habits, blinks, gaze), `head` is drift of head and light, `noise` the sensor's.
        What is off is frozen, not removed: `head=False` keeps the crop error of the first frame. Shape and errors as `frames`.
        """
        script = self._script(sample_id)
        if not isinstance(size, int) or not SMALLEST <= size <= RENDER:
            raise DataError(f"size {size} px cannot be rendered; choose a whole number from {SMALLEST} to {RENDER}")
        wanted = range(script.timing.frames) if only is None else only
        if any(not 0 <= frame < script.timing.frames for frame in wanted):
            raise DataError(f"clip '{sample_id}' has frames 0 to {script.timing.frames - 1}; asked for {list(wanted)}")
        play, code = perform(script, self._part.code), self._part.code
        images = np.empty((len(wanted), size, size, 3), np.uint8)
        for image, frame in zip(images, wanted, strict=True):
            sensor = script.seed(code, STREAM_SENSOR, int(frame)) if noise else None
            image[:] = camera(play.render(frame / script.timing.fps, motion=motion, head=head), size, sensor)
        return images

    def truth(self, sample_id: str) -> ClipTruth:
        """What really moves in a clip, and when. Raises `UnknownNameError` for a clip that is not in this part."""
        script = self._script(sample_id)
        play, timing = perform(script, self._part.code), script.timing
        times = np.arange(timing.frames) / timing.fps
        expression, tonic, habit = (np.stack([track(float(t)) for t in times]).astype(np.float32) for track in (play.expression, play.tonic, play.habit))
        return ClipTruth(round(timing.lead * timing.fps), round(timing.apex * timing.fps), expression, tonic, habit, play)
