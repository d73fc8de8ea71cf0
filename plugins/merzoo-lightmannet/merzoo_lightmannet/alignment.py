"""The auxiliary task: micro- and macro-expressions of one emotion lie close to each other in an embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merzoo.checks import check_flag, check_number
from merzoo.errors import NeedsError, UsageError
from merzoo.interfaces import AuxiliaryTask, Batch, Features
from merzoo.recognizer import Recognizer

TASK = "macro-alignment"
MACRO = "macro"  # in a batch: how many of its last rows are macro-expressions
FAR = -1e9  # a similarity that no softmax sees; finite, so that a row of nothing else has a gradient


def contrastive(micro: Tensor, macro: Tensor, same: Tensor, temperature: float = 0.1) -> Tensor:
    """− log Σ_{j: y_j = y_i} e^{u_i·u_j/τ} / Σ_j e^{u_i·u_j/τ} of each micro clip i over the macro clips j, [S] (our choice).

    micro [S, D], macro [M, D]: unit vectors. same: bool [S, M], whether i and j show one emotion.
    """
    near = micro @ macro.T / temperature
    return near.logsumexp(1) - near.masked_fill(~same, FAR).logsumexp(1)


def cosine(micro: Tensor, macro: Tensor, same: Tensor, temperature: float = 0.1) -> Tensor:
    """1 − the mean cosine of each micro clip to the macro clips of its emotion, [S]; see `contrastive`."""
    weight = same.to(micro.dtype)
    return 1 - ((micro @ macro.T) * weight).sum(1) / weight.sum(1).clamp(min=1)


def prototype(micro: Tensor, macro: Tensor, same: Tensor, temperature: float = 0.1) -> Tensor:
    """Mean squared distance of each micro clip to the mean of the macro clips of its emotion, [S]; see `contrastive`."""
    weight = same.to(micro.dtype)
    centre = weight @ macro / weight.sum(1, keepdim=True).clamp(min=1)
    return (micro - centre).square().mean(1)


ALIGNMENTS: Mapping[str, Callable[[Tensor, Tensor, Tensor, float], Tensor]] = {"contrastive": contrastive, "cosine": cosine, "prototype": prototype}


class MacroAlignment(AuxiliaryTask):
    """g: pooled features [B, D] → unit vectors [B, out], two linear layers with a ReLU between (all of it our choice).

    alignment: "contrastive", "cosine" (to the macro clips of the same emotion) or "prototype" (squared distance to their mean). temperature: τ.
    shuffle_macro_labels: the control. The labels change hands among the macro clips, once for a training: what macro faces there are, how many of each label
    and how strongly they pull stays, and only the link between a face and its label goes. Labels drawn anew for every episode could not be learned at all, so
    that a gain over them might come from any fixed grouping.
    Micro clips whose emotion no macro clip shows are left out. Raises `UsageError` for options that do not fit.
    """

    predicts = False

    def __init__(
        self,
        features: Features,
        inputs: Mapping[str, tuple[int, ...]],
        hidden: int = 256,
        out: int = 128,
        alignment: str = "contrastive",
        temperature: float = 0.1,
        shuffle_macro_labels: bool = False,
    ) -> None:
        super().__init__()
        if alignment not in ALIGNMENTS:
            raise UsageError(f"{TASK}: alignment {alignment!r} must be one of {', '.join(ALIGNMENTS)}")
        check_number(f"{TASK}: temperature", temperature, above=True)
        for name, units in (("hidden", hidden), ("out", out)):
            check_number(f"{TASK}: {name}", units, 1, whole=True)
        check_flag(f"{TASK}: shuffle_macro_labels", shuffle_macro_labels)
        self.alignment, self.temperature, self.shuffle_macro_labels = alignment, temperature, shuffle_macro_labels
        self.embed = nn.Sequential(nn.Linear(features.only_pooled().shape[1], hidden), nn.ReLU(), nn.Linear(hidden, out))

    def forward(self, features: Features) -> Tensor:
        """Unit vectors [B, out]; at least float32."""
        raw = self.embed(features.only_pooled())
        return F.normalize(raw.to(torch.promote_types(raw.dtype, torch.float32)), dim=1)

    def aligned(self, units: Tensor, label: Tensor, macro: int) -> Tensor:
        """The loss of unit vectors [S + M, out] with labels [S + M], of which the last `macro` are macro clips: mean over the micro clips that have a
        counterpart, 0 where none has."""
        micro = len(units) - macro
        same = label[:micro, None] == label[None, micro:]
        with torch.autocast(units.device.type, enabled=False):  # e^{1/τ} spans more than bf16 resolves
            each = ALIGNMENTS[self.alignment](units[:micro], units[micro:], same, self.temperature)
        paired = same.any(1)
        return torch.where(paired, each, 0).sum() / paired.sum().clamp(min=1)

    def loss(self, features: Features, batch: Batch) -> Tensor:
        """`aligned`, of features and batch["label"] whose last batch["macro"] rows are macro clips. Raises `NeedsError` for a batch without them."""
        if MACRO not in batch:
            raise NeedsError(f"auxiliary task '{TASK}'", ["macro-episodes"])
        return self.aligned(self(features), batch["label"], batch[MACRO])


def macro_alignment(recognizer: Recognizer) -> MacroAlignment:
    """The alignment task of a recogniser. Raises `NeedsError` where it has none, or another task that provides the word: its embedding and its options are
    used here, which the interface of auxiliary tasks knows nothing of."""
    task = recognizer.auxiliary[TASK] if TASK in recognizer.auxiliary else None  # noqa: SIM401  (a ModuleDict has no get)
    if not isinstance(task, MacroAlignment):
        raise NeedsError("strategy 'meta-auxiliary'", [f"the task '{TASK}' of merzoo-lightmannet itself (another that provides the word does not do)"])
    return task
