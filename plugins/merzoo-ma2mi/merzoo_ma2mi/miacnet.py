"""MIACNet: what moves between two frames, and where on the face it moves, in one code of the pair.

The paper gives the two branches and their task; their layers follow MMNet, earlier public code of the same first author. The README's fidelity table
says which is which.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merzoo.errors import UsageError
from merzoo.interfaces import Backbone, Batch, Features
from merzoo.specs import View
from merzoo_ma2mi.attention import attend

Layers = Sequence[Sequence[int]]  # (channels, stride) each

NORMALISATION = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # mean and standard deviation of RGB in [0, 1]
    "symmetric": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # to [-1, 1]
}
FUSIONS = ("add", "concat", "cross-attention")
BRANCHES = ("both", "action")


class ContinuousAttention(nn.Module):
    """A residual block with a spatial attention map that is handed on to the next block (MMNet).

    u = ReLU(BN(conv1x1(ReLU(BN(conv3x3(x))))) + shortcut(x)), a = sigmoid(BN(conv1x1([mean_c u; max_c u]))) * maxpool(a of the block before);
    gives u * a and a.
    """

    def __init__(self, channels: int, width: int, stride: int, first: bool) -> None:
        super().__init__()
        self.stride, self.first = stride, first
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        same = stride == 1 and channels == width
        self.shortcut = nn.Identity() if same else nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.attend = nn.Sequential(nn.Conv2d(2, 1, 1, bias=False), nn.BatchNorm2d(1), nn.Sigmoid())

    def forward(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Maps [B, width, h, w] and attention [B, 1, h, w]; `before` is the attention of the block before, which the first block ignores."""
        u = F.relu(self.body(x) + self.shortcut(x))
        # Reduced over the last axis: channels-last memory then stays so on the way back too.
        last = u.permute(0, 2, 3, 1)
        a = self.attend(torch.stack([last.mean(-1), last.amax(-1)], 1))
        if not self.first:
            a = a * F.max_pool2d(before, 3, self.stride, 1)
        return u * a, a


