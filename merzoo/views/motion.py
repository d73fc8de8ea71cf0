"""Views of motion: optical flow, optical strain, dynamic image. They take 3 to 50 ms a clip of 128 px, and so are kept on the disk."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from merzoo.errors import UsageError
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


def tvl1_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The same by total variation and an L1 data term (Zach, Pock and Bischof 2007) as scikit-image has it, at its defaults (our choice), on grey in [0, 1]."""
    import cv2
    from skimage.registration import optical_flow_tvl1

    before, after = (cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255 for frame in (first, second))
    v, u = optical_flow_tvl1(before, after, dtype=np.float32)  # scikit-image's order is that of the axes
    return np.stack([u, v])


class _OfFlow(ViewKind):
    """A view made of the optical flow from start to peak. method: "dis", or "tvl1", which is slower by an order and needs the extra `flow`.

    Raises `UsageError` for another method, and where scikit-image is not installed.
    """

    costly = True

    def __init__(self, method: str = "dis") -> None:
        what = f"{type(self).__name__.lower()} view"
        if method not in ("dis", "tvl1"):
            raise UsageError(f"{what}: method {method!r} is neither dis nor tvl1")
        if method == "tvl1":
            try:
                import skimage.registration  # noqa: F401  (said now rather than at the first clip)
            except ImportError as error:
                raise UsageError(f"{what}: method 'tvl1' needs scikit-image, which is not installed; run pip install 'merzoo[flow]'") from error
        self.method = method
        self.libraries = ("cv2", "skimage") if method == "tvl1" else ("cv2",)

    def flow(self, frames: np.ndarray, interval: Interval) -> np.ndarray:
        """Flow from start to peak, float32 [2, H, W] in pixels."""
        first, second = frames[interval.start], frames[interval.peak]
        return tvl1_flow(first, second) if self.method == "tvl1" else dis_flow(first, second)


class Flow(_OfFlow):
    """Optical flow from start to peak, float16 [2, H, W] in pixels. A horizontal flip negates u; a turn rotates the vectors too."""

    def prepare(self, frames: np.ndarray, interval: Interval) -> np.ndarray:
        """See `ViewKind.prepare`."""
        return self.flow(frames, interval).astype(np.float16)

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


class Strain(_OfFlow):
    """Magnitude of optical strain of the flow from start to peak, float16 [1, H, W] in px/px.

    ε = ½(∇f + ∇fᵀ), magnitude √(ε_xx² + ε_yy² + 2 ε_xy²) (Shreve et al. 2011). It is a scalar, so a flip only mirrors it.
    """

    def prepare(self, frames: np.ndarray, interval: Interval) -> np.ndarray:
        """See `ViewKind.prepare`."""
        u, v = self.flow(frames, interval)
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

    costly = True  # it reads every frame of the interval
    libraries = ("numpy",)

    def prepare(self, frames: np.ndarray, interval: Interval) -> np.ndarray:
        """See `ViewKind.prepare`."""
        clip = frames[interval.start : interval.stop + 1].astype(np.float32)
        pooled = np.tensordot(rank_pooling_weights(len(clip)), clip, axes=(0, 0))
        low, high = pooled.min(), pooled.max()
        scaled = (pooled - low) / max(float(high - low), 1e-6) * 255
        return np.rint(scaled).astype(np.uint8).transpose(2, 0, 1)
