"""Few-shot protocols: a network learns from K clips a class, and is tested on people who gave none of them."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from merzoo.errors import DataError, MerzooWarning
from merzoo.evaluation.protocols import Fold, Protocol
from merzoo.evaluation.splits import in_order, labelled, samples_of, shuffled

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 20


def few_shot(table: pd.DataFrame, k: int, draws: int = DRAWS) -> Protocol:
    """K labelled clips a class to learn from (the support), `draws` times; each draw is a fold.

    The rule (our choice). A draw puts subjects and clips in an order of its own, decided by its number, K and their ids.
    (1) The rarest class first, each class gets one subject who has it and who gives no support, as long as every class keeps another subject.
    (2) The first half of the other subjects may give support; a class that has fewer than K clips among them gets further subjects in order.
    (3) Of each class the first K clips of these subjects, in the draw's order, are the support: all of them, with a warning, where there are fewer.
    (4) Everybody who gave no support clip is a test subject, and all of their micro-expressions are tested. Other clips of those who gave support are
    neither trained on nor tested.

    Raises `DataError` as `loso`, for fewer than one clip or draw, and for fewer than two classes or subjects.
    """
    rows = labelled(table, "few-shot")
    if k < 1 or draws < 1:
        raise DataError(f"few-shot needs at least 1 clip a class and 1 draw, not {k} and {draws}")
    samples, ids = samples_of(rows, "subject"), rows["sample_id"].tolist()
    subjects, classes = (dict(zip(ids, rows[column].astype(str), strict=True)) for column in ("subject", "emotion"))
    labels = sorted(set(classes.values()))
    if len(samples) < 2 or len(labels) < 2:
        raise DataError(f"few-shot needs at least 2 subjects and 2 classes; the clip table has {len(samples)} and {len(labels)}")
    name = f"few-shot-{k}" + (f"x{draws}" if draws != DRAWS else "")
    folds = []
    rare: dict[str, int] = {}
    for draw in range(draws):
        order, clips = shuffled(samples, "few-shot", k, draw), shuffled(subjects, "few-shot", k, draw)
        pool = _pool(order, {s: Counter(classes[clip] for clip in samples[s]) for s in order}, k)
        support: list[str] = []
        for label in labels:
            chosen = [clip for clip in clips if classes[clip] == label and subjects[clip] in pool][:k]
            support += chosen
            if len(chosen) < k:
                rare[label] = min(len(chosen), rare.get(label, k))
        queried = in_order(s for s in samples if s not in {subjects[clip] for clip in support})
        if not queried:
            raise DataError(f"few-shot with {k} clips a class leaves nobody to test; choose a smaller K or give more subjects")
        tested = tuple(clip for s in queried for clip in samples[s])
        folds.append(Fold(f"draw{draw:03d}", tested, queried, in_order(support), draw))
    if rare:
        fewest = ", ".join(f"{label} ({count})" for label, count in sorted(rare.items()))
        warnings.warn(f"{name}: too rare for {k} clips in every draw (fewest in a draw): {fewest}", MerzooWarning, stacklevel=2)
    return Protocol(name, tuple(folds))


def _pool(order: Sequence[str], has: Mapping[str, Counter[str]], k: int) -> set[str]:
    """Subjects who may give support: steps 1 and 2 of the rule. order: subjects; has: subject -> class -> clips."""
    holders = Counter(label for s in order for label in has[s])
    left = Counter(holders)  # subjects of each class that are not kept for the test
    kept: set[str] = set()
    for label in sorted(holders, key=lambda c: (holders[c], c)):
        if any(label in has[s] for s in kept):
            continue
        free = next((s for s in order if label in has[s] and all(left[c] > 1 for c in has[s])), None)
        if free is not None:
            kept.add(free)
            left.subtract(has[free].keys())
    others = [s for s in order if s not in kept]
    pool = others[: -(-len(others) // 2)]
    for label in sorted(holders):
        for s in [s for s in others if s not in pool and label in has[s]]:
            if sum(has[p][label] for p in pool) >= k:
                break
            pool.append(s)
    return set(pool)
