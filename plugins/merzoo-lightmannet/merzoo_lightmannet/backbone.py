"""The encoder: a ResNet with group norm on what the face looks like at the apex (spatial cue) and what has changed since the onset (temporal cue)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock  # type: ignore[import-untyped]

from merzoo.checks import check_number
from merzoo.errors import UsageError
from merzoo.interfaces import Backbone, Batch, Features
from merzoo.specs import View

STAGES = 4  # each twice as wide as the one before


class LightmanNet(Backbone):
    """Key frames (onset, apex) [B, 2, 3, S, S] in [0, 1] to features [B, 8 · width]; all sizes are our choice.

    Spatial cue s = x_ap, temporal cue d = x_ap − x_on, both for frames in [−1, 1]: 6 channels. The defaults are ResNet-18's layers (He et al. 2016). Group
    norm, because batch norm would carry statistics from the inner steps of an episode into the outer one. The code sees the apex itself, not only what moved.
    width: channels of the first stage. layers: blocks of each of the four stages. groups: of each norm, each stage's width a multiple of it.
    difference_scale, spatial_scale: factors on d and s; 0 leaves a cue out. pool: the cues are averaged over squares of so many pixels first.
    Raises `UsageError` for options that do not fit together.
    """

    def __init__(
        self,
        size: int = 224,
        width: int = 64,
        layers: Sequence[int] = (2, 2, 2, 2),
        groups: int = 32,
        difference_scale: float = 1.0,
        spatial_scale: float = 1.0,
        pool: int = 1,
    ) -> None:
        super().__init__()
        if not isinstance(layers, list | tuple) or len(layers) != STAGES:
            raise UsageError(f"lightmannet: layers {layers!r} must be the blocks of {STAGES} stages, at least one each")
        whole = {"size": size, "width": width, "groups": groups, "pool": pool, **{f"layers[{at}]": blocks for at, blocks in enumerate(layers)}}
        for name, value in whole.items():
            check_number(f"lightmannet: {name}", value, 1, whole=True)
        for name, scale in (("difference_scale", difference_scale), ("spatial_scale", spatial_scale)):
            check_number(f"lightmannet: {name}", scale)
        if width % groups:
            raise UsageError(f"lightmannet: width {width} must be a multiple of groups {groups}")
        if size % pool:
            raise UsageError(f"lightmannet: size {size} must be a multiple of pool {pool}")
        self.inputs = {"keyframes": (2, 3, size, size)}
        self.views = {"keyframes": View("keyframes", {"moments": ["start", "peak"]})}
        self.difference_scale, self.spatial_scale, self.pool = difference_scale, spatial_scale, pool
        norm = partial(nn.GroupNorm, groups)
        self.stem = nn.Sequential(nn.Conv2d(6, width, 7, 2, 3, bias=False), norm(width), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        widths = [width * 2**i for i in range(STAGES)]
        self.stages = nn.Sequential(
            *(_stage(before, after, blocks, norm) for before, after, blocks in zip([width, *widths[:-1]], widths, layers, strict=True)),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def cues(self, keyframes: Tensor) -> Tensor:
        """[s, d] of key frames [B, 2, 3, S, S]: [B, 6, S / pool, S / pool]."""
        onset, apex = keyframes.unbind(1)
        cues = torch.cat([(2 * apex - 1) * self.spatial_scale, (apex - onset) * (2 * self.difference_scale)], dim=1)
        return F.avg_pool2d(cues, self.pool) if self.pool > 1 else cues

    def forward(self, batch: Batch) -> Features:
        """pooled {"code"}, maps {"code"}, extras {"pair-code"}: the last stage's map, [B, 8 · width, S / 32, S / 32] before pooling."""
        code = self.stages(self.stem(self.cues(batch["keyframes"])))
        return Features(pooled={"code": code.mean((2, 3))}, maps={"code": code}, extras={"pair-code": code})


def _stage(before: int, width: int, blocks: int, norm: partial[nn.GroupNorm]) -> nn.Sequential:
    """`blocks` residual blocks; the first halves the side where the width grows."""
    first = BasicBlock(before, width, norm_layer=norm)
    if before != width:
        shortcut = nn.Sequential(nn.Conv2d(before, width, 1, 2, bias=False), norm(width))
        first = BasicBlock(before, width, 2, shortcut, norm_layer=norm)
    return nn.Sequential(first, *(BasicBlock(width, width, norm_layer=norm) for _ in range(blocks - 1)))
