"""Action-unit detection, the second task on the same trunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from merzoo.data.clips import Clips
from merzoo.interfaces import AuxiliaryTask, Batch, Features
from merzoo_famnet.fusion import BranchScores, PerBranch
from merzoo_famnet.units import CROSS, chosen, coded

AUS = "aus"  # the target and the output


class AuDetection(AuxiliaryTask, PerBranch):
    """fc_au of each branch, a linear layer on the pooled features that fc_mer sees too (hard parameter sharing), fused in the same way (our choice).

    aus: a data set's name, "cross", or numbers (see `units.LISTS`); a: see `BranchScores`. Predicts the probability of each action unit.
    Raises `UsageError` for action units that cannot be.
    """

    predicts = True

    def __init__(
        self, features: Features, inputs: Mapping[str, tuple[int, ...]], aus: str | Sequence[int] = CROSS, a: float = 0.5, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.units, self.across = chosen(aus), aus == CROSS
        self.outputs = {AUS: tuple(f"AU{unit}" for unit in self.units)}
        self.fc_au = BranchScores(features, len(self.units), a, dropout)

    def paths(self, branch: str) -> tuple[str, ...]:
        """See `PerBranch.paths`."""
        return tuple(f"fc_au.{path}" for path in self.fc_au.paths(branch))

    def targets(self, clips: Clips) -> Mapping[str, Tensor]:
        """{"aus": [clips, K]}, 0 or 1; NaN where it is not known, see `units.coded`. What training learns from and what predictions are scored against."""
        table = clips.data.table.iloc[clips.rows]
        rows = [coded(cell, dataset, self.units, self.across) for cell, dataset in zip(table["aus"], table["dataset"], strict=True)]
        return {AUS: torch.tensor(rows, dtype=torch.float32).reshape(len(rows), len(self.units))}

    def loss(self, features: Features, batch: Batch) -> Tensor:
        """Mean binary cross-entropy over what is coded; 0, with a gradient of 0, where nothing in the batch is."""
        target: Tensor = batch[AUS]
        known = ~target.isnan()
        each = torch.nn.functional.binary_cross_entropy_with_logits(self.fc_au(features).float(), target.nan_to_num(), reduction="none")
        return (each * known).sum() / known.sum().clamp(min=1)

    def predict(self, features: Features) -> dict[str, Tensor]:
        """{"aus": probabilities [B, K]}."""
        return {AUS: self.fc_au(features).float().sigmoid()}
