"""The heads that come with merzoo: linear, a small perceptron, and one on pooled maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from merzoo.errors import UsageError
from merzoo.interfaces import Features, Head


class LinearHead(Head):
    """One linear layer on all pooled branches side by side; dropout before it."""

    def __init__(self, features: Features, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features.only_pooled().shape[1], classes)

    def forward(self, features: Features) -> Tensor:
        """Logits [B, classes]."""
        return self.linear(self.dropout(features.only_pooled()))


class MLPHead(Head):
    """Two linear layers with a GELU between, on all pooled branches side by side."""

    def __init__(self, features: Features, classes: int, hidden: int = 128, dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features.only_pooled().shape[1], hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, classes))

    def forward(self, features: Features) -> Tensor:
        """Logits [B, classes]."""
        return self.layers(features.only_pooled())


class GapHead(Head):
    """Global average pooling of one map, then a linear layer; its class-activation map (Zhou et al. 2016) is exact."""

    def __init__(self, features: Features, classes: int, map: str | None = None) -> None:
        super().__init__()
        if not features.maps:
            raise UsageError("gap head: this backbone gives no maps for these inputs; use the linear head")
        self.map = map if map is not None else sorted(features.maps)[-1]
        if self.map not in features.maps:
            raise UsageError(f"gap head: no map '{self.map}'; this backbone gives {', '.join(sorted(features.maps))}")
        self.linear = nn.Linear(features.maps[self.map].shape[1], classes)

    def forward(self, features: Features) -> Tensor:
        """Logits [B, classes]."""
        return self.linear(torch.mean(features.maps[self.map], dim=(2, 3)))
