"""A stage is data, a loss and an optimiser; the engine owns the loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor

from merzoo.checks import check_number
from merzoo.data.clips import Clips
from merzoo.errors import UsageError
from merzoo.interfaces import Batch

if TYPE_CHECKING:
    from merzoo.recognizer import Recognizer

Scope = Literal["fold", "run"]
Kind = Literal["cosine", "exponential", "constant"]
Loss = Callable[["Recognizer", Batch, torch.Generator], tuple[Tensor, dict[str, Tensor]]]


def adamw(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """AdamW in one fused kernel, over groups of {"params", "lr", "weight_decay"}."""
    return torch.optim.AdamW(groups, fused=True)


class Batches(Protocol):
    """How a stage's batches are drawn: a pure function of seed and step, so that a stage can be resumed at any step with the same bits."""

    @property
    def clips(self) -> Sequence[Clips]:
        """Everything it draws from; the engine checks these against the test subjects."""

    def steps_per_epoch(self) -> int:
        """Steps in which every clip is seen about once."""

    def draw(self, seed: int, step: int, device: torch.device) -> Batch:
        """The batch of that step, on the device. It may be asked for in a thread, before its step: take no number from torch's global generators."""


@runtime_checkable
class DividedBatches(Batches, Protocol):
    """Batches that can be drawn in part, so that several processes share the work of a step (see `GradientStage.divisible`)."""

    def samples(self, step: int) -> int:
        """How many samples the batch of that step has."""

    def draw_part(self, seed: int, step: int, device: torch.device, part: slice) -> Batch:
        """These of its samples, as `draw` gives them: what is drawn for each is drawn for all and then picked from, but no frame of the others is read."""


@dataclass(frozen=True)
class ParameterGroup:
    """Trainable parameters below the module paths (`"backbone"`, `"backbone.action"`, `"head"`, …), with their learning rate and weight decay."""

    paths: tuple[str, ...]
    lr: float
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("lr", self.lr), ("weight_decay", self.weight_decay)):
            check_number(f"parameters below {', '.join(self.paths)}: {name}", value)


@dataclass(frozen=True)
class Schedule:
    """Factor on every learning rate: linear warm-up over `warmup` (a share of all steps), then `kind`.

    cosine: down to `final`; exponential: times `decay` an epoch; constant: 1.
    """

    kind: Kind = "cosine"
    warmup: float = 0.05
    final: float = 0.0
    decay: float = 1.0
    decay_epochs: int | None = None  # exponential decay stops after so many epochs

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UsageError(f"schedule: kind {self.kind!r} is none of {', '.join(get_args(Kind))}")
        if not 0 <= self.warmup <= 1:
            raise UsageError(f"schedule: warmup {self.warmup!r} is a share of all steps; give 0 to 1")

    def factor(self, step: int, total: int, steps_per_epoch: int) -> float:
        """The factor at `step` of `total` (our choice of formula: half cosine, or decay ** epoch)."""
        warm = max(1, round(self.warmup * total)) if self.warmup else 0
        if step < warm:
            return (step + 1) / warm
        if self.kind == "cosine":
            done = (step - warm) / max(1, total - warm)
            return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * done))
        if self.kind == "exponential":
            epoch = step // max(1, steps_per_epoch)
            return self.decay ** min(epoch, self.decay_epochs if self.decay_epochs is not None else epoch)
        return 1.0


@dataclass(frozen=True)
class GradientStage:
    """Training by gradients. Give either `epochs` or `steps`. Parameters in no group are frozen, and modules without any trained parameter stay in eval mode.

    scope "run" runs once for all folds, which is refused unless its subjects are disjoint from every test subject.
    divisible: the loss is a mean over the samples of a batch, to which each adds a number of its own that does not depend on the others: several processes
    may then take a share each. A contrastive loss is not, nor a mean over those that have a label. Its logs are averaged likewise.
    reset: module paths drawn anew at the start (a new head after a pretext).
    optimizer: makes the optimiser of torch from its groups of {"params", "lr", "weight_decay"}; its state must be tensors.
    """

    name: str
    batches: Batches
    loss: Loss
    groups: tuple[ParameterGroup, ...]
    epochs: int | None = None
    steps: int | None = None
    schedule: Schedule = field(default_factory=Schedule)
    optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer] = adamw
    clip_norm: float | None = 1.0
    scope: Scope = "fold"
    reset: tuple[str, ...] = ()
    divisible: bool = False

    def __post_init__(self) -> None:
        budget = self.epochs if self.steps is None else self.steps
        if (self.epochs is None) == (self.steps is None) or isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
            raise UsageError(f"stage '{self.name}': give either epochs or steps, at least 1, not epochs={self.epochs}, steps={self.steps}")

    @property
    def clips(self) -> Sequence[Clips]:
        """Everything the stage draws from."""
        return self.batches.clips

    def total_steps(self) -> int:
        """The budget in steps."""
        if self.steps is not None:
            return self.steps
        return (self.epochs or 0) * self.batches.steps_per_epoch()


@dataclass(frozen=True)
class FitStage:
    """Fitting without gradients: `fit(recognizer, clips)` writes buffers (an SVM's coefficients, class prototypes, statistics of the training part)."""

    name: str
    train: Clips
    fit: Callable[[Recognizer, Clips], None]
    scope: Scope = "fold"
    reset: tuple[str, ...] = ()

    @property
    def clips(self) -> Sequence[Clips]:
        """What it is fitted on."""
        return (self.train,)


Stage = GradientStage | FitStage
