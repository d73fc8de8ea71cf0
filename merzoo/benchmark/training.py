"""Scenario `train-step`: the engine's own steps, stage by stage."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from torch import Tensor

from merzoo.benchmark.clips import labels, training_data
from merzoo.benchmark.clock import Clock
from merzoo.benchmark.measurement import Measurement, measurement, skip
from merzoo.benchmark.sampling import WARM_UP_SHARE, Limits, Warming, WarmUp
from merzoo.benchmark.statistics import rounded
from merzoo.benchmark.subject import SEED, Subject
from merzoo.benchmark.variants import Precision, Variant, flags
from merzoo.recognizer import Recognizer, assemble
from merzoo.training.engine import run_stages
from merzoo.training.stages import GradientStage

FEWER = (100, 5)  # steps: at most, at least
ENDLESS = 1_000_000  # steps of a stage that ends when enough were timed
COPIES = 8  # of each clip: the 16 that there are would make smaller batches than a paper's
WORDS = ("fp32", "bf16")  # what the engine computes in


def train_step(subject: Subject, precision: Precision) -> None:
    """One measurement a gradient stage of the model's strategy, with batches of the size that it asks for, drawn within the step. What a stage before has
    learned is not there: a step costs the same without it."""
    variant = Variant(precision)
    if precision not in WORDS:
        subject.skipped.append(skip("train-step", f"training computes in {' or '.join(WORDS)}", variant))
        return
    torch.manual_seed(SEED)
    network = assemble(subject.spec, subject.preset, labels())
    stages = [stage for stage in network.strategy.stages(network, training_data(network, COPIES)) if isinstance(stage, GradientStage)]
    if not stages:
        subject.skipped.append(skip("train-step", "the model is fitted as a whole, without steps", variant))
    for stage in stages:
        subject.measurements.append(_measured(copy.deepcopy(network), stage, variant, subject))


class _Enough(Exception):
    """Ends a stage: raised from its loss, which the engine lets through."""


class _Timer:
    """Stands in for a stage's loss. Between two calls of it lies one whole step: backward pass, optimiser, log, and the drawing of the next batch."""

    def __init__(self, stage: GradientStage, clock: Clock, limits: Limits) -> None:
        self.stage, self.clock, self.limits = stage, clock, limits
        self.warming = Warming(WARM_UP_SHARE * limits.seconds)
        self.warm: WarmUp | None = None
        self.taken_us: list[float] = []
        self.clips: list[int] = []
        self._last: float | None = None
        self._ends = 0.0

    def __call__(self, recognizer: Recognizer, batch: Any, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        now = self.clock.now()
        if self._last is not None:
            self._note(rounded(1e6 * (now - self._last)), now)
        self.clips.append(clips_in(batch, recognizer.backbone.inputs))
        self._last = self.clock.now()
        return self.stage.loss(recognizer, batch, rng)

    def _note(self, time_us: float, now: float) -> None:
        if self.warm is None:
            self.warming.note(time_us)
            if self.warming.over():
                self.warm, self._ends = self.warming.done(), now + self.limits.seconds
            return
        self.taken_us.append(time_us)
        count = len(self.taken_us)
        if count >= self.limits.samples or (count >= self.limits.least and now >= self._ends):
            raise _Enough


def _measured(network: Recognizer, stage: GradientStage, variant: Variant, subject: Subject) -> Measurement:
    """One stage, in steps of the engine, until enough were timed."""
    bench = subject.bench
    timer = _Timer(stage, bench.clock, bench.limits.fewer(*FEWER))
    machine = replace(bench.machine, precision=variant.precision)
    network.to(bench.device)
    held = _start_counting(bench.device)
    with flags("fp32", bench.device), contextlib.suppress(_Enough):
        run_stages(network, [replace(stage, loss=timer, epochs=None, steps=ENDLESS)], seed=SEED, machine=machine)
    assert timer.warm is not None
    batch = round(median(timer.clips))  # sizes of an epoch's batches differ by one at most
    peak = None if held is None else torch.cuda.max_memory_allocated(bench.device) - held
    about = {"stage": stage.name}
    return measurement("train-step", timer.taken_us, timer.warm, variant=variant, batch=batch, about=about, items=batch, peak_bytes=peak)


def _start_counting(device: torch.device) -> int | None:
    """Bytes held now on a GPU, whose peak is counted from here on; None on a CPU."""
    if device.type != "cuda":
        return None
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def clips_in(batch: Any, inputs: Mapping[str, object]) -> int:
    """How many clips a batch shows: as many as the network's inputs hold, or other tensors where a stage shows it none of those; clips of batches nested inside
    it are added up."""
    if isinstance(batch, Mapping):
        tensors = {name: value for name, value in batch.items() if isinstance(value, Tensor) and value.ndim}
        own = [len(value) for name, value in tensors.items() if name in inputs] or [len(value) for value in tensors.values()]
        return max(own) if own else sum(clips_in(value, inputs) for value in batch.values())
    return sum(clips_in(value, inputs) for value in batch) if isinstance(batch, list | tuple) else 0
