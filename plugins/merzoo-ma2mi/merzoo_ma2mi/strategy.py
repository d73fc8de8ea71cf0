"""MA2MI: an auto-encoder, then the pretext, both on macro-expression clips; then fine-tuning on micro-expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from merzoo.builtin.supervised import Supervised
from merzoo.data.clips import Clips
from merzoo.errors import NeedsError, UsageError
from merzoo.interfaces import Batch, Strategy
from merzoo.interval import Interval
from merzoo.making import make
from merzoo.recognizer import Recognizer
from merzoo.specs import View
from merzoo.training.batches import Augmentation
from merzoo.training.data import TrainingData
from merzoo.training.stages import FitStage, GradientStage, Loss, ParameterGroup, Schedule, Scope, Stage
from merzoo_ma2mi.autoencoder import ConvCodec
from merzoo_ma2mi.future_frame import PAIR, FutureFrame
from merzoo_ma2mi.pairs import Delta, PairBatches

TASK = "future-frame"
STATISTICS_FRAMES = 1024  # at most, spread evenly over clips and time


@dataclass(frozen=True)
class Recipe:
    """Budget and optimiser of one stage: AdamW, cosine after a warm-up of 5 % of the steps."""

    steps: int
    batch_size: int
    lr: float
    weight_decay: float = 0.05
    augmentation: Mapping[str, Any] = field(default_factory=dict)
    schedule: Mapping[str, Any] = field(default_factory=dict)


class MA2MI(Strategy):
    """Stages "autoencoder", "latent-statistics", "pretext" (macro clips) and "fine-tune" (micro clips, new head).

    autoencoder, pretext: fields of `Recipe`; delta: fields of `Delta`; fine_tuning: options of the strategy `supervised`.
    The three stages on macro clips run once for all folds where their subjects are never tested, else in every fold. The auto-encoder is left out
    where the target is pixels. Where there are no macro clips, but weights to go on from, these are fine-tuned (our choice).
    """

    def __init__(
        self,
        autoencoder: Mapping[str, Any] | None = None,
        pretext: Mapping[str, Any] | None = None,
        delta: Mapping[str, Any] | None = None,
        fine_tuning: Mapping[str, Any] | None = None,
    ) -> None:
        self.autoencoder: Recipe = _made(Recipe, "autoencoder", {"steps": 10_000, "batch_size": 64, "lr": 1e-3, "weight_decay": 0.0}, autoencoder)
        self.pretext: Recipe = _made(Recipe, "pretext", {"steps": 20_000, "batch_size": 128, "lr": 5e-4}, pretext)
        self.delta: Delta = _made(Delta, "delta", {}, delta)
        tuning = {"epochs": 50, "lr": 8e-4, "backbone_lr": 1e-4, "auxiliary_weight": 0.0}
        self.fine_tuning: Supervised = _made(Supervised, "fine_tuning", tuning, fine_tuning)
        if self.fine_tuning.auxiliary_weight:
            raise UsageError("strategy 'ma2mi': fine_tuning takes no auxiliary_weight, the pretext is over by then; leave it out")

    def stages(self, recognizer: Recognizer, data: TrainingData) -> Sequence[Stage]:
        """The stages. Raises `NeedsError` where there is neither a macro clip nor a beginning, or no future-frame task."""
        fine_tuning = self.fine_tuning.stage(recognizer, data, "fine-tune", reset=("head",))
        if data.begun and not len(data.macro):  # the weights have been pre-trained already
            return [fine_tuning]
        return [*self.pretraining(recognizer, data), fine_tuning]

    def pretraining(self, recognizer: Recognizer, data: TrainingData) -> list[Stage]:
        """The stages on macro clips. Raises like `stages`."""
        task, scope = future_frame(recognizer), data.scope_for(data.macro)
        if not len(data.macro):
            raise NeedsError("strategy 'ma2mi'", ["macro-clips"])
        stages: list[Stage] = [FitStage("latent-statistics", data.macro, measure_latents, scope=scope)]
        if isinstance(task.latent.codec, ConvCodec):
            frames = self._batches(self.autoencoder, data.macro, task.frames, task.views)
            stages.insert(0, _stage("autoencoder", self.autoencoder, frames, autoencoder_loss, (f"auxiliary.{TASK}.latent.codec",), scope))
        views = {name: choices[0] for name, choices in data.views.items()}
        pairs = self._batches(self.pretext, data.macro, {**recognizer.backbone.inputs, **task.frames}, {**views, **task.views})
        trained = ("backbone", f"auxiliary.{TASK}.squeeze", f"auxiliary.{TASK}.reconstructor")
        stages.append(_stage("pretext", self.pretext, pairs, pretext_loss, trained, scope))
        return stages

    def _batches(self, recipe: Recipe, clips: Clips, inputs: Mapping[str, tuple[int, ...]], views: Mapping[str, View]) -> PairBatches:
        return PairBatches(clips, inputs, views, recipe.batch_size, self.delta, Augmentation(**recipe.augmentation))


def _made(kind: Callable[..., Any], option: str, defaults: Mapping[str, Any], given: Mapping[str, Any] | None) -> Any:
    """What an option that is itself a mapping stands for. Raises `UsageError`, which names the option."""
    what = f"strategy 'ma2mi': {option}"
    if given is not None and not isinstance(given, Mapping):
        raise UsageError(f"{what} takes options by name, not {given!r}")
    return make(kind, what, {**defaults, **(given or {})})


def _stage(name: str, recipe: Recipe, batches: PairBatches, loss: Loss, trained: tuple[str, ...], scope: Scope) -> GradientStage:
    group = ParameterGroup(trained, recipe.lr, recipe.weight_decay)
    return GradientStage(name, batches, loss, (group,), steps=recipe.steps, schedule=Schedule(**recipe.schedule), scope=scope, divisible=True)


def future_frame(recognizer: Recognizer) -> FutureFrame:
    """The pretext task of a recogniser. Raises `NeedsError` where it has none."""
    task = recognizer.auxiliary[TASK] if TASK in recognizer.auxiliary else None  # noqa: SIM401  (a ModuleDict has no get)
    if not isinstance(task, FutureFrame):
        raise NeedsError("strategy 'ma2mi'", [TASK])
    return task


def autoencoder_loss(recognizer: Recognizer, batch: Batch, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """The codec's own loss on the earlier frame of each pair; the later one looks all but the same."""
    codec = future_frame(recognizer).latent.codec
    assert isinstance(codec, ConvCodec)  # a pixel target has no such stage
    return codec.loss(batch[PAIR][:, 0])


def pretext_loss(recognizer: Recognizer, batch: Batch, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """The pretext's loss; the control without a code spares the backbone's forward pass."""
    task = future_frame(recognizer)
    error, copy = task.errors(recognizer.backbone(batch) if task.conditioned else None, batch)
    return error.mean(), {"copy_ratio": (error.mean() / copy.mean()).detach()}


def measure_latents(recognizer: Recognizer, clips: Clips) -> None:
    """Write the mean and standard deviation of the latents of these clips' frames (centre crops) into the task's buffers."""
    task = future_frame(recognizer)
    each = max(1, STATISTICS_FRAMES // len(clips))
    every = range(0, len(clips), -(-len(clips) // STATISTICS_FRAMES))
    moments = [(at, int(t)) for at in every for t in np.linspace(0, len(clips.frames(at)) - 1, min(each, len(clips.frames(at))))]
    batches = PairBatches(clips, task.frames, task.views, augmentation=None)
    device = task.latent.mean.device
    frames = [batches.load([(at, Interval(t, t, t)) for at, t in moments[i : i + 64]], device)[PAIR][:, 0] for i in range(0, len(moments), 64)]
    task.latent.measure(torch.cat(frames))
