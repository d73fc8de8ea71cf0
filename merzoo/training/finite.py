"""Losses and gradients that are not finite: noticed at the step they come from, and told with the clips of that step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from merzoo.text import plain
from merzoo.training.stages import GradientStage

SHOWN = 5  # clips of a bad batch that are named


class NotFiniteError(Exception):
    """The first step that went wrong, and what is not finite; the engine tells it as a `TrainingError`."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(step, what)
        self.step, self.what = step, what


class Lookout:
    """Notes the first step at which the loss, or the norm of the gradients, is not finite.

    On a CPU `note` raises at once, before the optimiser steps. A GPU would have to be waited for, so there the step is kept on the device and `check` tells
    of it, wherever its numbers are read anyway.
    at_once: which of the two it does.
    """

    def __init__(self, device: torch.device) -> None:
        self.at_once = device.type == "cpu"
        self._first = torch.full((3,), -1.0, device=device)  # step, loss, norm

    def note(self, step: int, loss: Tensor, norm: Tensor) -> None:
        """Take in one step. Raises `NotFiniteError` on a CPU."""
        loss, norm = loss.detach().float(), norm.float()
        now = torch.stack([torch.full_like(loss, step), loss, norm])
        self._first = torch.where((self._first[0] < 0) & ~now.isfinite().all(), now, self._first)
        if self.at_once:
            self.check()

    def check(self) -> None:
        """Raise `NotFiniteError` where a step so far was not finite."""
        step, loss, _ = self._first.tolist()
        if step >= 0:
            bad_loss = not math.isfinite(loss)
            raise NotFiniteError(int(step), f"the loss is {loss}" if bad_loss else f"a gradient is not finite, though the loss is {loss:.4g}")


def trained_by(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """All parameters of an optimiser."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def check_parameters(optimizer: torch.optim.Optimizer, step: int) -> None:
    """Raise `NotFiniteError` where the optimiser, though loss and gradients were finite until this step, left a parameter that is not; waits for a GPU."""
    if not all(bool(p.isfinite().all()) for p in trained_by(optimizer)):
        raise NotFiniteError(step, "the optimiser left a parameter that is not finite")


def clips_of(stage: GradientStage, seed: int, step: int, device: torch.device) -> list[str]:
    """Sample ids of the clips that the batch of a step is made of, told by drawing it again; the account of drawn clips is left as it was."""
    sources = {id(clips.data): clips.data for clips in stage.clips}.values()
    before = [set(data.drawn) for data in sources]
    for data in sources:
        data.drawn.clear()
    getattr(stage.batches, "whole", stage.batches).draw(seed, step, device)  # of a process's share: all of the batch
    found = [str(sample) for data in sources for sample in data.table["sample_id"].to_numpy()[sorted(data.drawn)]]
    for data, drawn in zip(sources, before, strict=True):
        data.drawn.update(drawn)
    return found


def told(stage: GradientStage, seed: int, bad: NotFiniteError, device: torch.device, kept: str) -> str:
    """One line: stage, step, what is not finite, the clips of that step, where the last good state lies, and the remedy."""
    clips = clips_of(stage, seed, bad.step, device)
    named = ", ".join(plain(sample, 80) for sample in clips[:SHOWN]) + (f" and {len(clips) - SHOWN} more" if len(clips) > SHOWN else "")
    where = f"stage '{stage.name}', step {bad.step} of {stage.total_steps()}"
    return f"{where}: {bad.what}; its clips: {named}; {kept}; lower the learning rate or use --precision fp32"
