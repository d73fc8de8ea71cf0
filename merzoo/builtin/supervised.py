"""Supervised training on labelled clips, and the strategy of models that are fitted instead of trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from merzoo.data.clips import IntervalJitter
from merzoo.errors import UsageError
from merzoo.interfaces import Batch, Strategy
from merzoo.making import make
from merzoo.recognizer import Recognizer
from merzoo.training.batches import Augmentation, LabelledBatches
from merzoo.training.data import TrainingData
from merzoo.training.stages import FitStage, GradientStage, ParameterGroup, Schedule, Stage


class Supervised(Strategy):
    """Cross-entropy on labelled clips, AdamW, one stage for all parameters. Where a clip may carry several labels, binary cross-entropy of each.

    backbone_lr defaults to lr. augmentation, jitter and schedule take the fields of `Augmentation`, `IntervalJitter` and `Schedule`; interval_jitter False
    turns the jitter off. Auxiliary tasks, where the model has any, add their losses with weight `auxiliary_weight`.
    """

    def __init__(
        self,
        epochs: int = 50,
        batch_size: int = 32,
        lr: float = 1e-3,
        backbone_lr: float | None = None,
        weight_decay: float = 0.05,
        label_smoothing: float = 0.0,
        auxiliary_weight: float = 1.0,
        augmentation: dict[str, Any] | None = None,
        jitter: dict[str, Any] | None = None,
        schedule: dict[str, Any] | None = None,
        interval_jitter: bool = True,
    ) -> None:
        self.epochs, self.batch_size = epochs, batch_size
        self.lr, self.backbone_lr, self.weight_decay = lr, lr if backbone_lr is None else backbone_lr, weight_decay
        self.label_smoothing, self.auxiliary_weight = label_smoothing, auxiliary_weight
        if not 0 <= label_smoothing <= 1:
            raise UsageError(f"supervised training: label_smoothing {label_smoothing!r} is a share; give 0 to 1")
        self.augmentation: Augmentation = make(Augmentation, "augmentation", augmentation or {})
        self.jitter: IntervalJitter | None = make(IntervalJitter, "interval jitter", jitter or {}) if interval_jitter else None
        self.schedule: Schedule = make(Schedule, "schedule", schedule or {})

    def stages(self, recognizer: Recognizer, data: TrainingData) -> Sequence[Stage]:
        """One gradient stage, "supervised"."""
        return [self.stage(recognizer, data)]

    def stage(self, recognizer: Recognizer, data: TrainingData, name: str = "supervised", reset: tuple[str, ...] = ()) -> GradientStage:
        """The stage itself, for strategies that end with it."""
        inputs, views = dict(recognizer.backbone.inputs), dict(data.views)
        side = max(shape[-1] for shape in inputs.values())
        targets: dict[str, Tensor] = {}
        if self.auxiliary_weight:
            for task in recognizer.auxiliary.values():
                targets |= task.targets(data.micro)
                inputs.update({target: (side, side) for target in task.views if target not in inputs})
                views.update({target: (view,) for target, view in task.views.items() if target not in views})
        batches = LabelledBatches(data.micro, inputs, views, self.batch_size, self.augmentation, self.jitter, targets)
        groups = [ParameterGroup(("backbone",), self.backbone_lr, self.weight_decay), ParameterGroup(("head",), self.lr, self.weight_decay)]
        if recognizer.auxiliary and self.auxiliary_weight:
            groups.append(ParameterGroup(("auxiliary",), self.lr, self.weight_decay))
        # Cross-entropy is a mean over clips; an auxiliary task may well take one over those that have its label, and another's loss may be anything.
        plain = not (recognizer.auxiliary and self.auxiliary_weight) and type(self).loss is Supervised.loss
        return GradientStage(name, batches, self.loss, tuple(groups), epochs=self.epochs, schedule=self.schedule, reset=reset, divisible=plain)

    def loss(self, recognizer: Recognizer, batch: Batch, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy, plus the auxiliary losses. batch["label"]: int64 [B], or float [B, C] of several labels a clip, each then smoothed towards one half
        (our choice); "accuracy" is then the share of right answers among all labels of all clips."""
        features = recognizer.backbone(batch)
        logits = recognizer.head(features)
        label = batch["label"]
        if label.ndim == 2:
            smooth = label * (1 - self.label_smoothing) + self.label_smoothing / 2
            loss, right = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), smooth), (logits > 0) == (label > 0.5)
        else:
            loss = torch.nn.functional.cross_entropy(logits.float(), label, label_smoothing=self.label_smoothing)
            right = logits.argmax(1) == label
        logs = {"cross_entropy": loss.detach(), "accuracy": right.float().mean()}
        if self.auxiliary_weight:
            for name, task in recognizer.auxiliary.items():
                extra = task.loss(features, batch)
                loss, logs[name] = loss + self.auxiliary_weight * extra, extra.detach()
        return loss, logs


class FitOnly(Strategy):
    """One stage that calls the head's own `fit(recognizer, clips)`: for heads that are fitted, not trained."""

    def stages(self, recognizer: Recognizer, data: TrainingData) -> Sequence[Stage]:
        """One fit stage, "fit"."""
        return [FitStage("fit", data.micro, recognizer.head.fit)]  # type: ignore[arg-type]
