"""Off-ApexNet: one stream on the horizontal flow and one on the vertical, after Liong et al. 2018. The README's table says what is theirs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from merzoo.checks import check_flag, check_number
from merzoo.interfaces import Backbone, Batch, Features
from merzoo.specs import View
from merzoo_baselines.motion import check_share, check_sizes, motion_map

WIDTHS = (6, 16)  # filters of the two convolutions


class OffApexNet(Backbone):
    """Two streams of two 5 x 5 convolutions, then two fully connected layers on both.

    size: side of the input in px. grid: side of the maps that the streams see. hidden: units of each fully connected layer. dropout: after each of them.
    steady: take the median off the flow. method: of the flow, "dis" or "tvl1". pooled {"flow": [B, hidden]}; maps {"flow": [B, 32, 7, 7]} at the sizes of
    the paper, u's filters before v's; the same map is the "pair-code". Raises `UsageError` for options that cannot be.
    """

    def __init__(self, size: int = 224, grid: int = 28, hidden: int = 1024, dropout: float = 0.5, steady: bool = True, method: str = "dis") -> None:
        super().__init__()
        check_sizes("off-apexnet", size, grid)
        check_share("off-apexnet", "dropout", dropout)
        check_number("off-apexnet: hidden", hidden, 1, whole=True)
        check_flag("off-apexnet: steady", steady)
        self.views = {"flow": View("flow", {"method": method})}
        self.inputs = {"flow": (2, size, size)}
        self.grid, self.steady = grid, steady
        self.u, self.v = _stream(), _stream()
        self.joint = nn.Sequential(
            nn.Flatten(),
            nn.Linear(2 * WIDTHS[-1] * (grid // 4) ** 2, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
        )

    def forward(self, batch: Batch) -> Features:
        """See the class."""
        u, v = self.seen(batch).split(1, dim=1)
        maps = torch.cat([self.u(u), self.v(v)], 1)
        return Features(pooled={"flow": self.joint(maps)}, maps={"flow": maps}, extras={"pair-code": maps})

    def seen(self, batch: Batch) -> Tensor:
        """u, for the one stream, and v, for the other, in percent, [B, 2, grid, grid]."""
        return motion_map(batch["flow"], self.grid, self.steady)


def _stream() -> nn.Sequential:
    """[B, 1, 28, 28] to [B, 16, 7, 7]."""
    first, second = WIDTHS
    return nn.Sequential(
        nn.Conv2d(1, first, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(first, second, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)
    )
