"""G: the auto-encoder whose latent space the future frame is rebuilt in."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merzoo.errors import UsageError


class ResidualConv(nn.Module):
    """x + conv(SiLU(conv(SiLU(x)))), 3x3 each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(width, width, 3, 1, 1), nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the same shape."""
        return x + self.second(F.silu(self.first(F.silu(x))))


class ConvCodec(nn.Module):
    """A small convolutional auto-encoder (our choice throughout): frames [B, 3, S, S] in [0, 1] to latents [B, channels, S/down, S/down] and back.

    Almost all of it works at the latent's resolution, which keeps it cheap on a CPU. While it trains, noise of standard deviation `noise` is added to
    the latents, so that near latents decode to near pictures.
    """

    def __init__(self, channels: int, down: int, width: int = 64, depth: int = 2, noise: float = 0.05) -> None:
        super().__init__()
        self.noise = noise
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(down),
            nn.Conv2d(3 * down * down, width, 3, 1, 1),
            *(ResidualConv(width) for _ in range(depth)),
            nn.Conv2d(width, channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(channels, width, 3, 1, 1),
            *(ResidualConv(width) for _ in range(depth)),
            nn.Conv2d(width, 3 * down * down, 3, 1, 1),
            nn.PixelShuffle(down),
        )

    def encode(self, frames: Tensor) -> Tensor:
        """Latents of frames."""
        return self.encoder(frames * 2 - 1)

    def decode(self, latents: Tensor) -> Tensor:
        """Frames of latents, not clamped."""
        return (self.decoder(latents) + 1) / 2

    def loss(self, frames: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """L1 of the reconstruction + 1e-3 mean(z²), the small pull towards 0 in place of a variational term (our choice)."""
        latents = self.encode(frames)
        noisy = latents + self.noise * torch.randn_like(latents)
        error = self.decode(noisy).float() - frames
        logs = {"l1": error.detach().abs().mean(), "psnr": -10 * error.detach().square().mean().log10()}
        return error.abs().mean() + 1e-3 * latents.float().square().mean(), logs


class PixelCodec(nn.Module):
    """No latent space: blocks of `down` x `down` pixels as channels, for the ablation with a pixel target. It has nothing to train."""

    def __init__(self, down: int) -> None:
        super().__init__()
        self.down = down

    def encode(self, frames: Tensor) -> Tensor:
        """[B, 3 down², S/down, S/down]."""
        return F.pixel_unshuffle(frames, self.down)

    def decode(self, latents: Tensor) -> Tensor:
        """The exact inverse."""
        return F.pixel_shuffle(latents, self.down)


class LatentSpace(nn.Module):
    """A codec and, per channel, mean and standard deviation of its latents over training frames; those are set by `measure`.

    target: "latent", or "pixel" for the ablation. Raises `UsageError` for another word, or a size that `down` does not divide.
    """

    mean: Tensor  # [channels, 1, 1]
    std: Tensor

    def __init__(self, size: int, channels: int, down: int, width: int, depth: int, target: str = "latent") -> None:
        super().__init__()
        if target not in ("latent", "pixel"):
            raise UsageError(f"future-frame: target '{target}' must be latent or pixel")
        if size % down:
            raise UsageError(f"future-frame: frames of {size} px cannot be divided into blocks of {down}; choose down to divide the size")
        self.codec: ConvCodec | PixelCodec = ConvCodec(channels, down, width, depth) if target == "latent" else PixelCodec(down)
        self.channels, self.side = channels if target == "latent" else 3 * down * down, size // down
        self.register_buffer("mean", torch.zeros(self.channels, 1, 1))
        self.register_buffer("std", torch.ones(self.channels, 1, 1))

    @torch.no_grad()
    def measure(self, frames: Tensor, batch: int = 64) -> None:
        """Take mean and standard deviation of the latents of these frames [N, 3, S, S]; at least 1e-4, so that a dead channel stays finite."""
        latents = torch.cat([self.codec.encode(part).float() for part in frames.split(batch)])
        self.mean.copy_(latents.mean((0, 2, 3))[:, None, None])
        self.std.copy_(latents.std((0, 2, 3)).clamp_min(1e-4)[:, None, None])

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """Standardised latents, float32, without gradient."""
        return (self.codec.encode(frames).float() - self.mean) / self.std

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Frames [B, 3, S, S] in [0, 1] of standardised latents."""
        return self.codec.decode(latents * self.std + self.mean).float().clamp(0, 1)
