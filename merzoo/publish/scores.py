"""The scores that a card may show: of an evaluation of the same network trained the same way, audited, and made again from its predictions."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merzoo.compose import network_of
from merzoo.errors import MerzooError, MerzooWarning, RunError
from merzoo.evaluation.audit import audit
from merzoo.evaluation.bootstrap import bootstrap
from merzoo.evaluation.pool import Predictions
from merzoo.evaluation.results import pooled, scored
from merzoo.evaluation.resuming import differences
from merzoo.evaluation.runs import RunFolder, result
from merzoo.publish.trained import Trained
from merzoo.text import plain

if TYPE_CHECKING:
    from merzoo.data.table import Dataset

SAME = ("preset", "task", "labels", "parts", "options", "views", "weights")  # of run.json: what makes networks trained the same way


@dataclass(frozen=True)
class Scored:
    """An audited evaluation. result: as `merzoo.evaluation.results.scored` gives it, of the sound folds, and where all are sound with what
    `merzoo.evaluation.runs.result` adds; None where no fold is. recall: class -> (value, low, high) with its 95 % interval ({} in a multi-label task).
    failed: the audit's checks that failed. networks: how many were trained and tested; sound: how many of them the numbers are of."""

    run: RunFolder
    result: Mapping[str, Any] | None
    recall: Mapping[str, tuple[float, float, float]]
    checks: Sequence[Mapping[str, Any]]
    networks: int
    sound: int

    @property
    def failed(self) -> list[Mapping[str, Any]]:
        """The checks of the audit that failed."""
        return [check for check in self.checks if check["status"] == "failed"]


def read_scores(path: Path | str, trained: Trained, dataset: Dataset | None, why_no_data: str, force: bool = False) -> Scored:
    """Audit an evaluation and make its scores. dataset, why_no_data: of the evaluation, as `merzoo.evaluation.audit_data.open_data` gives them.

    Raises `RunError` where it is no evaluation or an unfinished one, where it scores another network or another training than `trained` (says in what), where
    its labels were flipped, and, unless `force`, where a check of the audit failed.
    """
    run = RunFolder.open(path)
    if run.facts["kind"] != "evaluation":
        raise RunError(f"{run.path} is a training run without scores; give the folder of a `merzoo evaluate`, or leave out --scores")
    _check_same(run, trained)
    networks = len(run.seeds) * len(run.protocol.folds)
    if missing := len(run.missing()):
        raise RunError(f"{run.path} is not finished: {missing} of {networks} folds are missing; go on with --resume, or leave out --scores")
    with warnings.catch_warnings():  # what is warned of stands on the card
        warnings.simplefilter("ignore", MerzooWarning)
        made = audit(run, dataset, why_no_data)
        failed = [f"{check['name']}: {check['text']}" for check in made["checks"] if check["status"] == "failed"]
        if failed and not force:
            told = plain("; ".join(failed), 400)
            raise RunError(f"{run.path} fails its audit ({told}); see `merzoo audit`, evaluate again, or give --force, and the card will say so")
        records = [*_sound(run)]
        pool = pooled(run.path, run.labels, run.task, run.protocol, records) if records else None
        numbers = None if pool is None else _numbers(run, pool, len(records) == networks)
        return Scored(run, numbers, {} if pool is None else recall(pool), made["checks"], networks, len(records))


def _check_same(run: RunFolder, trained: Trained) -> None:
    """Raise `RunError` unless the run's networks were made and trained as the published one was."""
    there, here = run.facts, trained.facts
    if network_of(there["model"]) != network_of(here["model"]):
        raise RunError(f"{run.path} scores {plain(there['model'], 120)}, and {trained.run.path} is {plain(here['model'], 120)}; give an evaluation of that")
    if differs := next(differences({name: there.get(name) for name in SAME}, {name: here.get(name) for name in SAME}), None):
        text = f"{run.path} scores networks other than {trained.run.path}: {plain(differs, 300)}"
        raise RunError(f"{text}; evaluate with the same model, preset, options, labels and --from, or leave out --scores")
    if share := there.get("flip_labels"):
        raise RunError(f"{run.path} is an experiment with a share of {share:g} of wrong labels, and no score; evaluate without --flip-labels")


def _sound(run: RunFolder) -> list[dict[str, Any]]:
    """The folds that can be believed: no number is ever made of one that met its test subject."""
    records = []
    for seed in run.seeds:
        for fold in run.protocol.folds:
            with contextlib.suppress(MerzooError):  # the audit says which, and why
                records.append(run.read_fold(seed, fold.fold_id))
    return records


def _numbers(run: RunFolder, pool: Predictions, whole: bool) -> Mapping[str, Any]:
    with contextlib.suppress(MerzooError):  # a stray fold, which the audit tells
        if whole:
            return result(run)
    return scored(pool, run.protocol)


def recall(pool: Predictions) -> dict[str, tuple[float, float, float]]:
    """class -> recall with its 95 % interval, by resampling the subjects who have clips of the class; {} where clips carry several labels.

    The recall of a class is the accuracy on its clips, which is what `bootstrap` knows.
    """
    if pool.multilabel:
        return {}
    found = {}
    for position, name in enumerate(pool.classes):
        of_class = np.asarray(pool.label == position)
        if of_class.any():
            estimate = bootstrap(pool.where(of_class)).scores["accuracy"]
            found[name] = (estimate.value, estimate.low, estimate.high)
    return found
