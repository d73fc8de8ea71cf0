"""One call, timed: wall time around it with the device waited for on both sides, and the device's own account beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from merzoo.benchmark.statistics import rounded


class Timed(NamedTuple):
    """A call's result, its wall time and its time by CUDA events (None on a CPU), both in microseconds."""

    result: Any
    wall_us: float
    device_us: float | None


class Clock:
    """Times calls on a device ("cpu", "cuda", "cuda:1").

    On a GPU a call only queues work, so the clock starts when the device is idle and stops when it is idle again, every stream of it included. The events
    are recorded around the call: what they say is what the device saw, the gaps between its kernels included.
    """

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.on_gpu = self.device.type == "cuda"
        if self.on_gpu:
            self._start, self._stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def synchronise(self) -> None:
        """Wait until the device is idle."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def now(self) -> float:
        """Seconds, once the device is idle."""
        self.synchronise()
        return time.perf_counter()

    def call(self, run: Callable[[], Any]) -> Timed:
        """Call `run` and say how long it took."""
        if not self.on_gpu:
            began = time.perf_counter()
            result = run()
            return Timed(result, rounded(1e6 * (time.perf_counter() - began)), None)
        torch.cuda.synchronize(self.device)
        with torch.cuda.device(self.device):
            began = time.perf_counter()
            self._start.record()
            result = run()
            self._stop.record()
            torch.cuda.synchronize(self.device)
            wall = time.perf_counter() - began
        return Timed(result, rounded(1e6 * wall), rounded(1e3 * self._start.elapsed_time(self._stop)))
