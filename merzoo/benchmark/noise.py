"""Whether the machine was quiet: one fixed matrix product, timed between all measurements."""

from __future__ import annotations

from statistics import median

import torch

from merzoo.benchmark.clock import Clock
from merzoo.benchmark.statistics import rounded

SIDE = {"cpu": 384, "cuda": 4096}
CALLS, WARM_UP = 15, 5  # of a block; the first calls wake a device that has waited


class Noise:
    """A matrix product in fp32 that is the same from the first measurement to the last."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        side = SIDE[clock.device.type]
        self._a, self._b = (torch.ones(side, side, device=clock.device) for _ in range(2))

    def block(self) -> float:
        """Median of a block of calls in microseconds."""
        times = [self.clock.call(lambda: torch.mm(self._a, self._b)).wall_us for _ in range(WARM_UP + CALLS)]
        return rounded(median(times[WARM_UP:]))
