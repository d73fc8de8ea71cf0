"""Energy of a call, from a GPU's own meter."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

import torch

SECONDS = 1.0  # of calls without a pause: the meter moves ten times a second or so


class Meter:
    """The energy counter of one GPU, through NVML (the extra `gpu`)."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle

    @classmethod
    def of(cls, device: torch.device) -> Meter | None:
        """The meter of a device; None for a CPU, without pynvml, and for a GPU that has none. Found by its UUID, since NVML and CUDA count GPUs differently."""
        if device.type != "cuda":
            return None
        try:
            nvml = importlib.import_module("pynvml")
            nvml.nvmlInit()
            meter = cls(nvml, nvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}"))
            meter.joules()
        except Exception:  # absent library, driver or counter: each has errors of its own, and none is a reason not to measure time
            return None
        return meter

    def joules(self) -> float:
        """What the GPU has used since its driver was loaded."""
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1e3

    def of_call(self, run: Callable[[], object], synchronise: Callable[[], None], seconds: float = SECONDS) -> float:
        """Joules of one call: of as many as fit into the seconds, one after the other, divided by their number; the idle GPU's share is in it."""
        synchronise()
        began, before, calls = time.perf_counter(), self.joules(), 0
        while time.perf_counter() - began < seconds:
            run()
            calls += 1
            synchronise()
        return (self.joules() - before) / calls
