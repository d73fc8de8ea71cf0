"""Two runs side by side: their scores, and the difference on the same subjects."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from typing import Any

from merzoo.errors import MerzooWarning
from merzoo.evaluation.bootstrap import RESAMPLES, bootstrap, paired_difference
from merzoo.evaluation.pool import Predictions
from merzoo.evaluation.runs import RunFolder, predictions
from merzoo.evaluation.scores import TITLES


def compare(run_a: RunFolder, run_b: RunFolder, resamples: int = RESAMPLES) -> dict[str, Any]:
    """{"a", "b": {run, model, preset, seeds, flip_labels, scores}, "difference": {metric: {value, low, high, p_bootstrap, excludes_zero}} (A minus B),
    "verdict", "bootstrap"}.

    Warns where a run is unfinished or the protocols differ. Raises `DataError` unless both hold the same samples with the same labels, and as `predictions`.
    """
    pool_a, pool_b = predictions(run_a), predictions(run_b)
    paired = paired_difference(pool_a, pool_b, resamples)
    for run in (run_a, run_b):
        if todo := len(run.missing()):
            warnings.warn(f"{run.path} is unfinished ({todo} folds to do); the comparison is of what is there", MerzooWarning, stacklevel=2)
    if run_a.protocol.hash != run_b.protocol.hash:
        warnings.warn("the runs split the same samples in other ways; the difference is of protocols too", MerzooWarning, stacklevel=2)
    difference = {name: {**asdict(d), "excludes_zero": d.excludes_zero} for name, d in paired.scores.items()}
    return {
        "a": _side(run_a, pool_a, resamples),
        "b": _side(run_b, pool_b, resamples),
        "difference": difference,
        "verdict": _verdict(difference),
        "bootstrap": {"resamples": paired.resamples, "lacking_a_class": paired.lacking_a_class, "unit": paired.unit},
    }


def _side(run: RunFolder, pool: Predictions, resamples: int) -> dict[str, Any]:
    intervals = bootstrap(pool, resamples)
    scores = {name: asdict(e) for name, e in intervals.scores.items()}
    told = {"model": run.facts["model"], "preset": run.facts["preset"], "seeds": list(run.seeds), "flip_labels": run.facts.get("flip_labels", 0.0)}
    return {"run": str(run.path), **told, "scores": scores}


def _verdict(difference: dict[str, Any]) -> str:
    name, d = next(iter(difference.items()))
    says = "excludes 0" if d["excludes_zero"] else "includes 0"
    return f"{TITLES[name]}, A minus B: {d['value']:+.3f}, 95 % interval [{d['low']:+.3f}, {d['high']:+.3f}]: the interval {says}"