class ActionBranch(nn.Module):
    """Difference of two frames [B, 3, S, S] to action features [B, C, g, g] and the last attention map [B, 1, g, g]."""

    def __init__(self, stem: Layers, blocks: Layers) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, stride in stem:
            layers += [nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
        self.stem = nn.Sequential(*layers)
        self.blocks = nn.ModuleList()
        for index, (width, stride) in enumerate(blocks):
            self.blocks.append(ContinuousAttention(channels, width, stride, first=index == 0))
            channels = width

    def forward(self, difference: Tensor) -> tuple[Tensor, Tensor]:
        """Action features and attention."""
        x = self.stem(difference)
        attention = x[:, :1]  # of the right shape, and ignored by the first block
        for block in self.blocks:
            x, attention = block(x, attention)
        return x, attention


class TransformerBlock(nn.Module):
    """Pre-norm transformer block on tokens [B, N, D]; with `memory` [B, M, D] the attention is over those instead."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.heads = heads
        hidden = int(width * mlp_ratio)
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key_value, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        """Tokens of the same shape."""
        normed = self.norm_attention(x)
        source = normed if memory is None else memory
        x = x + self.out(attend(self.query(normed), self.key_value(source), self.heads))
        return x + self.mlp(self.norm_mlp(x))


class PositionBranch(nn.Module):
    """First frame, shrunk to a few cells so that identity's texture is gone and where things are stays, to position features [B, width, out, out].

    grid: cells a side that the transformer sees; each is repeated where the map wanted, `out` cells a side, is finer.
    """

    def __init__(self, grid: int, out: int, width: int, depth: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.grid, self.out = grid, out
        self.embed = nn.Linear(3, width)
        self.place = nn.Parameter(torch.empty(1, grid * grid, width))
        nn.init.trunc_normal_(self.place, std=0.02)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, small: Tensor) -> Tensor:
        """Position features of shrunken frames [B, 3, grid, grid]."""
        tokens = self.embed(small.flatten(2).transpose(1, 2)) + self.place
        for block in self.blocks:
            tokens = block(tokens)
        cells = self.norm(tokens).transpose(1, 2).unflatten(2, (self.grid, self.grid))
        return cells if self.grid == self.out else F.interpolate(cells, size=(self.out, self.out), mode="nearest")


class Fusion(nn.Module):
    """Action and position features, [B, C, g, g] each, to one code of the same shape: their sum, a 1x1 convolution of both, or a look of each
    action token at all position tokens."""

    def __init__(self, how: str, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.how = how
        if how == "concat":
            self.mix: nn.Module = nn.Conv2d(2 * width, width, 1)
        elif how == "cross-attention":
            self.mix = TransformerBlock(width, heads, mlp_ratio)

    def forward(self, action: Tensor, position: Tensor) -> Tensor:
        """The code."""
        if self.how == "add":
            return action + position
        if self.how == "concat":
            return self.mix(torch.cat([action, position], 1))
        tokens = self.mix(action.flatten(2).transpose(1, 2), position.flatten(2).transpose(1, 2))
        return tokens.transpose(1, 2).unflatten(2, action.shape[-2:])


class MIACNet(Backbone):
    """Key frames (first, second) [B, 2, 3, S, S] in [0, 1] to the pair code C_Δ [B, C, g, g].

    The defaults are the paper's size as far as it is known: MMNet's layers at 224 px, g = 14.
    stem, blocks: (channels, stride) of each layer of the action branch; its strides decide g, its last width decides C.
    depth, heads, mlp_ratio: of the position branch's transformer. fusion: "add", "concat" or "cross-attention".
    branches: "both", or "action" for the ablation without positions. action_scale: factor on the difference of the normalised frames.
    action_gain: factor on the action branch's output, which a chain of sigmoids leaves far smaller than the position branch's.
    position_grid: cells a side that the position branch sees; None: g.
    Raises `UsageError` for options that do not fit together.
    """

    mean: Tensor  # [3, 1, 1] each, not saved
    std: Tensor

    def __init__(
        self,
        size: int = 224,
        stem: Layers = ((180, 2), (128, 1)),
        blocks: Layers = ((128, 1), (128, 2), (256, 2), (512, 2)),
        depth: int = 2,
        heads: int = 4,
        mlp_ratio: float = 4.0,
        fusion: str = "add",
        branches: str = "both",
        normalise: str = "imagenet",
        action_scale: float = 1.0,
        action_gain: float = 1.0,
        position_grid: int | None = None,
    ) -> None:
        super().__init__()
        for word, value, known in (("fusion", fusion, FUSIONS), ("branches", branches, BRANCHES), ("normalise", normalise, NORMALISATION)):
            if value not in known:
                raise UsageError(f"miacnet: {word} '{value}' must be one of {', '.join(known)}")
        if not blocks or blocks[-1][0] % heads:
            raise UsageError(f"miacnet: the last block's width must be a multiple of heads {heads}; got blocks {list(blocks)}")
        self.inputs = {"keyframes": (2, 3, size, size)}
        self.views = {"keyframes": View("keyframes", {"moments": ["start", "peak"]})}
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in NORMALISATION[normalise])
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.action_scale, self.action_gain = action_scale, action_gain
        self.action = ActionBranch(stem, blocks)
        self.position: PositionBranch | None = None
        if branches == "both":
            width, grid = blocks[-1][0], _grid(size, [*stem, *blocks])
            self.position = PositionBranch(position_grid or grid, grid, width, depth, heads, mlp_ratio)
            self.fusion = Fusion(fusion, width, heads, mlp_ratio)

    def forward(self, batch: Batch) -> Features:
        """pooled {"code"}, maps {"code", "action"}, extras {"pair-code", "attention"}.

        "attention" [B, 1, g, g] is the length of the action features that the last attention map a lets through, |u ⊙ a| (our choice): a alone is
        high wherever nothing is held back, in the empty background too.
        """
        first, second = batch["keyframes"].unbind(1)
        # The mean cancels in the difference, and the shrunken frame is cheaper to normalise than the frame.
        action, _ = self.action((second - first) * (self.action_scale / self.std))
        action = action * self.action_gain
        code = action
        if self.position is not None:
            small = F.adaptive_avg_pool2d(first, self.position.grid)
            code = self.fusion(action, self.position((small - self.mean) / self.std))
        return Features(
            pooled={"code": code.mean((2, 3))},
            maps={"action": action, "code": code},
            extras={"pair-code": code, "attention": action.norm(dim=1, keepdim=True)},
        )


def _grid(size: int, layers: Layers) -> int:
    """Side of the maps after padded 3x3 convolutions."""
    for _, stride in layers:
        size = -(-size // stride)
    return size
