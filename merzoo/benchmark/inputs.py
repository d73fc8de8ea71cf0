"""Fresh random inputs for every call."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from merzoo.interfaces import Batch

COARSE = 6  # cells a side of what differs from one part of a picture to another
GRAIN = 0.3  # share of what differs from pixel to pixel


class Inputs:
    """Random batches of a network's inputs: numbers around 0 to 1, as pictures are loaded, and flow of a micro-expression in pixels.

    Each sample has an offset and a contrast of its own, and a coarse pattern under its grain: white noise alone looks the same to a network that averages,
    and what it says could not be told from a constant. Every batch lies in the same memory, so that an answer kept by address is a wrong one.
    shapes: {input: shape of one sample}. seed: None takes one that nobody can know before.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], device: torch.device, seed: int | None = None) -> None:
        self.shapes, self.device = dict(shapes), device
        self._rng = torch.Generator(device)
        if seed is None:
            self._rng.seed()
        else:
            self._rng.manual_seed(seed)
        self._buffers: dict[int, Batch] = {}

    def bytes_a_sample(self) -> int:
        """In fp32."""
        return 4 * sum(math.prod(shape) for shape in self.shapes.values())

    def buffer(self, batch: int) -> Batch:
        """The tensors that every batch of this size is put into; those of another size are let go."""
        if batch not in self._buffers:
            self._buffers = {batch: {name: torch.zeros((batch, *shape), device=self.device) for name, shape in self.shapes.items()}}
        return self._buffers[batch]

    def draw(self, batch: int) -> Batch:
        """A new batch, in tensors of its own."""
        return {name: self._one((batch, *shape)) for name, shape in self.shapes.items()}

    def put(self, values: Batch) -> Batch:
        """Copy a batch into the buffer of its size; gives the buffer."""
        into = self.buffer(len(next(iter(values.values()))))
        for name, tensor in values.items():
            into[name].copy_(tensor)
        return into

    def fresh(self, batch: int) -> Batch:
        """A new batch, in the buffer."""
        return self.put(self.draw(batch))

    def _one(self, shape: tuple[int, ...]) -> Tensor:
        """[B, …, H, W]; shapes without a picture are grain alone."""
        grain = self._rand(shape)
        per_sample = (shape[0], *(1 for _ in shape[1:]))
        if len(shape) >= 4:
            cells = self._rand((shape[0], math.prod(shape[1:-2]), *(min(COARSE, side) for side in shape[-2:])))
            grain = grain.mul_(GRAIN).add_(functional.interpolate(cells, size=shape[-2:], mode="bilinear").reshape(shape), alpha=1 - GRAIN)
        return grain.mul_(self._rand(per_sample) + 0.2).add_(self._rand(per_sample), alpha=0.5)

    def _rand(self, shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, generator=self._rng, device=self.device)
