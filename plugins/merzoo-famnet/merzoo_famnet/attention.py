"""Attention after a stage: which channels, then where; for pictures and for clips."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from merzoo.errors import UsageError

Kind = Literal["cbam", "channel", "spatial", "none"]


class StageAttention(nn.Module):
    """F + Ms(F')·F' with F' = Mc(F)·F, after CBAM (Woo et al. 2018, eqs. 1 to 3); the residual form is our choice, the paper's own is not known to us.

    F: [B, C, h, w], or [B, C, t, h, w] with `dims` 3. kind "channel" leaves Ms out (it is 1), "spatial" leaves Mc out. reduction: of the hidden layer of
    Mc, which keeps at least 4 units (our choice). Ms looks at 7 x 7 cells (and 3 moments).
    """

    def __init__(self, width: int, dims: int = 2, kind: Kind = "cbam", reduction: int = 16) -> None:
        super().__init__()
        if kind == "none":
            raise UsageError("attention 'none' has no module; leave it out")
        hidden, conv = max(4, width // reduction), nn.Conv2d if dims == 2 else nn.Conv3d
        self.axes = tuple(range(2, 2 + dims))
        self.squeeze = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width)) if kind != "spatial" else None
        kernel = (3, 7, 7)[-dims:]
        self.look = conv(2, 1, kernel, padding=tuple(k // 2 for k in kernel), bias=False) if kind != "channel" else None  # type: ignore[arg-type]

    def channel(self, x: Tensor) -> Tensor:
        """Mc(F), [B, C, 1, ...] in (0, 1): a small perceptron shared by the mean and the maximum over all cells."""
        assert self.squeeze is not None
        weights = torch.sigmoid(self.squeeze(x.mean(self.axes)) + self.squeeze(x.amax(self.axes)))
        return weights.reshape(*weights.shape, *(1 for _ in self.axes))

    def spatial(self, x: Tensor) -> Tensor:
        """Ms(F), [B, 1, ...] in (0, 1): a convolution of the mean and the maximum over channels."""
        assert self.look is not None
        return torch.sigmoid(self.look(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as F."""
        weighed = x if self.squeeze is None else self.channel(x) * x
        return x + (weighed if self.look is None else self.spatial(weighed) * weighed)


def check_kind(kind: object) -> None:
    """Raise `UsageError` unless this is a kind of attention."""
    if kind not in get_args(Kind):
        raise UsageError(f"attention {kind!r} is none of {', '.join(get_args(Kind))}")
