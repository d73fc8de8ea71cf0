"""Whether a measured call did its work: the checks that a figure must pass before it is believed."""

from __future__ import annotations

import time
from dataclasses import InitVar, dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from merzoo.benchmark.clock import Clock
from merzoo.benchmark.inputs import Inputs
from merzoo.benchmark.rules import TOLERANCE
from merzoo.benchmark.variants import Forward, Precision
from merzoo.interfaces import Batch

SAMPLES = 8  # that are compared, in as many batches as they need, and in two at least
SETTLE = 0.02  # seconds for work that was left running to come to light
ROUNDING = 1e-6  # of the outputs' size: what differs by less differs in its last bits
PAIRS = 5
FASTER = 2.0  # an equal input may not be answered faster by this


@dataclass
class Checks:
    """Batches whose fp32 answers are known, to be slipped in among the timed calls, and what came of it.

    reference: answers in fp32, eager, by another network than the one that is timed: what that has seen before it could recognise. It is waited for, so that
    one that is late is right all the same, and not kept.
    """

    inputs: Inputs
    reference: InitVar[Forward]
    clock: Clock
    batch: int
    faults: list[str] = field(default_factory=list)

    def __post_init__(self, reference: Forward) -> None:
        self.batches: list[Batch] = []
        self.expected: list[Tensor] = []
        self.given: dict[int, Tensor] = {}
        for _ in range(max(2, -(-SAMPLES // self.batch))):
            values = self.inputs.draw(self.batch)
            answer = reference(self.inputs.put(values))
            self.clock.synchronise()
            time.sleep(SETTLE)
            self.batches.append(values)
            self.expected.append(answer.detach().float().cpu().clone())

    def positions(self, calls: int, rng: np.random.Generator) -> dict[int, int]:
        """{number of a call: which batch it gets}; nobody can know them before."""
        chosen = rng.choice(calls, size=min(calls, len(self.batches)), replace=False)
        return {int(call): which for which, call in enumerate(chosen)}

    def put(self, which: int) -> Batch:
        """A batch whose answer is known, in the place of a fresh one."""
        return self.inputs.put(self.batches[which])

    def look(self, which: int, result: Any) -> None:
        """Keep what the call has given, now that the clock has stopped, and see whether it is still being written."""
        expected = self.expected[which]
        if type(result) is not Tensor:  # a class of its own could put off the work until it is looked at
            self.faults.append("the output is no plain tensor")
            return
        if result.shape != expected.shape:
            self.faults.append("the output has another shape than in fp32")
            return
        snapshot = result.detach().float().cpu().clone()
        self.given[which] = snapshot
        time.sleep(SETTLE)
        self.clock.synchronise()
        later = result.detach().float().cpu()
        if not torch.equal(snapshot, later) and not (snapshot.isnan() & later.isnan() | (snapshot == later)).all():
            self.faults.append("the work was not done when the clock stopped: the output changed afterwards")

    def record(self, precision: Precision) -> dict[str, Any] | None:
        """The field `check` of a result file: the error of all outputs looked at; None where none was."""
        seen = sorted(self.given)  # calls came in an order of chance
        if len(seen) < 2:
            if not self.faults:
                self.faults.append("too few calls were made to compare their outputs")
            return None
        error = lost(torch.cat([self.given[which] for which in seen]), torch.cat([self.expected[which] for which in seen]))
        tolerance = TOLERANCE[precision]
        if error is None:
            self.faults.append("every sample has the same output, so that a wrong one could not be told")
            return None
        if not error <= tolerance:
            self.faults.append(f"the output is not that of fp32: {error:.2g} of what tells samples apart is lost, {tolerance:g} is tolerated in {precision}")
        return {"error": error if np.isfinite(error) else None, "tolerance": tolerance, "ok": bool(error <= tolerance)}


def lost(given: Tensor, expected: Tensor) -> float | None:
    """‖given − expected‖ / ‖expected − its mean over samples‖ of outputs [B, C]: the share of what tells samples apart that is lost (our choice: beside the
    size of the outputs, a constant answer could look right). None where the samples do not differ."""
    given, expected = given.double(), expected.double()
    apart = expected - expected[:1]  # exactly 0 where a class has one logit for all, however large
    apart = apart - apart.mean(0)
    variation, size = float(apart.norm()), float(expected[:, apart.any(0)].norm())
    if not variation > ROUNDING * size:
        return None
    return float((given - expected).norm()) / variation


def cached(forward: Forward, inputs: Inputs, clock: Clock, batch: int) -> float:
    """How many times faster an input is answered that equals the one before: median over pairs of a fresh input and the same again, about 1 where nothing is
    kept. Where it is more than `FASTER`, it is measured again over four times as many pairs, since a busy machine may stall any call.

    Both are written into the same memory after the same work, so that the processor's caches are equally warm.
    """

    def ratio() -> float:
        values = inputs.draw(batch)
        first = inputs.put(values)
        took = clock.call(lambda: forward(first)).wall_us
        inputs.draw(batch)
        again = inputs.put(values)
        return took / clock.call(lambda: forward(again)).wall_us

    found = median(ratio() for _ in range(PAIRS))
    return found if found <= FASTER else median(ratio() for _ in range(4 * PAIRS))
