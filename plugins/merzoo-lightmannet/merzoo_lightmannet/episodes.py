"""Episodes: labelled micro clips of some people, of other people, and macro clips beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from merzoo.checks import check_number
from merzoo.data.clips import Clips, IntervalJitter
from merzoo.data.sending import sent
from merzoo.errors import DataError
from merzoo.interfaces import Batch
from merzoo.training.batches import Augmentation, Views, load
from merzoo.training.seeds import generator
from merzoo.views.base import centre
from merzoo_lightmannet.alignment import MACRO
from merzoo_lightmannet.people import two_sides


@dataclass(frozen=True)
class Episode:
    """One task: positions among the micro clips of support and query, and among the macro clips; int64 [clips] each."""

    support: Tensor
    query: Tensor
    macro: Tensor


@dataclass(frozen=True)
class EpisodeBatches:
    """Batches {"tasks": [{"support": batch, "query": batch, "macro": batch}, …]}, a batch being the backbone's inputs and "label", int64.

    Each task deals the people of the micro clips anew to two sides (see `two_sides`): S holds up to `support` clips a class of one side, Q up to `query` of the
    other, M up to `macro_clips` a class of those macro clips that show an emotion of the labels. A class with one clip is on one side; one that nobody has is
    in no task; all clips of a single person are on one side. macro: None for tasks without M. shuffled: macro labels change hands, once for a seed.
    inputs: the backbone's {input: shape}; views: {input: views}, one of which is drawn a batch.
    Raises `UsageError` for sizes below 1, `DataError` without clips.
    """

    micro: Clips
    macro: Clips | None
    inputs: Mapping[str, tuple[int, ...]]
    views: Views
    tasks: int = 4
    support: int = 5
    query: int = 5
    macro_clips: int = 5
    augmentation: Augmentation = field(default_factory=Augmentation)
    jitter: IntervalJitter | None = field(default_factory=IntervalJitter)
    shuffled: bool = False

    def __post_init__(self) -> None:
        sizes = {"tasks": self.tasks, "support": self.support, "query": self.query, "macro_clips": self.macro_clips}
        for name, size in sizes.items():
            check_number(f"episodes: {name}", size, 1, whole=True)
        if not len(self.micro):
            raise DataError("no labelled clip is left to train on; give data with more subjects")
        centre(0, self.micro.data.preprocessing.size, max(shape[-1] for shape in self.inputs.values()), torch.device("cpu"))  # said now, not at the first step

    @property
    def clips(self) -> Sequence[Clips]:
        """What is drawn from."""
        return (self.micro,) if self.macro is None else (self.micro, self.macro)

    def steps_per_epoch(self) -> int:
        """Steps in which about as many micro clips are drawn as there are, were no class short of clips."""
        a_step = self.tasks * len(np.unique(self.micro.labels)) * (self.support + self.query)
        return max(1, -(-len(self.micro) // a_step))

    @cached_property
    def _has(self) -> dict[str, frozenset[int]]:
        labels, who = self.micro.labels, self.micro.subject_of
        return {person: frozenset(labels[who == person].tolist()) for person in sorted(self.micro.subjects)}

    def episodes(self, seed: int, step: int) -> list[Episode]:
        """The tasks of a step: a pure function of the seed and the step."""
        rng = generator(seed, "episodes", step)
        drawn = []
        for _ in range(self.tasks):
            sides = two_sides(self._has, rng)
            of_side = (np.isin(self.micro.subject_of, sorted(side)) for side in sides)
            support, query = (_of_each(self.micro.labels, shots, rng, mask) for mask, shots in zip(of_side, (self.support, self.query), strict=True))
            macro = torch.empty(0, dtype=torch.int64) if self.macro is None else _of_each(self.macro_labels(seed), self.macro_clips, rng)
            drawn.append(Episode(support, query, macro))
        return drawn

    def macro_labels(self, seed: int) -> np.ndarray:
        """Class index of each macro clip, int64: its own, or where they are shuffled that of another, the same for every step of a seed."""
        assert self.macro is not None
        labels = self.macro.labels
        return labels[torch.randperm(len(labels), generator=generator(seed, "shuffled macro labels")).numpy()] if self.shuffled else labels

    def draw(self, seed: int, step: int, device: torch.device) -> Batch:
        """The batch of that step. All clips of a kind are loaded at once, then dealt to their tasks."""
        episodes = self.episodes(seed, step)
        rng = generator(seed, "augmentation", step)
        sides = [side for episode in episodes for side in (episode.support, episode.query)]
        loaded = self._loaded(self.micro, self.micro.labels, sides, rng, device)
        tasks: list[dict[str, Batch]] = [{"support": loaded[i], "query": loaded[i + 1]} for i in range(0, len(loaded), 2)]
        if self.macro is not None:
            beside = self._loaded(self.macro, self.macro_labels(seed), [episode.macro for episode in episodes], rng, device)
            for task, macro in zip(tasks, beside, strict=True):
                task[MACRO] = macro
        return {"tasks": tasks}

    def _loaded(self, clips: Clips, labels: np.ndarray, parts: Sequence[Tensor], rng: torch.Generator, device: torch.device) -> list[Batch]:
        at = torch.cat(list(parts))
        pick = int(torch.randint(1 << 30, (1,), generator=rng))
        views = {name: choices[pick % len(choices)] for name, choices in self.views.items()}
        variant = torch.randint(self.jitter.variants if self.jitter else 1, (len(at),), generator=rng)
        stored = clips.stored(views, at, device, self.jitter, variant)
        whole = load(clips, views, stored, self.inputs, self.augmentation, rng, device)
        whole["label"] = sent(torch.from_numpy(labels)[at], device)
        pieces = {name: values.split([len(part) for part in parts]) for name, values in whole.items()}
        return [{name: values[i] for name, values in pieces.items()} for i in range(len(parts))]


def _of_each(labels: np.ndarray, shots: int, rng: torch.Generator, mask: np.ndarray | None = None) -> Tensor:
    """Up to `shots` positions of each class, at random among those where `mask` is true."""
    allowed = np.ones(len(labels), dtype=bool) if mask is None else mask
    chosen = []
    for label in np.unique(labels[allowed]):
        positions = torch.from_numpy(np.flatnonzero(allowed & (labels == label)))
        chosen.append(positions[torch.randperm(len(positions), generator=rng)[:shots]])
    return torch.cat(chosen) if chosen else torch.empty(0, dtype=torch.int64)
