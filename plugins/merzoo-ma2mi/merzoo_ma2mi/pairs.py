"""Batches of frame pairs (t, t + δ) from macro-expression clips."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from merzoo.data.clips import Clips
from merzoo.data.sending import sent
from merzoo.errors import DataError, UsageError
from merzoo.interfaces import Batch
from merzoo.interval import Interval
from merzoo.specs import View
from merzoo.training.batches import Augmentation, load
from merzoo.training.seeds import generator
from merzoo_ma2mi.steadiness import tracks


@dataclass(frozen=True)
class Delta:
    """The range that δ is drawn from, uniformly: in seconds, which become whole frames at each clip's own rate; or in frames, where `frames` is given.

    Raises `UsageError` for a range that is not one.
    """

    seconds: tuple[float, float] = (0.04, 0.2)  # about 1 to 5 frames at 24 to 30 fps
    frames: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for unit, limits in (("seconds", self.seconds), ("frames", self.frames)):
            if limits is not None and (len(limits) != 2 or not 0 < limits[0] <= limits[1]):
                raise UsageError(f"delta in {unit} must be [a, b] with 0 < a <= b; got {list(limits)}")

    def choices(self, fps: float) -> range:
        """The δ in frames that a clip of this rate offers; empty where its frames lie too far apart."""
        if self.frames is not None:
            return range(self.frames[0], self.frames[1] + 1)
        a, b = (round(limit * fps, 6) for limit in self.seconds)  # 0.2 s x 15 fps is 3 frames, not 3.0000000000000004
        return range(max(1, math.ceil(a)), math.floor(b) + 1)


@dataclass(frozen=True)
class PairBatches:
    """Batches of pairs: the views `views` of `Interval(t, t + δ, t + δ)`, with one geometry for both frames and all views.

    A draw takes a clip, then δ, then t, each uniformly among those that leave a usable pair: inside one clip and one shot, the face steady (see `steadiness`).
    inputs: {input: shape}. Raises `DataError` where no clip has a usable pair.
    """

    source: Clips
    inputs: Mapping[str, tuple[int, ...]]
    views: Mapping[str, View]
    batch_size: int = 32
    delta: Delta = field(default_factory=Delta)
    augmentation: Augmentation | None = field(default_factory=Augmentation)

    @property
    def clips(self) -> Sequence[Clips]:
        """What is drawn from."""
        return (self.source,)

    @cached_property
    def usable(self) -> list[tuple[int, dict[int, np.ndarray]]]:
        """(position of a clip, {δ: first frames t}) of every clip that has a usable pair."""
        found = []
        rates = self.source.data.table["fps"].to_numpy()[self.source.rows]
        for position, known in enumerate(tracks(self.source.data, self.source.rows.tolist())):
            choices = {apart: known.pairs(apart) for apart in self.delta.choices(float(rates[position]))}
            choices = {apart: first for apart, first in choices.items() if len(first)}
            if choices:
                found.append((position, choices))
        if not found:
            limits = f"{list(self.delta.frames)} frames" if self.delta.frames else f"{list(self.delta.seconds)} s"
            raise DataError(f"no macro clip has a pair of frames {limits} apart with the face steady; widen delta, or align the clips better")
        return found

    def steps_per_epoch(self) -> int:
        """ceil(usable clips / batch size)."""
        return -(-len(self.usable) // self.batch_size)

    def chosen(self, seed: int, step: int) -> list[tuple[int, Interval]]:
        """(position of the clip, pair) of each sample of that step."""
        rng = generator(seed, "pairs", step)
        draws = torch.rand(self.batch_size, 3, generator=rng, dtype=torch.float64).tolist()
        out = []
        for of_clip, of_delta, of_first in draws:
            position, choices = _pick(self.usable, of_clip)
            apart = _pick(sorted(choices), of_delta)
            first = int(_pick(choices[apart], of_first))
            out.append((position, Interval(first, first + apart, first + apart)))
        return out

    def draw(self, seed: int, step: int, device: torch.device) -> Batch:
        """The batch of that step; a view that serves several inputs of one shape is loaded once."""
        return self.draw_part(seed, step, device, slice(None))

    def samples(self, step: int) -> int:
        """The batch size."""
        return self.batch_size

    def draw_part(self, seed: int, step: int, device: torch.device, part: slice) -> Batch:
        """Some pairs of the batch of that step, as they are in it."""
        return self.load(self.chosen(seed, step)[part], device, generator(seed, "augmentation", step), (part, self.batch_size))

    def load(
        self, chosen: Sequence[tuple[int, Interval]], device: torch.device, rng: torch.Generator | None = None, part: tuple[slice, int] | None = None
    ) -> Batch:
        """These pairs as a batch; the centre crop where no generator is given. part: which of a batch they are, see `merzoo.training.batches.load`."""
        same: dict[str, str] = {}
        for name, view in self.views.items():
            same[name] = next(other for other in self.views if self.views[other] == view and self.inputs[other] == self.inputs[name])
        needed = {name: self.views[name] for name in dict.fromkeys(same.values())}
        stored = {name: sent(self._stored(view, chosen), device) for name, view in needed.items()}
        batch = load(self.source, needed, stored, self.inputs, self.augmentation, rng, device, part)
        return {name: batch[other] for name, other in same.items()}

    def _stored(self, view: View, chosen: Sequence[tuple[int, Interval]]) -> Tensor:
        kind = self.source.data.view_kind(view)
        return torch.from_numpy(np.stack([kind.prepare(self.source.frames(position), pair) for position, pair in chosen]))


def _pick(options: Sequence[Any], share: float) -> Any:
    """The option at a share in [0, 1) of the way."""
    return options[int(share * len(options))]
