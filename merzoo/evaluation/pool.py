"""Predictions pooled over folds, and what they add up to: counts that every score is made from, for one label a sample or any number of them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merzoo.errors import DataError
from merzoo.evaluation import multilabel
from merzoo.evaluation import scores as single


@dataclass(frozen=True)
class Predictions:
    """Per-sample predictions of one run, one row a (seed, draw, sample).

    classes: the fixed class list, C names. sample_id, subject: [N] strings. label: [N] positions in `classes`, or, where a sample carries any number of
    labels, [N, C] booleans. probabilities: [N, C]. seed: [N] run seeds. draw: [N] draws of the protocol, 0 where it draws once.
    Raises `DataError` where shapes disagree, a label is no position, or a probability is not a finite number >= 0 (multi-label: from 0 to 1).
    """

    classes: tuple[str, ...]
    sample_id: NDArray[np.str_]
    subject: NDArray[np.str_]
    label: NDArray[Any]
    probabilities: NDArray[np.float64]
    seed: NDArray[np.int64]
    draw: NDArray[np.int64]

    def __post_init__(self) -> None:
        n, c = len(self.sample_id), len(self.classes)
        wanted = {"subject": (n,), "label": (n, c) if self.multilabel else (n,), "probabilities": (n, c), "seed": (n,), "draw": (n,)}
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise DataError(f"predictions: {name} has shape {getattr(self, name).shape}, expected {shape} for {n} samples and {c} classes")
        if self.multilabel:
            if self.label.dtype != bool:
                raise DataError("predictions: labels of a multi-label task are not booleans; give one column a label")
        elif n and (self.label.min() < 0 or self.label.max() >= c):
            raise DataError(f"predictions: a label is not a position in the class list of {c}; map labels to 0…{c - 1}")
        if not (np.isfinite(self.probabilities).all() and (self.probabilities >= 0).all()):
            raise DataError("predictions: a probability is negative or not a finite number; give softmax outputs")
        if self.multilabel and (self.probabilities > 1).any():
            raise DataError("predictions: a probability is above 1; give sigmoid outputs")

    @property
    def multilabel(self) -> bool:
        """Whether a sample carries any number of labels."""
        return self.label.ndim == 2

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the scores; the first is the one that runs are ranked by."""
        return multilabel.METRICS if self.multilabel else single.METRICS

    @property
    def predicted(self) -> NDArray[Any]:
        """[N] positions of the most probable class, the first of the list where several tie; multi-label: [N, C] booleans, probability >= 0.5."""
        if self.multilabel:
            return self.probabilities >= multilabel.THRESHOLD
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def replicates(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The (seed, draw) pairs that were run, sorted: [R] seeds, [R] draws, and [N] the pair of each row. A headline is the mean over them."""
        (seed, draw), row = np.unique(np.stack([self.seed, self.draw]), axis=1, return_inverse=True)
        return seed, draw, row.ravel()

    def __len__(self) -> int:
        return len(self.sample_id)

    def where(self, rows: NDArray[Any]) -> Predictions:
        """The rows chosen, by booleans or by number."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "classes"})

    def tally(self, group: NDArray[np.int64] | None = None, groups: int = 1, predicted: NDArray[Any] | None = None) -> NDArray[np.int64]:
        """[groups, C, C] confusion matrices (rows = truth), or [groups, C, 3] counts of each label, of the samples of each group.

        group: [N] numbers below `groups` (default: all in one). predicted: other predictions of the same samples, as `predicted`.
        """
        group = np.zeros(len(self), dtype=np.int64) if group is None else group
        guess, c = self.predicted if predicted is None else predicted, len(self.classes)
        if not self.multilabel:
            flat = np.ravel_multi_index((group, self.label, guess), (groups, c, c))
            return np.bincount(flat, minlength=groups * c * c).reshape(groups, c, c).astype(np.int64)
        summed = np.zeros((groups, c, 3), dtype=np.int64)
        np.add.at(summed, group, multilabel.contributions(self.label, guess))
        return summed

    def values(self, tally: NDArray[Any]) -> NDArray[np.float64]:
        """The scores, [metrics, ...], of tallies [..., C, C] or [..., C, 3], in the order of `metrics`."""
        if self.multilabel:
            return multilabel.f1_of(tally).mean(axis=-1)[None]
        return np.stack(single.metrics(tally))

    def support(self, tally: NDArray[Any]) -> NDArray[Any]:
        """How many samples have each class, [..., C], from tallies."""
        return np.asarray(tally[..., 1] if self.multilabel else tally.sum(axis=-1))

    def f1_and_recall(self, tally: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """F1 and recall of each class, [..., C] each, from tallies."""
        if self.multilabel:
            return multilabel.f1_of(tally), tally[..., 0] / np.maximum(tally[..., 1], 1)
        return single.f1_and_recall(tally)
