"""The interval of an expression in a clip, in frame numbers."""

from __future__ import annotations

from dataclasses import dataclass

from merzoo.errors import DataError


@dataclass(frozen=True, slots=True)
class Interval:
    """Start, peak and stop of an expression, as frame numbers counted from 0.

    Micro-expression: onset, apex, offset. Macro-expression: first, peak and last frame. A pair (t, t+δ) of a pretext is `Interval(t, t + δ, t + δ)`.
    Raises `DataError` unless 0 <= start <= peak <= stop.
    """

    start: int
    peak: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.peak <= self.stop:
            raise DataError(f"interval {self.start}, {self.peak}, {self.stop} is not in order; give 0 <= start <= peak <= stop (onset, apex, offset)")
