"""What a plugin implements: backbone, head, auxiliary task and strategy, and the features that pass between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from merzoo.errors import UsageError
from merzoo.specs import View

if TYPE_CHECKING:
    from merzoo.data.clips import Clips
    from merzoo.recognizer import Recognizer
    from merzoo.training.data import TrainingData
    from merzoo.training.stages import Stage

Batch = dict[str, Any]  # input name -> Tensor [B, ...]; "label" -> int64 [B]; episodes nest further batches under names of their own


@dataclass
class Features:
    """What a backbone saw.

    pooled: {branch: [B, D]}; maps: {name: [B, C, h, w]}; extras: whatever else the backbone says it provides, by the name of that provision,
    e.g. "pair-code": [B, C, h, w] for the action between two frames, "attention": [B, 1, h, w].
    """

    pooled: dict[str, Tensor] = field(default_factory=dict)
    maps: dict[str, Tensor] = field(default_factory=dict)
    extras: dict[str, Tensor] = field(default_factory=dict)

    def only_pooled(self) -> Tensor:
        """All pooled branches side by side, [B, ΣD], in the order of their names. Raises `UsageError` where there is none."""
        if not self.pooled:
            raise UsageError("this backbone gives no pooled features for these inputs; use a head on its maps")
        return torch.cat([self.pooled[name] for name in sorted(self.pooled)], dim=1)


# A pytree, so that vmap, functional_call and torch.export pass through it.
torch.export.register_dataclass(Features)


class Backbone(nn.Module):
    """Maps a batch of views to `Features`.

    inputs: {input name: shape of one sample}, e.g. {"keyframes": (2, 3, 112, 112)}; set in `__init__`.
    views: {input name: the view it is drawn from unless a model says otherwise}.
    branches: {name of a submodule: the inputs it sees} where parts of the network can be trained apart, each on its own inputs; none otherwise.
    Stored crops larger than the declared shape are cropped to it: at random in training, in the centre in tests.
    """

    inputs: Mapping[str, tuple[int, ...]]
    views: Mapping[str, View]
    branches: Mapping[str, tuple[str, ...]] = {}

    def forward(self, batch: Batch) -> Features:
        """Features of a batch; may be given a subset of its inputs where a stage trains one branch."""
        raise NotImplementedError


class Head(nn.Module):
    """Maps `Features` to logits [B, classes]. Built as `Head(features, classes, **options)`, `features` holding shapes only (meta tensors, B = 1)."""

    def forward(self, features: Features) -> Tensor:
        """Logits [B, classes]."""
        raise NotImplementedError


class AuxiliaryTask(nn.Module):
    """A second task on the same features, with a loss of its own.

    Built as `Task(features, inputs, **options)`: shapes of the features (meta tensors, B = 1) and of the backbone's inputs.
    views: targets of its own that are views; added to the batch under their names, cropped to the side of the backbone's largest input by the same geometry.
    predicts: True where its predictions are part of a result (action units); then it is saved with the weights. A task that only shapes the backbone
    (a pretext) leaves it False and is dropped once training ends.
    outputs: {output of `predict`: what each of its numbers is the probability of} where these are scored; `targets` must then give 0, 1 or NaN (nobody
    knows) under the same name, in as many columns. What is not to be scored is left out.
    """

    views: Mapping[str, View] = {}
    predicts: bool = False
    outputs: Mapping[str, tuple[str, ...]] = {}

    def targets(self, clips: Clips) -> Mapping[str, Tensor]:
        """Targets that are no views, {name: [clips, ...]}, such as the action units of a clip; added to the batch under their names.

        A clip without its label gets a value that `loss` leaves out (NaN).
        """
        return {}

    def loss(self, features: Features, batch: Batch) -> Tensor:
        """The task's loss, a scalar."""
        raise NotImplementedError

    def predict(self, features: Features) -> dict[str, Tensor]:
        """Outputs of its own, {name: [B, ...]}, finite numbers; those of a task that `predicts` are stored per sample, averaged over looks."""
        return {}


class Strategy(ABC):
    """How a model is trained: a list of stages. Built as `Strategy(**options)`."""

    @abstractmethod
    def stages(self, recognizer: Recognizer, data: TrainingData) -> Sequence[Stage]:
        """The stages, run-scope ones first. `data` holds no test subject, neither micro nor macro."""
