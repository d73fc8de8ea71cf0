"""UF1, UAR and accuracy over a fixed class list, from a confusion matrix of pooled predictions. numpy alone, so that scoring never waits for torch."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from merzoo.errors import DataError, MerzooWarning

METRICS = ("uf1", "uar", "accuracy")  # of one label a sample; the first is the one that runs are ranked by
TITLES = {"uf1": "UF1", "uar": "UAR", "accuracy": "accuracy", "au_f1": "AU F1"}  # as people write them


@dataclass(frozen=True)
class Scores:
    """The scores of one pool of predictions.

    uf1, uar, accuracy: in [0, 1]. per_class: class -> {"f1", "recall", "support"}, in the order of the class list.
    confusion: [C, C] counts, rows are the truth and columns the prediction.
    """

    uf1: float
    uar: float
    accuracy: float
    per_class: Mapping[Any, Mapping[str, float]]
    confusion: NDArray[np.int64]


def scores(y_true: ArrayLike, y_pred: ArrayLike, classes: Sequence[Hashable]) -> Scores:
    """Scores of predictions that are already pooled over folds.

    UF1 = mean over classes of 2 TP / (2 TP + FP + FN); UAR = mean over classes of TP / N_c (MEGC2019's definitions); accuracy = sum TP / N. A class that
    never occurs in the truth counts 0 and raises one `MerzooWarning` (our choice; scikit-learn's zero_division=0 with labels=classes is the same).
    y_true, y_pred: N labels, each a member of `classes`; integers also serve as positions where the class list itself is made of strings.
    Raises `DataError` for a label outside the list, a repeated class, unequal lengths or no sample at all.
    """
    names = list(classes)
    if not names or len(set(names)) != len(names):
        raise DataError(f"class list {names} is empty or repeats a class; give each class once")
    truth, guess = (_positions(y, names, what) for y, what in ((y_true, "true"), (y_pred, "predicted")))
    if len(truth) != len(guess):
        raise DataError(f"{len(truth)} true labels but {len(guess)} predicted ones; give one prediction a sample")
    if not len(truth):
        raise DataError("no predictions to score; give at least one sample")
    confusion = confusion_matrix(truth, guess, len(names))
    warn_of_absent(confusion.sum(axis=1), names)
    return scores_of(confusion, names)


def warn_of_absent(support: NDArray[Any] | Sequence[int], classes: Sequence[Hashable], where: str = "") -> list[str]:
    """Names of the classes of which the truth has no sample ([C] counts), with one `MerzooWarning` if there are any; `where` opens its text."""
    absent = [str(name) for name, count in zip(classes, support, strict=True) if not count]
    if absent:
        warnings.warn(f"{where}no sample of class {', '.join(absent)}: it counts as 0 in the mean over classes", MerzooWarning, stacklevel=3)
    return absent


def scores_of(confusion: NDArray[np.int64], classes: Sequence[Hashable]) -> Scores:
    """Scores of a [C, C] confusion matrix (rows = truth)."""
    f1, recall = f1_and_recall(confusion)
    support = confusion.sum(axis=1)
    per_class = {c: {"f1": float(f), "recall": float(r), "support": int(n)} for c, f, r, n in zip(classes, f1, recall, support, strict=True)}
    uf1, uar, accuracy = (float(value) for value in metrics(confusion))
    return Scores(uf1, uar, accuracy, per_class, confusion)


def confusion_matrix(truth: NDArray[np.int64], guess: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """[C, C] counts from [N] positions; rows are the truth."""
    return np.bincount(truth * n_classes + guess, minlength=n_classes**2).reshape(n_classes, n_classes).astype(np.int64)


def f1_and_recall(confusion: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """F1 and recall of each class, [..., C] each, from confusion matrices [..., C, C]; 0 where the denominator is 0."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    support, chosen = confusion.sum(axis=-1), confusion.sum(axis=-2)
    return 2 * hits / np.maximum(support + chosen, 1), hits / np.maximum(support, 1)


def metrics(confusion: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """UF1, UAR and accuracy, [...] each, of many confusion matrices [..., C, C] at once, in the order of `METRICS`."""
    f1, recall = f1_and_recall(confusion)
    hits = np.trace(confusion, axis1=-2, axis2=-1)
    return f1.mean(axis=-1), recall.mean(axis=-1), hits / np.maximum(confusion.sum(axis=(-2, -1)), 1)


def _positions(labels: ArrayLike, classes: list[Hashable], what: str) -> NDArray[np.int64]:
    """[N] positions of labels in the class list."""
    values = np.asarray(labels).ravel().tolist() if not isinstance(labels, list | tuple) else [getattr(v, "item", lambda v=v: v)() for v in labels]
    where: dict[Any, int] = {c: i for i, c in enumerate(classes)}
    if all(isinstance(c, str) for c in classes) and all(isinstance(v, int) for v in values):
        where = {i: i for i in range(len(classes))}
    try:
        return np.array([where[v] for v in values], dtype=np.int64)
    except (KeyError, TypeError):
        odd = next(v for v in values if not isinstance(v, Hashable) or v not in where)
        raise DataError(f"{what} label {odd!r} is not in the class list {classes}; map or drop it first") from None
