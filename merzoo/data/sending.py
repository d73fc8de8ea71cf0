"""Tensors on their way to where a network computes."""

from __future__ import annotations

from torch import Tensor, device


def sent(tensor: Tensor, to: device) -> Tensor:
    """A CPU tensor on a device. A GPU is not waited for, as `Tensor.to` would with memory that is not pinned: it would run empty while the next step is
    prepared."""
    return tensor.pin_memory().to(to, non_blocking=True) if to.type == "cuda" else tensor.to(to)
