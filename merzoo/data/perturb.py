"""Harder versions of a clip, for robustness: noise, occlusion, compression, a slower camera, an annotator who sets onset and apex elsewhere.

The kinds, and the levels that are tried by default, are our choice. A clip's perturbed version depends on its sample id, the kind and the level alone, so every
model, seed and order of clips meets the same pixels.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from merzoo.errors import DataError, UnknownNameError, UsageError
from merzoo.interval import Interval
from merzoo.text import plain

Clip = tuple[np.ndarray, Interval]
ALL = "all"


@dataclass(frozen=True)
class Perturbation:
    """One kind at one level, as in "pixel-noise=10". Raises `UnknownNameError` for a kind that is not in `KINDS`, `UsageError` for a level it does not have."""

    kind: str
    level: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownNameError("perturbation", plain(self.kind, 60), difflib.get_close_matches(self.kind, KINDS), f"(kinds: {', '.join(KINDS)})")
        how = KINDS[self.kind]
        fine = isinstance(self.level, int | float) and how.least <= self.level <= how.most and (not how.whole or self.level % 1 == 0)
        if not fine:
            what = "a whole number" if how.whole else "a number"
            raise UsageError(f"perturbation {self.kind}: level {plain(self.level, 40)} is not {what} from {how.least:g} to {how.most:g} ({how.unit})")

    @classmethod
    def parse(cls, text: str) -> Perturbation:
        """From "KIND=LEVEL". Raises `UsageError` for other text, and as the class."""
        kind, equals, level = text.partition("=")
        try:
            return cls(kind.strip(), float(level) if equals else math.nan)
        except ValueError:
            raise UsageError(f"perturbation {plain(text, 60)!r} is not KIND=LEVEL; give for instance pixel-noise=10") from None

    def __str__(self) -> str:
        return f"{self.kind}={self.level:g}"

    def rng(self, sample_id: str) -> np.random.Generator:
        """The random numbers of one clip."""
        digest = hashlib.sha256(f"{self}\n{sample_id}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest, "big"))

    def apply(self, frames: np.ndarray, interval: Interval, rng: np.random.Generator) -> Clip:
        """New frames uint8 [T', H, W, 3] and the interval among them, from frames uint8 [T, H, W, 3], which stay as they are.

        T' is T for every kind but frame-rate; the interval keeps 0 <= start <= peak <= stop < T'. Raises `DataError` for other arrays, or an interval beyond
        the last frame.
        """
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
            raise DataError(f"{self}: frames are {frames.dtype} {list(frames.shape)}; give uint8 [T, H, W, 3]")
        if interval.stop >= len(frames):
            raise DataError(f"{self}: interval {interval.start}, {interval.peak}, {interval.stop} ends after the last of {len(frames)} frames")
        return KINDS[self.kind].alter(frames, interval, self.level, rng)


def asked(texts: Iterable[str]) -> tuple[Perturbation, ...]:
    """What is meant by a list of "KIND=LEVEL", "KIND" (at its default levels) and "all" (every kind at its default levels); each once, in order.

    Raises `UnknownNameError` and `UsageError` as `Perturbation`.
    """
    found: dict[Perturbation, None] = {}
    for text in texts:
        kinds = list(KINDS) if text == ALL else [text] if text in KINDS else []
        found |= dict.fromkeys([Perturbation(kind, level) for kind in kinds for level in KINDS[kind].levels] or [Perturbation.parse(text)])
    return tuple(found)


@dataclass(frozen=True)
class Kind:
    """One way of making clips harder: what its level counts, the levels tried by default, and the range of levels there is."""

    summary: str
    unit: str
    levels: tuple[float, ...]
    least: float
    most: float
    alter: Callable[[np.ndarray, Interval, float, np.random.Generator], Clip]
    whole: bool = False


def _noise(frames: np.ndarray, interval: Interval, sigma: float, rng: np.random.Generator) -> Clip:
    """Independent in every pixel, channel and frame."""
    noisy = rng.standard_normal(frames.shape, dtype=np.float32) * np.float32(sigma) + frames
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), interval


def _jitter(frames: np.ndarray, interval: Interval, most: float, rng: np.random.Generator) -> Clip:
    """Onset and apex each by a whole number of frames, uniform in ±most. The apex stays behind the onset where it was, and the offset behind the apex."""
    last, reach = len(frames) - 1, int(most)
    gap = int(interval.peak > interval.start)
    by_start, by_peak = rng.integers(-reach, reach + 1, 2).tolist()
    start = min(max(interval.start + by_start, 0), last - gap)
    peak = min(max(interval.peak + by_peak, start + gap), last)
    return frames, Interval(start, peak, max(peak, interval.stop))


def _occlude(frames: np.ndarray, interval: Interval, share: float, rng: np.random.Generator) -> Clip:
    """A rectangle of one random colour at one random place, its sides in a ratio of at most 2 to 1 where that fits."""
    height, width = frames.shape[1:3]
    ratio = math.exp(rng.uniform(math.log(max(0.5, share)), math.log(min(2.0, 1 / share))))
    high, wide = max(1, round(height * math.sqrt(share / ratio))), max(1, round(width * math.sqrt(share * ratio)))
    top, left = int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1))
    covered = frames.copy()
    covered[:, top : top + high, left : left + wide] = rng.integers(0, 256, 3, dtype=np.uint8)
    return covered, interval


def _slow(frames: np.ndarray, interval: Interval, every: float, rng: np.random.Generator) -> Clip:
    """Every n-th frame from a random first one. Onset, apex and offset become the nearest frames kept; an apex that would fall on the onset's frame moves to
    the next, where there is one."""
    step = int(every)
    kept = np.arange(int(rng.integers(min(step, len(frames)))), len(frames), step)
    start, peak, stop = (int(np.abs(kept - at).argmin()) for at in (interval.start, interval.peak, interval.stop))
    if peak == start and interval.peak > interval.start:
        peak = min(start + 1, len(kept) - 1)
        start = max(0, peak - 1)
    return np.ascontiguousarray(frames[kept]), Interval(start, peak, max(peak, stop))


def _compress(frames: np.ndarray, interval: Interval, quality: float, rng: np.random.Generator) -> Clip:
    """Each frame through JPEG by itself; the bits depend on OpenCV's encoder."""
    import cv2

    written = (cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1] for frame in frames)
    return np.stack([np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1] for data in written]), interval


KINDS: dict[str, Kind] = {
    "pixel-noise": Kind("Gaussian noise in every pixel", "standard deviation in 1/255", (5, 10, 20), 0.01, 255, _noise),
    "jitter": Kind("onset and apex moved at random", "frames either way", (1, 2, 4), 1, 10_000, _jitter, whole=True),
    "occlusion": Kind("a flat rectangle over the face, at one place through the clip", "share of the crop", (0.1, 0.2, 0.4), 0.001, 1, _occlude),
    "frame-rate": Kind("only every n-th frame", "frames from one kept to the next", (2, 4), 2, 10_000, _slow, whole=True),
    "jpeg": Kind("each frame compressed", "quality, lower is harder", (90, 70, 50), 1, 100, _compress, whole=True),
}
