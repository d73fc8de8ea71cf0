"""STSTNet: three shallow streams on optical strain and flow, after Liong et al. 2019. The README's table says what is theirs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from merzoo.checks import check_flag, check_number
from merzoo.errors import UsageError
from merzoo.interfaces import Backbone, Batch, Features
from merzoo.specs import View
from merzoo_baselines.motion import check_share, check_sizes, motion_map, strain_map


class STSTNet(Backbone):
    """Three streams of one convolution each, all on the stack of strain, u and v; side by side, averaged, flattened.

    size: side of the input in px. grid: side of the maps that the streams see. streams: filters of each. dropout: of each stream's map. steady: take the
    median off the flow. method: of the flow, "dis" or "tvl1". pooled {"flow": [B, 400]} and maps {"flow": [B, 16, 5, 5]} at the sizes of the paper; the
    same map is the "pair-code". Raises `UsageError` for options that cannot be.
    """

    def __init__(
        self, size: int = 224, grid: int = 28, streams: Sequence[int] = (3, 5, 8), dropout: float = 0.5, steady: bool = True, method: str = "dis"
    ) -> None:
        super().__init__()
        check_sizes("ststnet", size, grid)
        check_share("ststnet", "dropout", dropout)
        check_flag("ststnet: steady", steady)
        if not isinstance(streams, list | tuple) or not streams:
            raise UsageError(f"ststnet: streams {streams!r} must be a list of filters, each at least 1")
        for at, width in enumerate(streams):
            check_number(f"ststnet: streams[{at}]", width, 1, whole=True)
        self.views = {"flow": View("flow", {"method": method}), "strain": View("strain", {"method": method})}
        self.inputs = {"flow": (2, size, size), "strain": (1, size, size)}
        self.grid, self.steady = grid, steady
        self.streams = nn.ModuleList(_stream(width, dropout) for width in streams)
        self.average = nn.AvgPool2d(2)

    def forward(self, batch: Batch) -> Features:
        """See the class; needs both inputs."""
        x = self.seen(batch)
        maps = self.average(torch.cat([stream(x) for stream in self.streams], 1))
        return Features(pooled={"flow": maps.flatten(1)}, maps={"flow": maps}, extras={"pair-code": maps})

    def seen(self, batch: Batch) -> Tensor:
        """What every stream sees: strain, u and v in percent, [B, 3, grid, grid]."""
        return torch.cat([strain_map(batch["strain"], self.grid), motion_map(batch["flow"], self.grid, self.steady)], 1)


def _stream(width: int, dropout: float) -> nn.Sequential:
    """[B, 3, 28, 28] to [B, width, 10, 10]."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(3, 3, padding=1),
        nn.Dropout(dropout),
    )
