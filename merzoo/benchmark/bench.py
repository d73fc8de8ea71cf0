"""What all models of a run are measured with: the machine, its clock, its roofline, the interleaved matrix product, the limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from merzoo.benchmark.arithmetic import roofline
from merzoo.benchmark.clock import Clock
from merzoo.benchmark.energy import Meter
from merzoo.benchmark.noise import Noise
from merzoo.benchmark.sampling import Limits
from merzoo.training.machine import Machine


@dataclass
class Bench:
    """A machine to measure on. limits: of the next measurement. max_batch: where a sweep over batch sizes ends at the latest."""

    machine: Machine
    limits: Limits = field(default_factory=Limits)
    max_batch: int = 1024

    @cached_property
    def clock(self) -> Clock:
        """The clock of the device."""
        return Clock(self.machine.device)

    @property
    def device(self) -> torch.device:
        """Where networks run."""
        return self.clock.device

    @cached_property
    def noise(self) -> Noise:
        """The matrix product that is timed between measurements."""
        return Noise(self.clock)

    @cached_property
    def roofline(self) -> dict[str, Any]:
        """What the machine does at best, measured when first asked for."""
        return roofline(self.clock)

    @cached_property
    def meter(self) -> Meter | None:
        """The device's energy counter, where it has one."""
        return Meter.of(self.device)

    @cached_property
    def rng(self) -> np.random.Generator:
        """Chance that nobody can know before: no seed."""
        return np.random.default_rng()
