"""What choosing the epoch on the test data would have reported: the sum that `evaluate --audit` keeps the epochs for. Never a result, always called oracle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merzoo.evaluation.pool import Predictions

NOTE = "oracle: the epoch was chosen on the test data; this is no result, but what such a choice would have claimed"


def oracle(pool: Predictions, records: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The headline beside two ways of choosing the epoch on the test data; None unless every fold has kept its epochs.

    pool: the predictions of the records, row for row (`merzoo.evaluation.results.pooled`). {"note", "epochs": how many all folds have, "headline",
    "best_epoch_for_all", "best_epoch_per_fold", "inflation": {either: the same minus the headline}}, each {metric: mean over seeds and draws}.
    best_epoch_for_all has also "epoch", a list, from 1: for each (seed, draw) the one whose pooled UF1 is highest, the earliest of equals.
    best_epoch_per_fold takes in each fold, so in LOSO for each test subject, the epoch of highest test accuracy, the earliest of
    equals; this is what papers report whose code keeps the best test result of each subject.
    """
    if not records or any(not record.get("oracle") for record in records):
        return None
    folds = [np.array(record["oracle"]["epochs"], dtype=np.int64) for record in records]  # [E, n] each
    common = min(len(fold) for fold in folds)
    seed, _, replicate = pool.replicates

    def values(guess: NDArray[Any]) -> NDArray[np.float64]:
        return pool.values(pool.tally(replicate, len(seed), guess))  # [metrics, R]

    each = np.stack([values(np.concatenate([fold[epoch] for fold in folds])) for epoch in range(common)])
    best = each[:, 0].argmax(axis=0)
    starts = np.cumsum([0, *(fold.shape[1] for fold in folds)])
    truths = [pool.label[a:b] for a, b in pairwise(starts)]
    per_fold = np.concatenate([fold[(fold == truth).mean(axis=1).argmax()] for fold, truth in zip(folds, truths, strict=True)])
    found = {
        "headline": values(pool.predicted),
        "best_epoch_for_all": np.stack([each[epoch, :, r] for r, epoch in enumerate(best)], axis=-1),
        "best_epoch_per_fold": values(per_fold),
    }
    means = {name: dict(zip(pool.metrics, value.mean(axis=-1).tolist(), strict=True)) for name, value in found.items()}
    headline = means["headline"]
    inflation = {name: {m: v - headline[m] for m, v in value.items()} for name, value in means.items() if name != "headline"}
    means["best_epoch_for_all"] = {"epoch": (best + 1).tolist(), **means["best_epoch_for_all"]}
    return {"note": NOTE, "epochs": common, **means, "inflation": inflation}
