"""Meta-auxiliary training: episodes, and two levels of descent; or a few steps on the clips of a few-shot draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from merzoo.checks import check_flag, check_number
from merzoo.data.clips import Clips, IntervalJitter
from merzoo.errors import DataError, NeedsError, UsageError
from merzoo.interfaces import Batch, Strategy
from merzoo.recognizer import Recognizer
from merzoo.training.batches import Augmentation, LabelledBatches
from merzoo.training.data import TrainingData
from merzoo.training.stages import GradientStage, Loss, ParameterGroup, Schedule, Stage
from merzoo_lightmannet.alignment import TASK, macro_alignment
from merzoo_lightmannet.bilevel import bilevel_slopes, carrying
from merzoo_lightmannet.episodes import EpisodeBatches
from merzoo_lightmannet.objective import Objective

LEVELS = ("bi", "single")
EPOCHS = 200  # where neither epochs nor steps are given
REMEDY = "give a data set with macro clips of these emotions (--macro), or train the parts lightmannet+linear+supervised, which need none"


@dataclass(frozen=True)
class Adaptation:
    """The few-shot mode: `steps` steps of plain gradient descent at `lr` on all clips of the draw, as an inner step of the training takes them."""

    steps: int = 5
    lr: float = 0.01

    def __post_init__(self) -> None:
        check_number("meta-auxiliary: adaptation.steps", self.steps, 1, whole=True)
        check_number("meta-auxiliary: adaptation.lr", self.lr)


class MetaAuxiliary(Strategy):
    """Stage "episodes" on micro and macro clips; or stage "adapt" alone, where weights of other people are given few labelled clips.

    level "bi": `inner_steps` steps at `alpha` on L_pri + λ L_aux of the support, then one of Adam at `beta` on the mean L_pri of the queries of `tasks` tasks,
    through the inner steps; `first_order` takes their gradients for constants. level "single": Adam on L_pri + λ L_aux of the same samples, no inner step.
    aux_weight: λ; 0 is plain MAML, and with level "single" the primary task alone; no macro clip is then looked at, but the data must have some all the same,
    since what a strategy needs is told by its name.
    support, query, macro_clips: clips a class of S, Q and M. gamma: of the focal loss. Budget: `steps`, or else `epochs` of about as many clips as there are.
    augmentation, jitter, schedule, adaptation: fields of `Augmentation`, `IntervalJitter`, `Schedule`, `Adaptation`; interval_jitter False: no jitter.
    Raises `UsageError` for values that cannot be.
    """

    def __init__(
        self,
        level: str = "bi",
        inner_steps: int = 1,
        alpha: float = 0.01,
        beta: float = 1e-3,
        aux_weight: float = 0.5,
        first_order: bool = False,
        tasks: int = 4,
        support: int = 5,
        query: int = 5,
        macro_clips: int = 5,
        gamma: float = 2.0,
        weight_decay: float = 1e-4,
        epochs: int | None = None,
        steps: int | None = None,
        augmentation: Mapping[str, Any] | None = None,
        jitter: Mapping[str, Any] | None = None,
        interval_jitter: bool = True,
        schedule: Mapping[str, Any] | None = None,
        adaptation: Mapping[str, Any] | None = None,
    ) -> None:
        if level not in LEVELS:
            raise UsageError(f"meta-auxiliary: level {level!r} must be one of {', '.join(LEVELS)}")
        check_number("meta-auxiliary: inner_steps", inner_steps, 1, whole=True)
        if inner_steps > 5:
            raise UsageError(f"meta-auxiliary: inner_steps {inner_steps!r} must be a whole number from 1 to 5")
        for name, value in (("alpha", alpha), ("aux_weight", aux_weight), ("gamma", gamma), ("weight_decay", weight_decay)):
            check_number(f"meta-auxiliary: {name}", value)
        check_number("meta-auxiliary: beta", beta, above=True)
        if epochs is not None and steps is not None:
            raise UsageError(f"meta-auxiliary: epochs {epochs!r} and steps {steps!r} are both given; set one of them to null")
        epochs = EPOCHS if epochs is None and steps is None else epochs
        for name, budget in (("epochs", 1 if epochs is None else epochs), ("steps", 1 if steps is None else steps)):
            check_number(f"meta-auxiliary: {name}", budget, 1, whole=True)
        for name, flag in (("first_order", first_order), ("interval_jitter", interval_jitter)):
            check_flag(f"meta-auxiliary: {name}", flag)
        if gamma not in (0, 1) and gamma < 2:
            raise UsageError(f"meta-auxiliary: gamma {gamma!r} must be 0, 1 or at least 2, or the focal loss has no second derivative where a clip is certain")
        self.level, self.inner_steps, self.alpha, self.beta, self.aux_weight = level, inner_steps, alpha, beta, aux_weight
        self.first_order, self.gamma, self.weight_decay = first_order, gamma, weight_decay
        self.sizes = {"tasks": tasks, "support": support, "query": query, "macro_clips": macro_clips}
        self.epochs, self.steps = epochs, steps
        self.augmentation = Augmentation(**(augmentation or {}))
        self.jitter = IntervalJitter(**(jitter or {})) if interval_jitter else None
        self.schedule = Schedule(**(schedule or {}))
        self.adaptation = Adaptation(**{"lr": alpha, **(adaptation or {})})

    def stages(self, recognizer: Recognizer, data: TrainingData) -> Sequence[Stage]:
        """One gradient stage, "episodes" or "adapt".

        Raises `NeedsError` where there is neither a macro clip nor a beginning, or no alignment task; `DataError` where no macro clip shows an emotion of the
        labels, or one person alone has labelled clips; `UsageError` for other auxiliary tasks, which it would leave untrained.
        """
        macro_alignment(recognizer)
        if others := [name for name in recognizer.auxiliary if name != TASK]:
            raise UsageError(f"strategy 'meta-auxiliary' trains {TASK} alone; take the auxiliary task '{others[0]}' out, or use another strategy")
        if data.begun and data.narrowed:
            return [self.adapting(recognizer, data)]
        return [self.training(recognizer, data)]

    def training(self, recognizer: Recognizer, data: TrainingData) -> GradientStage:
        """The stage on episodes. Raises like `stages`."""
        macro = self._macro(data) if self.aux_weight else None
        if self.level == "bi" and len(data.micro.subjects) == 1:
            who = f"{len(data.micro)} labelled clips, all of {min(data.micro.subjects)}"
            raise DataError(f"meta-auxiliary: support and query must be other people, and there are {who}; give data of more people, or set level=single")
        batches = EpisodeBatches(
            data.micro,
            macro,
            recognizer.backbone.inputs,
            data.views,
            **self.sizes,
            augmentation=self.augmentation,
            jitter=self.jitter,
            shuffled=macro_alignment(recognizer).shuffle_macro_labels,
        )
        paths = ("backbone", "head", *((f"auxiliary.{TASK}",) if macro is not None else ()))
        group = ParameterGroup(paths, self.beta, self.weight_decay)
        loss: Loss = self.bilevel_loss if self.level == "bi" else self.single_loss
        return GradientStage("episodes", batches, loss, (group,), self.epochs, self.steps, self.schedule, adam)

    def adapting(self, recognizer: Recognizer, data: TrainingData) -> GradientStage:
        """The stage of the few-shot mode: L_pri of all its clips at once, constant rate, no momentum, no macro clips."""
        everything = LabelledBatches(data.micro, recognizer.backbone.inputs, data.views, max(1, len(data.micro)), self.augmentation, self.jitter)
        group = ParameterGroup(("backbone", "head"), self.adaptation.lr)
        constant = Schedule("constant", warmup=0.0)
        return GradientStage(
            "adapt", everything, self.primary_loss, (group,), steps=self.adaptation.steps, schedule=constant, optimizer=torch.optim.SGD, clip_norm=None
        )

    def _macro(self, data: TrainingData) -> Clips | None:
        """The macro clips whose emotion is one of the labels; None where weights are gone on from that have met some already, and there are none here."""
        if not len(data.macro):
            if data.begun:
                return None
            raise NeedsError("strategy 'meta-auxiliary'", ["macro-clips"])
        named = data.macro.where(data.macro.labels >= 0)
        if not len(named):
            raise DataError(f"no macro clip shows one of {', '.join(data.labels)}, so nothing can be aligned; {REMEDY}")
        return named

    def bilevel_loss(self, recognizer: Recognizer, batch: Batch, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Level 2 of a batch of episodes; its gradient is worked out here, one task after the other, and handed on with the value."""
        objective = Objective(recognizer, self.aux_weight, self.gamma)
        params = objective.parameters()
        tasks = [(lambda p, t=task: objective.level_one(p, t), lambda p, t=task: objective.level_two(p, t)) for task in batch["tasks"]]
        value, slopes = bilevel_slopes(params, tasks, alpha=self.alpha, steps=self.inner_steps, first_order=self.first_order)
        return carrying(value, params, slopes), {}

    def single_loss(self, recognizer: Recognizer, batch: Batch, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """L_pri + λ L_aux on all samples of the same episodes, mean over tasks, without an inner step."""
        objective = Objective(recognizer, self.aux_weight, self.gamma)
        params = objective.parameters()
        found = [objective.single_level(params, task) for task in batch["tasks"]]
        logs = {TASK: torch.stack([aux.detach() for _, aux in found if aux is not None]).mean()} if found[0][1] is not None else {}
        return torch.stack([loss for loss, _ in found]).mean(), logs

    def primary_loss(self, recognizer: Recognizer, batch: Batch, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """L_pri of a labelled batch, and the share of its clips that are right."""
        objective = Objective(recognizer, 0.0, self.gamma)
        return objective.primary(objective.parameters(), batch), {}


def adam(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Adam (weight decay as an L2 penalty) in one fused kernel, over groups of {"params", "lr", "weight_decay"}."""
    return torch.optim.Adam(groups, fused=True)
