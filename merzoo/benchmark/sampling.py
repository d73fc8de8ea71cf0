"""How many calls are timed, and when timing may begin."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from merzoo.checks import check_number

BLOCK = 10  # calls
LOOK_BACK = 3  # blocks
STEADY = 0.02  # largest distance of their medians, as a share of the smallest
WARM_UP_SHARE = 0.5  # of a measurement's limit
FEWEST = 3  # calls of a warm-up that is cut short


@dataclass(frozen=True)
class Limits:
    """How long one measurement may take.

    samples: how many are wanted; least: taken even when the time is up; seconds: of the timed calls with all that stands between them. The warm-up may take
    half as long again.
    """

    samples: int = 1_000
    least: int = 30
    seconds: float = 20.0

    def __post_init__(self) -> None:
        check_number("samples", self.samples, 1, whole=True)
        check_number("seconds", self.seconds, above=True)

    def fewer(self, samples: int, least: int) -> Limits:
        """The limits of calls that take longer, or whose spread matters less: at most so many samples, and so many at least."""
        most = min(self.samples, samples)
        return replace(self, samples=most, least=min(least, most))

    def within(self, seconds: float) -> Limits:
        """The limits with less time."""
        return replace(self, seconds=min(self.seconds, seconds))


@dataclass(frozen=True)
class WarmUp:
    """What went before the timed calls. call_seconds: how long one of the last ten took, with what stands between them: the first may load or compile."""

    calls: int
    seconds: float
    steady: bool
    call_seconds: float

    def record(self) -> dict[str, object]:
        """The field `warm_up` of a result file."""
        return {"calls": self.calls, "seconds": round(self.seconds, 3), "steady": self.steady}


def steady(medians: Sequence[float]) -> bool:
    """Whether the medians of the last three blocks of calls lie within 2 % of each other (our choice)."""
    last = medians[-LOOK_BACK:]
    return len(last) == LOOK_BACK and max(last) <= (1 + STEADY) * min(last)


class Warming:
    """A warm-up under way: ends when the times noted are `steady`, ten calls a block, or when the seconds are over (three calls are made in any case)."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._began = seconds, time.perf_counter()
        self._times: list[float] = []
        self._ended: list[float] = [self._began]
        self._medians: list[float] = []

    def note(self, time_us: float) -> None:
        """Take in the time of one more call."""
        self._times.append(time_us)
        self._ended.append(time.perf_counter())
        if len(self._times) % BLOCK == 0:
            self._medians.append(median(self._times[-BLOCK:]))

    def over(self) -> bool:
        """Whether timing may begin."""
        late = len(self._times) >= FEWEST and time.perf_counter() - self._began >= self._seconds
        return late or steady(self._medians)

    def done(self) -> WarmUp:
        """What it was."""
        last = self._ended[-min(BLOCK, len(self._times) - 1) - 1 :]  # the very first stands apart
        return WarmUp(len(self._times), time.perf_counter() - self._began, steady(self._medians), (last[-1] - last[0]) / max(1, len(last) - 1))


def warm_up(call: Callable[[], float], seconds: float) -> WarmUp:
    """Call, and note the times that come back, until the warm-up is over."""
    warming = Warming(seconds)
    while not warming.over():
        warming.note(call())
    return warming.done()


def planned(limits: Limits, call_seconds: float) -> int:
    """How many calls will fit into the limits if each takes so long."""
    return max(limits.least, min(limits.samples, int(limits.seconds / max(call_seconds, 1e-9))))
