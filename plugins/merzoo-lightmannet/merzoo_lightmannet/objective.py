"""The losses of an episode as functions of named parameters: L_pri on micro-expressions, L_aux between them and macro-expressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from merzoo.interfaces import Batch, Features
from merzoo.recognizer import Recognizer
from merzoo_lightmannet.alignment import MACRO, TASK, macro_alignment
from merzoo_lightmannet.bilevel import Params

Task = Mapping[str, Batch]  # "support", "query", and "macro" where there are macro clips: inputs and "label"


def focal_loss(logits: Tensor, label: Tensor, gamma: float = 2.0) -> Tensor:
    """Class-balanced focal cross-entropy: −(1 − p_y)^γ log p_y (Lin et al. 2017), mean over the clips of a class, then over the classes that are there.

    logits [B, C], label int64 [B]. The balance is within the batch, since an episode holds about as many clips of each class anyhow (our choice).
    """
    log_p = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(1)
    log_p = log_p.gather(1, label[:, None])[:, 0]
    each = -(1 - log_p.exp()).pow(gamma) * log_p
    members = F.one_hot(label, logits.shape[1]).to(each.dtype)  # [B, C]
    counts = members.sum(0)
    return (members @ (1 / counts.clamp(min=1)) * each).sum() / (counts > 0).sum()


@dataclass(frozen=True)
class Objective:
    """The losses of one network. weight: λ of L_aux; 0 leaves the alignment head out of every graph."""

    network: Recognizer
    weight: float = 0.5
    gamma: float = 2.0

    def parameters(self) -> dict[str, Tensor]:
        """θ: what is trained, by name."""
        return {name: p for name, p in self.network.named_parameters() if p.requires_grad}

    def features(self, params: Params, batch: Batch) -> Features:
        """Features of a batch under these parameters."""
        seen: Features = functional_call(self.network.backbone, _below(params, "backbone."), (batch,))
        return seen

    def logits(self, params: Params, features: Features) -> Tensor:
        """Logits of features under these parameters."""
        out: Tensor = functional_call(self.network.head, _below(params, "head."), (features,))
        return out

    def primary(self, params: Params, batch: Batch) -> Tensor:
        """L_pri of a labelled batch."""
        return focal_loss(self.logits(params, self.features(params, batch)), batch["label"], self.gamma)

    def joint(self, params: Params, batch: Batch, macro: Batch | None) -> tuple[Tensor, Tensor | None]:
        """(L_pri + λ L_aux of a labelled batch beside macro clips, L_aux), the latter None where it has no part; one forward pass for both kinds of clips."""
        if not self.weight or macro is None:
            return self.primary(params, batch), None
        both = {name: torch.cat([batch[name], macro[name]]) for name in macro}
        features = self.features(params, both)
        micro = len(batch["label"])
        primary = focal_loss(self.logits(params, features)[:micro], batch["label"], self.gamma)
        units = functional_call(macro_alignment(self.network), _below(params, f"auxiliary.{TASK}."), (features,))
        auxiliary = macro_alignment(self.network).aligned(units, both["label"], len(both["label"]) - micro)
        return primary + self.weight * auxiliary, auxiliary

    def level_one(self, params: Params, task: Task) -> Tensor:
        """L_pri(S; θ) + λ L_aux(S, M; θ)."""
        return self.joint(params, task["support"], task.get(MACRO))[0]

    def level_two(self, params: Params, task: Task) -> Tensor:
        """L_pri(Q; θ')."""
        return self.primary(params, task["query"])

    def single_level(self, params: Params, task: Task) -> tuple[Tensor, Tensor | None]:
        """L_pri(S ∪ Q; θ) + λ L_aux(S ∪ Q, M; θ), and L_aux: the same samples without an inner step."""
        labelled = {name: torch.cat([task["support"][name], task["query"][name]]) for name in task["support"]}
        return self.joint(params, labelled, task.get(MACRO))


def _below(params: Params, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}
