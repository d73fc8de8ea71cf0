"""From fold records to scores: one pool of predictions, and what result.json says of it."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merzoo.errors import MerzooWarning, RunError
from merzoo.evaluation.bootstrap import RESAMPLES, Intervals, bootstrap
from merzoo.evaluation.pool import Predictions
from merzoo.evaluation.protocols import Protocol
from merzoo.evaluation.scores import warn_of_absent
from merzoo.evaluation.slices import slices


def pooled(path: Path, labels: tuple[str, ...], task: str, protocol: Protocol, records: Sequence[dict[str, Any]]) -> Predictions:
    """The predictions of checked fold records, one row a (seed, draw, sample).

    path: of the run, for messages. Raises `RunError` for no fold, or a sample whose label or subject varies. (A protocol tests a sample once a draw.)
    """
    rows = [(record["seed"], protocol.by_id[record["fold_id"]].draw, p) for record in records for p in record["predictions"]]
    if not rows:
        raise RunError(f"{path} has no finished fold; continue it with --resume")
    truth: dict[str, tuple[str, frozenset[str]]] = {}
    for _, _, p in rows:
        said = (p["subject"], names_of(p["label"], task))
        if truth.setdefault(p["sample_id"], said) != said:
            raise RunError(f"{path} gives {p['sample_id']} another label or subject in another fold; run it again")
    return Predictions(
        classes=labels,
        sample_id=np.array([p["sample_id"] for _, _, p in rows], dtype=np.str_),
        subject=np.array([p["subject"] for _, _, p in rows], dtype=np.str_),
        label=label_array([p["label"] for _, _, p in rows], labels, task),
        probabilities=np.array([p["probabilities"] for _, _, p in rows], dtype=np.float64),
        seed=np.array([seed for seed, _, _ in rows], dtype=np.int64),
        draw=np.array([draw for _, draw, _ in rows], dtype=np.int64),
    )


def names_of(label: str, task: str) -> frozenset[str]:
    """The labels that a fold record gives a sample: one, or in a multi-label task any number joined by "+"."""
    return frozenset({label} if task == "classes" else filter(None, label.split("+")))


def label_array(given: Sequence[str], labels: tuple[str, ...], task: str) -> NDArray[Any]:
    """[N] positions in the class list, or [N, C] booleans in a multi-label task."""
    position = {label: i for i, label in enumerate(labels)}
    if task == "classes":
        return np.array([position[label] for label in given], dtype=np.int64)
    truth = np.zeros((len(given), len(labels)), dtype=bool)
    for row, label in enumerate(given):
        truth[row, [position[name] for name in names_of(label, task)]] = True
    return truth


def scored(pool: Predictions, protocol: Protocol, resamples: int = RESAMPLES, where: str = "") -> dict[str, Any]:
    """{"tested", "truth_sha256", "scores", "per_class", "confusion", "absent_classes", "per_seed", "draws", "bootstrap"}, and "slices" and "mean_of_slices"
    (see `merzoo.evaluation.slices`).

    scores: metric -> mean over seeds and draws of the pooled score, with its 95 % interval (`bootstrap`). per_class: mean over seeds and draws; support of
    all samples once. confusion: rows are the truth, summed over seeds and draws; null in a multi-label task. per_seed: mean over draws.
    where: opens the text of the warning that a class never occurs in the truth.
    """
    seed, draw, replicate = pool.replicates
    tallies = pool.tally(replicate, len(seed))
    values, total = pool.values(tallies), tallies.sum(axis=0)
    of_each = per_class(pool)
    order = dict.fromkeys(pool.seed.tolist())  # as asked
    intervals = bootstrap(pool, resamples)
    _warn_of_one_answer(pool, where)
    return {
        "tested": {"samples": len(set(pool.sample_id.tolist())), "subjects": len(set(pool.subject.tolist()))},
        "truth_sha256": _truth_hash(pool),
        "scores": estimates(intervals),
        "per_class": of_each,
        "confusion": None if pool.multilabel else total.tolist(),
        "absent_classes": warn_of_absent([one["support"] for one in of_each.values()], pool.classes, where),
        "per_seed": [{"seed": s, **dict(zip(pool.metrics, values[:, seed == s].mean(axis=1).tolist(), strict=True))} for s in order],
        "draws": len(set(draw.tolist())),
        "bootstrap": {"resamples": intervals.resamples, "lacking_a_class": intervals.lacking_a_class, "unit": intervals.unit},
        **slices(pool, protocol, resamples),
    }


def per_class(pool: Predictions) -> dict[str, dict[str, Any]]:
    """class -> {"f1", "recall", "support"}: mean over seeds and draws; support of all samples once."""
    seed, _, replicate = pool.replicates
    f1, recall = pool.f1_and_recall(pool.tally(replicate, len(seed)))
    once = np.isin(np.arange(len(pool)), np.unique(pool.sample_id, return_index=True)[1])
    support = pool.support(pool.where(once).tally()[0])
    rows = zip(pool.classes, f1.mean(axis=0), recall.mean(axis=0), support, strict=True)
    return {name: {"f1": float(f), "recall": float(r), "support": int(n)} for name, f, r, n in rows}


def _warn_of_one_answer(pool: Predictions, where: str) -> None:
    """Warn where every clip was taken for the same class: such a score has a narrow interval and no worth."""
    answers = set() if pool.multilabel else set(pool.predicted.tolist())
    if len(answers) == 1 and len(pool) > 1:
        text = f"{where}every clip was taken for '{pool.classes[answers.pop()]}': nothing was learned, whatever the interval says"
        warnings.warn(text, MerzooWarning, stacklevel=4)


def perturbed(
    path: Path, labels: tuple[str, ...], task: str, protocol: Protocol, records: Sequence[dict[str, Any]], conditions: Sequence[str], resamples: int = RESAMPLES
) -> dict[str, dict[str, dict[str, float]]]:
    """condition -> scores as in `scored`, of checked fold records whose test clips were also predicted under these conditions.

    Raises `RunError` where a fold lacks one.
    """
    scores = {}
    for condition in conditions:
        lacking = next((record for record in records if condition not in record.get("perturbed", {})), None)
        if lacking:
            raise RunError(f"{path}: fold {lacking['fold_id']} was not predicted under {condition}; delete its file and resume the run")
        harder = [
            {**record, "predictions": [{**p, "probabilities": q} for p, q in zip(record["predictions"], record["perturbed"][condition], strict=True)]}
            for record in records
        ]
        scores[condition] = estimates(bootstrap(pooled(path, labels, task, protocol, harder), resamples))
    return scores


def estimates(intervals: Intervals) -> dict[str, dict[str, float]]:
    """metric -> {"value", "low", "high"}."""
    return {name: asdict(estimate) for name, estimate in intervals.scores.items()}


def _truth_hash(pool: Predictions) -> str:
    """sha256 of (sample, subject, label): runs whose truth differs are not comparable, whatever they call their data."""
    names = np.array(pool.classes)
    said = ["+".join(names[row]) for row in pool.label] if pool.multilabel else [pool.classes[y] for y in pool.label.tolist()]
    truth = sorted(set(zip(pool.sample_id.tolist(), pool.subject.tolist(), said, strict=True)))
    return hashlib.sha256(json.dumps(truth, separators=(",", ":")).encode()).hexdigest()
