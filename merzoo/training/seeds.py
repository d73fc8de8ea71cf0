"""Seeds: each is a hash of what it is for, so that one fold can be rerun alone and draws the same numbers."""

from __future__ import annotations

import hashlib

import torch


def derive(*parts: object) -> int:
    """A seed in [0, 2^63) from any parts, e.g. `derive(run_seed, fold_id, stage)`. Equal parts give equal seeds on every machine."""
    digest = hashlib.sha256("\x1f".join(str(p) for p in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*parts: object) -> torch.Generator:
    """A CPU generator seeded by `derive`; draws are made on the CPU so that they are the same on every device."""
    return torch.Generator().manual_seed(derive(*parts))


def seed_all(seed: int, device: torch.device) -> None:
    """Seed torch's global generators of the CPU and, where it is another, of the device.

    The same numbers as after `torch.manual_seed`, which besides writes down the stack for every kind of device that is not there: 0.5 ms a call and a list that
    never ends.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):  # which need not be the current one
            torch.cuda.manual_seed(seed)
