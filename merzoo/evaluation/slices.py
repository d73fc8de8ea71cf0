"""A pool over several data sets, cut into its data sets: the same predictions scored apart, as MEGC2019 reports them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from merzoo.evaluation.bootstrap import RESAMPLES, bootstrap
from merzoo.evaluation.pool import Predictions
from merzoo.evaluation.protocols import Protocol


def slices(pool: Predictions, protocol: Protocol, resamples: int = RESAMPLES) -> dict[str, Any]:
    """{"slices": {data set: {"scores", "samples", "subjects", "absent_classes"}}}, or {} where the tested subjects come from one data set.

    Where every fold tests one whole data set (leave one data set out), also "mean_of_slices": {"metric", "value"}, the mean over the data sets of the score
    that runs are ranked by: there, each slice is what one training reached, and pooling would let the largest set decide (CD6ME averages over data sets).
    """
    dataset = np.array([dataset_of(subject) for subject in pool.subject.tolist()], dtype=np.str_)
    names = sorted(set(dataset.tolist()))
    if len(names) < 2:
        return {}
    made = {name: _slice(pool.where(dataset == name), resamples) for name in names}
    if not one_a_fold(dict(zip(pool.sample_id.tolist(), dataset.tolist(), strict=True)), protocol):
        return {"slices": made}
    metric = pool.metrics[0]
    mean = float(np.mean([one["scores"][metric]["value"] for one in made.values()]))
    return {"slices": made, "mean_of_slices": {"metric": metric, "value": mean}}


def dataset_of(subject: str) -> str:
    """The data set in a subject's id, DATASET:id; "" where it names none."""
    return subject.partition(":")[0] if ":" in subject else ""


def one_a_fold(dataset_of_sample: Mapping[str, str], protocol: Protocol) -> bool:
    """Whether all folds are done, each tests one data set, and within a draw, no other fold tests the same. A fold may keep more people away than it tests."""
    tested = [(fold.draw, {dataset_of_sample.get(sample, "unfinished") for sample in fold.test_ids}) for fold in protocol.folds]
    whole = all(len(names) == 1 and "unfinished" not in names for _, names in tested)
    return whole and len({(draw, *names) for draw, names in tested}) == len(tested)


def _slice(pool: Predictions, resamples: int) -> dict[str, Any]:
    found = bootstrap(pool, resamples)
    support = pool.support(pool.tally()[0])
    return {
        "scores": {name: asdict(estimate) for name, estimate in found.scores.items()},
        "samples": len(set(pool.sample_id.tolist())),
        "subjects": len(set(pool.subject.tolist())),
        "absent_classes": [name for name, count in zip(pool.classes, support, strict=True) if not count],
    }
