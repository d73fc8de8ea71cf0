"""The scores of what auxiliary tasks predict of test clips, such as action units, made from the fold records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from merzoo.errors import RunError
from merzoo.evaluation.bootstrap import RESAMPLES, bootstrap
from merzoo.evaluation.pool import Predictions
from merzoo.evaluation.protocols import Protocol
from merzoo.evaluation.results import estimates, per_class
from merzoo.evaluation.scores import warn_of_absent


def auxiliary(path: Path, protocol: Protocol, records: Sequence[dict[str, Any]], resamples: int = RESAMPLES) -> dict[str, dict[str, dict[str, Any]]]:
    """{task: {output: {"samples", "scores", "per_class", "unknown"}}} from checked fold records, as in a multi-label task; {} where no output is scored.

    A number whose truth nobody knows counts nowhere. samples: clips of which something is known. unknown: names of which nothing is known of any clip; they
    are no part of the mean. Raises `RunError` where folds disagree on what is scored.
    """
    outputs = [record.get("auxiliary_outputs", {}) for record in records]
    other = next((record for record, mine in zip(records, outputs, strict=True) if mine != outputs[0]), None)
    if other:
        raise RunError(f"{path}: fold {other['fold_id']} has other auxiliary outputs than the first; delete its file and resume the run")
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for task, output, names in ((task, output, names) for task, given in outputs[0].items() for output, names in given.items()):
        pool = known(protocol, records, task, output, names)
        if len(pool):
            each = per_class(pool)
            warn_of_absent([one["support"] for one in each.values()], pool.classes, f"{path}, {task}: ")
            told = {"samples": len(set(pool.sample_id.tolist())), "scores": estimates(bootstrap(pool, resamples)), "per_class": each}
            found.setdefault(task, {})[output] = {**told, "unknown": [name for name in names if name not in each]}
    return found


def known(protocol: Protocol, records: Sequence[dict[str, Any]], task: str, output: str, names: Sequence[str]) -> Predictions:
    """The predictions of one output, a column a name of which something is known, of the clips of which something is known.

    What is not known of a clip is given truth and probability 0, and so adds nothing to any count.
    """
    rows = [(record["seed"], protocol.by_id[record["fold_id"]].draw, p) for record in records for p in record["predictions"]]
    truth = np.array([p["auxiliary_truth"][task][output] for _, _, p in rows], dtype=np.float64).reshape(-1, len(names))  # null becomes NaN
    shares = np.array([p["auxiliary"][task][output] for _, _, p in rows], dtype=np.float64).reshape(-1, len(names))
    there = ~np.isnan(truth)
    told = np.flatnonzero(there.any(axis=0))
    truth, shares, there = truth[:, told], shares[:, told], there[:, told]
    pool = Predictions(
        classes=tuple(names[int(column)] for column in told),
        sample_id=np.array([p["sample_id"] for _, _, p in rows], dtype=np.str_),
        subject=np.array([p["subject"] for _, _, p in rows], dtype=np.str_),
        label=truth == 1,
        probabilities=np.where(there, shares, 0.0),
        seed=np.array([seed for seed, _, _ in rows], dtype=np.int64),
        draw=np.array([draw for _, draw, _ in rows], dtype=np.int64),
    )
    return pool.where(np.flatnonzero(there.any(axis=1)))
