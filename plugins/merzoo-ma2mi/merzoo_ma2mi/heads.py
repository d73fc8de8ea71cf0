"""The head of MMNet: one linear layer on all cells of a map."""

from __future__ import annotations

from torch import Tensor, nn

from merzoo.errors import UsageError
from merzoo.interfaces import Features, Head


class FlattenHead(Head):
    """Linear(flatten(map)): every cell of the map has weights of its own, so that where something moves counts.

    map: which of the backbone's maps; "code" where there is one, else the last by name. init_std: standard deviation of the initial weights, with
    zero bias; None leaves torch's own. Raises `UsageError` for a map that the backbone does not give.
    """

    def __init__(self, features: Features, classes: int, map: str | None = None, init_std: float | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        if not features.maps:
            raise UsageError("flatten head: this backbone gives no maps for these inputs; use the linear head")
        self.map = map if map is not None else "code" if "code" in features.maps else sorted(features.maps)[-1]
        if self.map not in features.maps:
            raise UsageError(f"flatten head: no map '{self.map}'; this backbone gives {', '.join(sorted(features.maps))}")
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features.maps[self.map][0].numel(), classes)
        self.init_std = init_std
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        self.linear.reset_parameters()
        if self.init_std is not None:
            nn.init.normal_(self.linear.weight, std=self.init_std)
            nn.init.zeros_(self.linear.bias)

    def forward(self, features: Features) -> Tensor:
        """Logits [B, classes]."""
        return self.linear(self.dropout(features.maps[self.map].flatten(1)))
