"""What the shallow networks see of optical flow: small maps in percent, without the motion of the head."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from merzoo.checks import check_number
from merzoo.errors import UsageError


def check_sizes(network: str, size: int, grid: int, least: int = 4) -> None:
    """Raise `UsageError` unless an input of `size` px can be averaged over grid x grid cells of at least one pixel, `least` of them a side."""
    check_number(f"{network}: size", size, least, whole=True)
    check_number(f"{network}: grid", grid, least, whole=True)
    if grid > size:
        raise UsageError(f"{network}: grid {grid!r} must be a whole number from {least} up to the size, {size!r} px")


def check_share(network: str, name: str, value: float) -> None:
    """Raise `UsageError` unless a dropout is a share below 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise UsageError(f"{network}: {name} {value!r} is a share; give 0 up to, but not, 1")


def motion_map(flow: Tensor, grid: int, steady: bool) -> Tensor:
    """Flow [B, 2, S, S] in pixels as [B, 2, grid, grid] in percent of the side S: the mean of each cell.

    steady: minus the median over all cells, which removes most head motion. Percent and median are our choice.
    """
    cells = F.adaptive_avg_pool2d(flow, grid) * (100 / flow.shape[-1])
    return cells - cells.flatten(2).median(dim=2).values[:, :, None, None] if steady else cells


def strain_map(strain: Tensor, grid: int) -> Tensor:
    """Strain [B, 1, S, S] in px/px as [B, 1, grid, grid] in percent: the mean of each cell."""
    return F.adaptive_avg_pool2d(strain, grid) * 100
