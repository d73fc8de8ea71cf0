"""D: a transformer that moves the latent of a frame to where the pair code says it goes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merzoo.errors import UsageError
from merzoo_ma2mi.attention import attend


class AdaptiveBlock(nn.Module):
    """A transformer block whose norms and gates are set by a condition, token by token: adaLN-Zero (Peebles and Xie 2023, DiT).

    It starts as the identity.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.heads = heads
        hidden = int(width * mlp_ratio)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.query, self.key_value, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.modulation = nn.Linear(width, 6 * width)
        _zero(self.modulation)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Tokens [B, N, D] under a condition [B, N, D]."""
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(condition).chunk(6, dim=-1)
        y = self.norm(x) * (1 + scale_a) + shift_a
        x = x + gate_a * self.out(attend(self.query(y), self.key_value(y), self.heads))
        return x + gate_m * self.mlp(self.norm(x) * (1 + scale_m) + shift_m)


class Reconstructor(nn.Module):
    """Change of a latent [B, C, s, s], given the latent and a code [B, K, h, w] of any grid.

    Tokens are patches of the latent; each is conditioned on the code at its own place. Where the code's grid is finer by a whole factor, the cells
    of a token stand side by side; else the code is averaged (or repeated) to the tokens' grid. code_shape: (K, h, w). patch: the side of a token, at most:
    where it does not divide s, the largest divisor of s below it is taken (our choice), so that one set of options suits inputs of any size. The last layer
    starts at zero, and the caller adds the change to the latent: so it starts as a copy and need not learn one.
    """

    def __init__(
        self,
        channels: int,
        side: int,
        code_shape: tuple[int, int, int],
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float,
        patch: int = 2,
    ) -> None:
        super().__init__()
        if patch < 1 or width % heads:
            raise UsageError(f"future-frame: patch {patch} must be at least 1, and width {width} a multiple of heads {heads}")
        self.patch = patch = next(cells for cells in range(min(patch, side), 0, -1) if side % cells == 0)
        self.grid = side // patch
        code_channels, h, w = code_shape
        self.fold = h // self.grid if h == w and h % self.grid == 0 else 0
        self.embed = nn.Linear(channels * patch**2, width)
        self.place = nn.Parameter(torch.empty(1, self.grid**2, width))
        nn.init.trunc_normal_(self.place, std=0.02)
        self.condition = nn.Linear(code_channels * max(1, self.fold) ** 2, width)
        self.blocks = nn.ModuleList(AdaptiveBlock(width, heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation, self.out = nn.Linear(width, 2 * width), nn.Linear(width, channels * patch**2)
        _zero(self.modulation)
        _zero(self.out)

    def forward(self, latent: Tensor, code: Tensor) -> Tensor:
        """The change, of the latent's shape."""
        x = self.embed(F.pixel_unshuffle(latent, self.patch).flatten(2).transpose(1, 2)) + self.place
        cells = F.pixel_unshuffle(code, self.fold) if self.fold else F.adaptive_avg_pool2d(code, self.grid)
        condition = F.silu(self.condition(cells.flatten(2).transpose(1, 2)))
        for block in self.blocks:
            x = block(x, condition)
        shift, scale = self.modulation(condition).chunk(2, dim=-1)
        x = self.out(self.norm(x) * (1 + scale) + shift)
        return F.pixel_shuffle(x.transpose(1, 2).unflatten(2, (self.grid, self.grid)), self.patch)


def _zero(layer: nn.Linear) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
