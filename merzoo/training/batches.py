"""Batches of labelled clips, for training (shuffled, augmented) and for tests (in order, centre crop)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from merzoo.data.clips import Clips, IntervalJitter
from merzoo.data.sending import sent
from merzoo.errors import DataError, UsageError
from merzoo.interfaces import Batch
from merzoo.specs import View
from merzoo.training.seeds import generator
from merzoo.views.base import Geometry, centre

Views = Mapping[str, tuple[View, ...]]


@dataclass(frozen=True)
class Augmentation:
    """Geometric augmentation, one draw a sample and the same for all its inputs and frames."""

    flip: float = 0.5  # probability
    shift: int | None = None  # px either side of the centre; None: as far as the stored crop allows
    turn: float = 0.0  # degrees, uniform in ±turn; 0 copies pixels without resampling

    def __post_init__(self) -> None:
        if not 0 <= self.flip <= 1:
            raise UsageError(f"augmentation: flip {self.flip!r} is a probability; give 0 to 1")
        if self.shift is not None and (not isinstance(self.shift, int) or self.shift < 0):
            raise UsageError(f"augmentation: shift {self.shift!r} must be whole pixels, 0 or more")
        if not 0 <= self.turn <= 180:
            raise UsageError(f"augmentation: turn {self.turn!r} is in degrees; give 0 to 180")

    def draw(self, batch: int, stored: int, size: int, rng: torch.Generator, device: torch.device) -> Geometry:
        """A geometry for `batch` samples stored at `stored` px, seen at `size` px."""
        room = (stored - size) // 2
        reach = room if self.shift is None else min(room, self.shift)
        top, left = (room + torch.randint(-reach, reach + 1, (batch,), generator=rng) for _ in range(2))
        flip = torch.rand(batch, generator=rng) < self.flip
        angle = (torch.rand(batch, generator=rng) * 2 - 1) * self.turn if self.turn else None
        return Geometry(size, sent(top, device), sent(left, device), sent(flip, device), None if angle is None else sent(angle, device))


@dataclass(frozen=True)
class LabelledBatches:
    """Shuffled batches of labelled clips: inputs by name, and "label", int64 [B], or float32 [B, C] where a clip may carry several. Every epoch sees every
    clip once, in batches whose sizes differ by at most one.

    inputs: the backbone's {input: shape}; views: {input: views}, one of which is drawn a batch. targets: {name: [clips, ...]}, further labels of the clips.
    """

    source: Clips
    inputs: Mapping[str, tuple[int, ...]]
    views: Views
    batch_size: int = 32
    augmentation: Augmentation = field(default_factory=Augmentation)
    jitter: IntervalJitter | None = field(default_factory=IntervalJitter)
    targets: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, values in self.targets.items():
            if len(values) != len(self.source) or name in self.inputs or name == "label":
                raise UsageError(f"target '{name}' must be one value a clip ({len(values)} for {len(self.source)}), under a name that is no input or label")
        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise UsageError(f"batch size {self.batch_size!r} must be a whole number of at least 1")
        unlabelled = int(np.isnan(self.source.targets).any(axis=1).sum())
        if unlabelled:
            raise DataError(f"{unlabelled} of {len(self.source)} {self.source.kind} clips carry no label; leave them out")
        side, stored = max(shape[-1] for shape in self.inputs.values()), self.source.data.preprocessing.size
        centre(0, stored, side, torch.device("cpu"))  # said now rather than at the first step

    @property
    def clips(self) -> Sequence[Clips]:
        """What is drawn from."""
        return (self.source,)

    def steps_per_epoch(self) -> int:
        """ceil(clips / batch size)."""
        return max(1, -(-len(self.source) // self.batch_size))

    def draw(self, seed: int, step: int, device: torch.device) -> Batch:
        """The batch of that step."""
        return self.draw_part(seed, step, device, slice(None))

    def samples(self, step: int) -> int:
        """How many clips that batch has."""
        each, left = divmod(len(self.source), self.steps_per_epoch())
        return each + (step % self.steps_per_epoch() < left)

    def draw_part(self, seed: int, step: int, device: torch.device, part: slice) -> Batch:
        """Some clips of the batch of that step, as they are in it."""
        if not len(self.source):
            raise DataError("no labelled clip is left to train on; give data with more subjects")
        epoch, position = divmod(step, self.steps_per_epoch())
        order = torch.randperm(len(self.source), generator=generator(seed, "order", epoch))
        at = torch.tensor_split(order, self.steps_per_epoch())[position]
        whole = len(at)
        rng = generator(seed, "batch", step)
        pick = int(torch.randint(1 << 30, (1,), generator=rng))
        views = {name: choices[pick % len(choices)] for name, choices in self.views.items()}
        variants = self.jitter.variants if self.jitter else 1
        variant = torch.randint(variants, (whole,), generator=rng)[part]
        at = at[part]
        stored = self.source.stored(views, at, device, self.jitter, variant)
        batch = load(self.source, views, stored, self.inputs, self.augmentation, rng, device, (part, whole))
        several = self.source.data.task == "multi-label"
        batch["label"] = sent(torch.from_numpy(self.source.targets if several else self.source.labels)[at], device)
        return batch | {name: sent(values[at], device) for name, values in self.targets.items()}


def load(
    clips: Clips,
    views: Mapping[str, View],
    stored: Mapping[str, Tensor],
    inputs: Mapping[str, tuple[int, ...]],
    augmentation: Augmentation | None,
    rng: torch.Generator | None,
    device: torch.device,
    part: tuple[slice, int] | None = None,
) -> Batch:
    """Stored arrays as a batch of floats cropped to the shapes in `inputs`: augmented, or the centre where `augmentation` is None.

    part: which samples these are, of how many that are drawn for.
    """
    batch: Batch = {}
    geometry: Geometry | None = None
    drawn_for = (0, 0)
    for name, array in stored.items():
        kind, size = clips.data.view_kind(views[name]), inputs[name][-1]
        if augmentation is None or rng is None:
            how = centre(len(array), array.shape[-1], size, device)
        else:
            # Inputs stored and wanted at one size share their geometry; others take the same flip and turn.
            sizes = (array.shape[-1], size)
            middle = centre(len(array), *sizes, device)
            if geometry is None:
                mine, whole = part or (slice(None), len(array))
                geometry, drawn_for = augmentation.draw(whole, *sizes, rng, device).of(mine), sizes
            how = geometry if sizes == drawn_for else Geometry(size, middle.top, middle.left, geometry.flip, geometry.angle)
        batch[name] = kind.augment(kind.load(array), how)
    return batch


def looks_of(views: Views) -> list[dict[str, View]]:
    """What each look at a clip takes: one view of every input, those that have fewer over again."""
    return [{name: choices[look % len(choices)] for name, choices in views.items()} for look in range(max(map(len, views.values())))]


def test_batches(
    clips: Clips, inputs: Mapping[str, tuple[int, ...]], views: Views, batch_size: int, device: torch.device
) -> Iterator[tuple[Tensor, list[Batch]]]:
    """(positions, one batch a look) over all clips in order; a look takes one test view of each input."""
    if not len(clips):
        return
    looks = looks_of(views)
    for at in torch.arange(len(clips)).split(batch_size):
        yield at, [load(clips, look, clips.stored(look, at, device), inputs, None, None, device) for look in looks]


test_batches.__test__ = False  # type: ignore[attr-defined]  # "test" as in test data: not for pytest to collect
