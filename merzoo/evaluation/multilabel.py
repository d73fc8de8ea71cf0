"""The score of samples that carry any number of labels (action units): the F1 of each, and their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from merzoo.errors import DataError
from merzoo.evaluation.scores import warn_of_absent

METRICS = ("au_f1",)
THRESHOLD = 0.5  # our choice: a label is predicted from this probability on


@dataclass(frozen=True)
class MultilabelScores:
    """The scores of one pool of predictions.

    au_f1: mean over labels of the binary F1, in [0, 1]. per_class: label -> {"f1", "recall", "support"}, in the order of the class list.
    counts: [C, 3], for each label the samples that are rightly given it, that have it, and that are given it.
    """

    au_f1: float
    per_class: Mapping[Any, Mapping[str, float]]
    counts: NDArray[np.int64]


def multilabel_scores(y_true: ArrayLike, y_pred: ArrayLike, classes: Sequence[str]) -> MultilabelScores:
    """Scores of predictions that are already pooled over folds: the mean binary F1 over labels, as CD6ME reports it for action units.

    F1 = 2 TP / (2 TP + FP + FN), 0 where nothing is to be found and nothing was (scikit-learn's f1_score with average="macro" and zero_division=0 of the
    indicator matrix). y_true, y_pred: [N, C] of 0 and 1. A label that no sample has counts 0 and raises one `MerzooWarning`.
    Raises `DataError` for other shapes or values, a repeated label, or no sample at all.
    """
    names = list(classes)
    if not names or len(set(names)) != len(names):
        raise DataError(f"class list {names} is empty or repeats a label; give each label once")
    truth, guess = (_indicators(y, len(names), what) for y, what in ((y_true, "true"), (y_pred, "predicted")))
    if len(truth) != len(guess):
        raise DataError(f"{len(truth)} rows of true labels but {len(guess)} of predicted ones; give one prediction a sample")
    if not len(truth):
        raise DataError("no predictions to score; give at least one sample")
    counts = contributions(truth, guess).sum(axis=0)
    warn_of_absent(counts[:, 1], names)
    return multilabel_scores_of(counts, names)


def multilabel_scores_of(counts: NDArray[np.int64], classes: Sequence[str]) -> MultilabelScores:
    """Scores of counts [C, 3]."""
    f1, recall = f1_of(counts), counts[:, 0] / np.maximum(counts[:, 1], 1)
    per_class = {c: {"f1": float(f), "recall": float(r), "support": int(n)} for c, f, r, n in zip(classes, f1, recall, counts[:, 1], strict=True)}
    return MultilabelScores(float(f1.mean()), per_class, counts)


def contributions(truth: NDArray[np.bool_], guess: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[N, C, 3]: what each sample adds to the counts."""
    return np.stack([truth & guess, truth, guess], axis=-1).astype(np.int64)


def f1_of(counts: NDArray[Any]) -> NDArray[np.float64]:
    """F1 of each label, [..., C], from counts [..., C, 3]; 0 where the denominator is 0."""
    return np.asarray(2 * counts[..., 0] / np.maximum(counts[..., 1] + counts[..., 2], 1), dtype=np.float64)


def _indicators(labels: ArrayLike, n_classes: int, what: str) -> NDArray[np.bool_]:
    try:
        values = np.asarray(labels)
        numbers = values.astype(np.float64)
    except (ValueError, TypeError):
        raise DataError(f"{what} labels are no matrix of 0 and 1; give one row a sample and one column a label") from None
    if values.ndim != 2 or values.shape[1] != n_classes or not np.isin(numbers, (0, 1)).all():
        raise DataError(f"{what} labels have shape {values.shape}; give 0 and 1, one row a sample and one column for each of the {n_classes} labels")
    return numbers.astype(bool)
