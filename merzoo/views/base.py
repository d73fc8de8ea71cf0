"""The interface of a view kind, and how a geometric augmentation acts on one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from merzoo.errors import UsageError
from merzoo.interval import Interval


@dataclass(frozen=True)
class Geometry:
    """One geometric augmentation a sample, the same for all its inputs: a crop of `size` px at (top, left), turned by `angle`, then flipped.

    top, left: int64 [B]; flip: bool [B]; angle: float [B] in degrees, or None.
    """

    size: int
    top: Tensor
    left: Tensor
    flip: Tensor
    angle: Tensor | None = None

    def of(self, part: slice) -> Geometry:
        """That of some of the samples."""
        return Geometry(self.size, self.top[part], self.left[part], self.flip[part], None if self.angle is None else self.angle[part])


class ViewKind:
    """One way of seeing an interval. Built as `Kind(**options)`; `prepare` is numpy and runs once, `load` and `augment` run on the device.

    jitter_invalidates: True where another interval gives another array, so that interval jitter needs arrays of its own.
    costly: True where `prepare` takes longer than reading its array from a disk (milliseconds a clip): what it gives is then kept on the disk, until
    `version` or the `__version__` of one of the `libraries` (modules) that it computes with is another. Raise `version` when `prepare` gives other numbers.
    """

    jitter_invalidates = True
    costly = False
    version = 1
    libraries: tuple[str, ...] = ()

    def prepare(self, frames: np.ndarray, interval: Interval) -> np.ndarray:
        """The array to store, from frames uint8 [T, H, W, 3] and an interval in their numbering. Last two axes are height and width."""
        raise NotImplementedError

    def load(self, stored: Tensor) -> Tensor:
        """Stored arrays [B, ...] as float32; images in [0, 1]."""
        return stored.float() / 255

    def augment(self, x: Tensor, geometry: Geometry) -> Tensor:
        """Apply the geometry to loaded arrays [B, ..., H, W]."""
        return transform(x, geometry)


def transform(x: Tensor, geometry: Geometry) -> Tensor:
    """Crop, turn and flip each sample of [B, ..., H, W] by its own amount. A geometry without an angle copies pixels and so adds no blur."""
    if geometry.angle is not None:
        x = _turn(x, geometry.angle)
    flat = x.reshape(x.shape[0], -1, *x.shape[-2:])
    picked = cropped_by_slices(flat, geometry) if x.device.type == "cpu" else cropped_by_index(flat, geometry)
    return picked.reshape(*x.shape[:-2], geometry.size, geometry.size)


def cropped_by_slices(x: Tensor, geometry: Geometry) -> Tensor:
    """Crops and flips of [B, C, H, W], sample by sample: several times faster than `cropped_by_index` on a CPU, but a GPU would wait for its numbers."""
    out = x.new_empty((len(x), geometry.size, geometry.size, x.shape[1])).permute(0, 3, 1, 2)
    for crop, sample, top, left, flip in zip(out, x, geometry.top.tolist(), geometry.left.tolist(), geometry.flip.tolist(), strict=True):
        part = sample[:, top : top + geometry.size, left : left + geometry.size]
        crop.copy_(part.flip(-1) if flip else part)
    return out


def cropped_by_index(x: Tensor, geometry: Geometry) -> Tensor:
    """The same in one gather, without asking the device for a number; same values in the same memory layout."""
    side = torch.arange(geometry.size, device=x.device)
    rows = geometry.top[:, None] + side  # [B, size]
    columns = geometry.left[:, None] + torch.where(geometry.flip[:, None], side.flip(0), side)
    return x[torch.arange(len(x), device=x.device)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _turn(x: Tensor, degrees: Tensor) -> Tensor:
    """Rotate each sample about its centre, bilinear; borders repeat."""
    radians = torch.deg2rad(degrees.to(x.dtype))
    cos, sin, zero = radians.cos(), radians.sin(), torch.zeros_like(radians)
    theta = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
    flat = x.reshape(x.shape[0], -1, *x.shape[-2:])
    grid = torch.nn.functional.affine_grid(theta, list(flat.shape), align_corners=False)
    return torch.nn.functional.grid_sample(flat, grid, padding_mode="border", align_corners=False).reshape(x.shape)


def centre(batch: int, stored: int, size: int, device: torch.device) -> Geometry:
    """The geometry of a test: the centre crop, for `batch` samples stored at `stored` px. Raises `UsageError` where they are smaller than `size`."""
    if stored < size:
        raise UsageError(f"faces are stored at {stored} px, but {size} px are wanted; give a larger preprocessing size")
    offset = torch.full((batch,), (stored - size) // 2, dtype=torch.long, device=device)
    return Geometry(size, offset, offset, torch.zeros(batch, dtype=torch.bool, device=device))
