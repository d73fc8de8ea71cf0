"""Views of motion: optical flow, optical strain, dynamic image."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from merzoo.interval import Interval
from merzoo.views.base import Geometry, ViewKind, transform


def dis_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Dense flow from `first` to `second`, uint8 [H, W, 3] each, as float32 [2, H, W] in pixels (u to the right, v down).

    Dense inverse search (Kroeger et al. 2016) as OpenCV has it, at its medium setting.
    """
    import cv2

    before, after = (cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in (first, second))
    flow = np.zeros((*before.shape, 2), np.float32)
    return np.asarray(cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(before, after, flow)).transpose(2, 0, 1)


class Flow(ViewKind):
    """Optical flow from start to peak, float16 [2, H, W] in pixels. A horizontal flip negates u; a turn rotates the vectors too."""

    def prepare(self, frames: np.ndarray, interval: Interval) -> np.ndarray:
        """See `ViewKind.prepare`."""
        return dis_flow(frames[interval.start], frames[interval.peak]).astype(np.float16)

    def load(self, stored: Tensor) -> Tensor:
        """See `ViewKind.load`; stays in pixels."""
        return stored.float()

    def augment(self, x: Tensor, geometry: Geometry) -> Tensor:
        """See `ViewKind.augment`."""
        import torch

        x = transform(x, geometry)
        u, v = x[:, 0], x[:, 1]
        if geometry.angle is not None:
            radians = torch.deg2rad(geometry.angle)[:, None, None]
            # _turn samples the picture at R·x, so content, and with it every vector, turns by the inverse of R.
            u, v = u * radians.cos() + v * radians.sin(), v * radians.cos() - u * radians.sin()
        return torch.stack([torch.where(geometry.flip[:, None, None], -u, u), v], 1)


class Strain(ViewKind):
    """Magnitude of optical strain of the flow from start to peak, float16 [1, H, W] in px/px.

    ε = ½(∇f + ∇fᵀ), magnitude √(ε_xx² + ε_yy² + 2 ε_xy²) (Shreve et al. 2011). It is a scalar, so a flip only mirrors it.
    """

    def prepare(self, frames: np.ndarray, interval: Interval) -> np.ndarray:
        """See `ViewKind.prepare`."""
        u, v = dis_flow(frames[interval.start], frames[interval.peak])
        (u_y, u_x), (v_y, v_x) = np.gradient(u), np.gradient(v)
        return np.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2)[None].astype(np.float16)

    def load(self, stored: Tensor) -> Tensor:
        """See `ViewKind.load`; stays in px/px."""
        return stored.float()


def rank_pooling_weights(length: int) -> np.ndarray:
    """Weights of approximate rank pooling, float64 [length]: α_n = Σ_{k=n..T} (2k − T − 1) / k (Bilen et al. 2016)."""
    k = np.arange(1, length + 1)
    return np.cumsum(((2 * k - length - 1) / k)[::-1])[::-1]


class DynamicImage(ViewKind):
    """Approximate rank pooling (Bilen et al. 2016) of the frames from start to stop, min–max scaled to uint8 [3, H, W]; loaded as [0, 1]."""

    def prepare(self, frames: np.ndarray, interval: Interval) -> np.ndarray:
        """See `ViewKind.prepare`."""
        clip = frames[interval.start : interval.stop + 1].astype(np.float32)
        pooled = np.tensordot(rank_pooling_weights(len(clip)), clip, axes=(0, 0))
        low, high = pooled.min(), pooled.max()
        scaled = (pooled - low) / max(float(high - low), 1e-6) * 255
        return np.rint(scaled).astype(np.uint8).transpose(2, 0, 1)
