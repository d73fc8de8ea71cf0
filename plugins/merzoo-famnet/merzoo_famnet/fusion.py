"""Late fusion: each branch gives scores of its own, which are weighed and summed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from merzoo.checks import check_number
from merzoo.errors import UsageError
from merzoo.interfaces import Features, Head


class PerBranch(ABC):
    """A part with layers of its own for each branch of the backbone, so that branches can be trained apart."""

    @abstractmethod
    def paths(self, branch: str) -> tuple[str, ...]:
        """Module paths, from this part down, of what belongs to one branch."""


class BranchScores(nn.Module):
    """A linear layer a branch on its pooled features, and their weighted sum: a·s + (1 − a)·s' of two branches in the order of their names, so a is the
    share of "spatial" beside "temporal"; equal shares of more. Of the branches it is given: one alone counts whole.

    dropout: of the features. Raises `UsageError` for a share outside [0, 1], a backbone without pooled features, and features of none of its branches.
    """

    def __init__(self, features: Features, outputs: int, a: float = 0.5, dropout: float = 0.0) -> None:
        super().__init__()
        if isinstance(a, bool) or not isinstance(a, int | float) or not 0 <= a <= 1:
            raise UsageError(f"late fusion: a {a!r} is the share of the first branch; give 0 to 1")
        check_number("late fusion: dropout", dropout)
        if dropout > 1:
            raise UsageError(f"late fusion: dropout {dropout!r} is a share; give 0 to 1")
        if not features.pooled:
            raise UsageError("late fusion: this backbone gives no pooled features for these inputs; use a head on its maps")
        self.a = float(a)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleDict({name: nn.Linear(features.pooled[name].shape[1], outputs) for name in sorted(features.pooled)})

    def scores(self, features: Features) -> dict[str, Tensor]:
        """{branch: [B, outputs]} of the branches that are there."""
        return {name: layer(self.dropout(features.pooled[name])) for name, layer in self.layers.items() if name in features.pooled}

    def fuse(self, scores: Mapping[str, Tensor]) -> Tensor:
        """[B, outputs]."""
        if not scores:
            raise UsageError(f"late fusion: features of {' or '.join(self.layers)} are wanted, and there are none; give the backbone its inputs")
        shares = [self.a, 1 - self.a] if len(scores) == 2 == len(self.layers) else [1 / len(scores)] * len(scores)
        return torch.stack([share * scores[name] for share, name in zip(shares, sorted(scores), strict=True)]).sum(0)

    def forward(self, features: Features) -> Tensor:
        """The fused scores, [B, outputs]."""
        return self.fuse(self.scores(features))

    def paths(self, branch: str) -> tuple[str, ...]:
        """See `PerBranch.paths`."""
        return (f"layers.{branch}",) if branch in self.layers else ()


class LateFusion(Head, PerBranch):
    """fc_mer of each branch, fused on score vectors (logits) before the softmax: that there is such a module is the paper's, its formula our choice.

    a, dropout: see `BranchScores`. With one branch, a linear layer.
    """

    def __init__(self, features: Features, classes: int, a: float = 0.5, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc_mer = BranchScores(features, classes, a, dropout)

    def paths(self, branch: str) -> tuple[str, ...]:
        """See `PerBranch.paths`."""
        return tuple(f"fc_mer.{path}" for path in self.fc_mer.paths(branch))

    def forward(self, features: Features) -> Tensor:
        """Logits [B, classes]."""
        return self.fc_mer(features)
