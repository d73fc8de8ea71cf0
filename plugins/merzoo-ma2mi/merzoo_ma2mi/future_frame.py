"""The pretext: rebuild the later of two frames, in a latent space, from the earlier one and the code of the pair."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from merzoo.errors import UsageError
from merzoo.interfaces import AuxiliaryTask, Batch, Features
from merzoo.specs import View
from merzoo_ma2mi.autoencoder import LatentSpace
from merzoo_ma2mi.reconstructor import Reconstructor

PAIR = "frame-pair"  # the task's input: (earlier, later) frames


class FutureFrame(AuxiliaryTask):
    """ẑ1 = z0 + D(z0 | squeeze(C_Δ)), loss mean‖ẑ1 − z1‖², z = G(frame) standardised and G frozen (the residual form and all sizes are our choice).

    Works on any backbone that gives a "pair-code" [B, C, h, w] or [B, C]. The batch holds "frame-pair" [B, 2, 3, S, S] in [0, 1].
    size: S; None: that of the backbone's largest input. channels, down: of the latent space, [channels, S/down, S/down].
    squeeze: channels of the code that reach D, so that it can not carry the later frame through; None leaves it whole.
    condition: False for the control that sees the earlier frame alone: the same network with zeros for a code.
    patch: side of D's tokens in cells of the latent, at most (see `Reconstructor`).
    target: "latent", or "pixel" for the ablation. Raises `UsageError` for options that do not fit together.
    """

    views: Mapping[str, View] = {PAIR: View("keyframes", {"moments": ["start", "peak"]})}
    predicts = False

    def __init__(
        self,
        features: Features,
        inputs: Mapping[str, tuple[int, ...]],
        size: int | None = None,
        channels: int = 4,
        down: int = 8,
        codec_width: int = 128,
        codec_depth: int = 3,
        squeeze: int | None = 8,
        width: int = 384,
        depth: int = 4,
        heads: int = 6,
        mlp_ratio: float = 4.0,
        patch: int = 2,
        condition: bool = True,
        target: str = "latent",
    ) -> None:
        super().__init__()
        if "pair-code" not in features.extras:
            raise UsageError("future-frame: the backbone gives no pair-code; use one that compares two frames")
        self.size, self.conditioned = size or max(shape[-1] for shape in inputs.values()), condition
        self.frames = {PAIR: (2, 3, self.size, self.size)}
        self.latent = LatentSpace(self.size, channels, down, codec_width, codec_depth, target)
        given, *grid = features.extras["pair-code"].shape[1:]
        h, w = grid or (1, 1)
        self.code_shape = (squeeze or given, h, w)
        self.squeeze: nn.Module = nn.Conv2d(given, squeeze, 1) if squeeze else nn.Identity()
        self.reconstructor = Reconstructor(self.latent.channels, self.latent.side, self.code_shape, width, depth, heads, mlp_ratio, patch)

    def code(self, features: Features) -> Tensor:
        """What reaches D, [B, squeeze, h, w]."""
        code = features.extras["pair-code"]
        return self.squeeze(code if code.ndim == 4 else code[:, :, None, None])

    def rebuild(self, first: Tensor, code: Tensor | None) -> Tensor:
        """ẑ1 from the latent z0 [B, C, s, s] and a code; without one, zeros stand in for it."""
        if code is None or not self.conditioned:
            code = first.new_zeros(len(first), *self.code_shape)
        return first + self.reconstructor(first, code).float()

    def pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Latents z0 and z1 of the batch's frames."""
        frames: Tensor = batch[PAIR]
        first, second = self.latent.encode(frames.flatten(0, 1)).unflatten(0, (-1, 2)).unbind(1)
        return first, second

    def errors(self, features: Features | None, batch: Batch) -> tuple[Tensor, Tensor]:
        """Per sample, [B] each: ‖ẑ1 − z1‖² and, for the copy, ‖z1 − z0‖², as means over the latent. Features may be None for the control."""
        first, second = self.pair(batch)
        code = self.code(features) if self.conditioned and features is not None else None
        rebuilt = self.rebuild(first, code)
        return (rebuilt - second).square().mean((1, 2, 3)), (second - first).square().mean((1, 2, 3))

    def loss(self, features: Features, batch: Batch) -> Tensor:
        """Mean squared error of the rebuilt latent."""
        return self.errors(features, batch)[0].mean()

    @torch.no_grad()
    def copy_ratio(self, features: Features, batch: Batch) -> Tensor:
        """Error over that of copying the first frame. Below 1 is a sign of health, not of motion: a mere denoiser of z0 gets there as well."""
        error, copy = self.errors(features, batch)
        return error.mean() / copy.mean()
