"""LBP-TOP: local binary patterns on three orthogonal planes (Zhao and Pietikäinen 2007), without parameters, in tensor operations."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from merzoo.checks import check_number
from merzoo.errors import UsageError
from merzoo.interfaces import Backbone, Batch, Features
from merzoo.specs import View

BINS = 59  # 58 uniform patterns of 8 neighbours, and one bin for all others
TIME, ROWS, COLUMNS = 1, 2, 3  # axes of a grey clip [B, T, H, W]
PLANES = {"xy": (ROWS, COLUMNS), "xt": (TIME, COLUMNS), "yt": (TIME, ROWS)}
GREY = (299, 587, 114)  # Rec. 601 luma in thousandths: whole numbers, so that equal greys stay equal on every device


def codes(x: Tensor, down: int, right: int) -> Tensor:
    """Local binary patterns of x [B, T, H, W] in the plane of the axes `down` and `right`, 8 neighbours at radius 1: uint8 [B, T − 2, H − 2, W − 2].

    Bit p is 1 where the neighbour at the angle 2πp/8, counted from `right` against the clock, is at least the centre (Ojala et al. 2002, equation 8). The
    four neighbours between the pixels are interpolated bilinearly, which at radius 1 leaves half of the corner and (√2 − 1)/2 of each of the two sides.
    """
    inner = x[:, 1:-1, 1:-1, 1:-1]

    def beyond(rows: int, columns: int) -> Tensor:
        steps = {down: rows, right: columns}
        cut = tuple(slice(1 + steps.get(axis, 0), x.shape[axis] - 1 + steps.get(axis, 0)) for axis in (TIME, ROWS, COLUMNS))
        return x[(slice(None), *cut)] - inner

    up, below, left, ahead = beyond(-1, 0), beyond(1, 0), beyond(0, -1), beyond(0, 1)
    side = (math.sqrt(2) - 1) / 2
    ring = (
        ahead,
        (up + ahead) * side + beyond(-1, 1) / 2,
        up,
        (up + left) * side + beyond(-1, -1) / 2,
        left,
        (below + left) * side + beyond(1, -1) / 2,
        below,
        (below + ahead) * side + beyond(1, 1) / 2,
    )
    code = torch.zeros_like(inner, dtype=torch.uint8)
    for bit, difference in enumerate(ring):
        code += (difference >= 0).to(torch.uint8) << bit
    return code


def uniform_bins() -> Tensor:
    """The bin of each of the 256 codes, int64: those with at most two changes around the circle in rising order, 0 to 57; 58 for all others."""
    bits = torch.arange(256)[:, None] >> torch.arange(8) & 1
    uniform = (bits != bits.roll(1, 1)).sum(1) <= 2
    return torch.where(uniform, uniform.cumsum(0) - 1, BINS - 1)


def block_histograms(bins: Tensor, grid: int) -> Tensor:
    """Bins [B, T, H, W] of 0 to 58 as shares of each in grid x grid blocks over all frames: float32 [B, grid², 59]; each block sums to 1."""
    rows, columns = (torch.arange(side, device=bins.device) * grid // side for side in bins.shape[2:])
    blocks = rows[:, None] * grid + columns
    index = (blocks * BINS + bins).flatten(1)
    counts = torch.zeros(len(bins), grid * grid * BINS, device=bins.device).scatter_add_(1, index, torch.ones((), device=bins.device).expand_as(index))
    counts = counts.unflatten(1, (grid * grid, BINS))
    return counts / counts.sum(2, keepdim=True)


class LBPTOP(Backbone):
    """Histograms of uniform patterns in blocks of the face, on the planes XY, XT and YT of a grey clip.

    size: side of the input in px. length: frames. grid: blocks along each side. pooled {"texture": [B, 3 * grid² * 59]}: plane by plane, block by block.
    It has no parameters. Raises `UsageError` for options that cannot be.
    """

    bins: Tensor

    def __init__(self, size: int = 224, length: int = 12, grid: int = 5) -> None:
        super().__init__()
        for name, value, least in (("size", size, 3), ("grid", grid, 1), ("length", length, 3)):
            check_number(f"lbp-top: {name}", value, least, whole=True)
        if grid > size - 2:
            raise UsageError(f"lbp-top: grid {grid!r} must be a whole number from 1 up to the size, {size!r} px, less 2; every block needs a pixel")
        self.views = {"sequence": View("sequence", {"length": length})}
        self.inputs = {"sequence": (3, length, size, size)}
        self.grid = grid
        self.register_buffer("bins", uniform_bins(), persistent=False)

    def forward(self, batch: Batch) -> Features:
        """See the class."""
        parts = [self.texture(part) for part in batch["sequence"].split(4)]  # a few clips at a time stay in the processor's cache
        return Features(pooled={"texture": torch.cat(parts)})

    def texture(self, clips: Tensor) -> Tensor:
        """The histograms of clips [B, 3, T, H, W] in [0, 1], [B, 3 * grid² * 59]."""
        red, green, blue = (clips.float() * 255).round().unbind(1)
        grey = GREY[0] * red + GREY[1] * green + GREY[2] * blue
        planes = [block_histograms(self.bins[codes(grey, *axes).int()], self.grid) for axes in PLANES.values()]
        return torch.stack(planes, 1).flatten(1)
