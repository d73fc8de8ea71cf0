"""Intervals that respect who the samples come from: subjects are resampled, never single samples.

Our choice, where a run has several seeds: each resample draws S subjects with replacement, every drawn subject with all its samples, and, crossed with
that, K seeds with replacement, the same for all subjects; its score is the mean over the drawn seeds of the score pooled over the drawn subjects, as the
headline is. On simulated runs (3 seeds, 24 and 68 subjects, seed noise within and between runs) this crossed form covered the truth in 91 to 97 % of 400
draws; keeping all seeds fell to 78 % where seeds moved whole runs, and (subject, seed) pairs as units over-covered (98 %) where they did not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from merzoo.errors import DataError
from merzoo.evaluation.scores import METRICS, Predictions, metrics

RESAMPLES = 10_000
LEVEL = 95  # percent
_CHUNK = 2_000_000  # drawn counts held at once, to bound memory on sets with many subjects


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % percentile interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Estimate):
    """Run A minus run B. p_bootstrap: two-sided, 2 min(P(d <= 0), P(d >= 0)) over the resamples; 0 reads "below 2 / resamples"."""

    p_bootstrap: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the 95 % interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Intervals:
    """uf1, uar, accuracy with intervals; lacking_a_class: resamples in which some class has no sample and counted 0."""

    uf1: Estimate
    uar: Estimate
    accuracy: Estimate
    resamples: int
    lacking_a_class: int
    unit: str = "subject"


@dataclass(frozen=True)
class PairedDifference:
    """Differences of two runs on the same samples, the same subjects drawn for both."""

    uf1: Difference
    uar: Difference
    accuracy: Difference
    resamples: int
    lacking_a_class: int
    unit: str = "subject"


def bootstrap(run: Predictions, resamples: int = RESAMPLES, seed: int = 0) -> Intervals:
    """95 % percentile intervals of the headline scores (mean over seeds of the pooled score), by resampling subjects (and seeds: see the module).

    Works on one confusion matrix a (subject, seed) and multinomial counts, so its cost does not depend on the number of samples.
    Raises `DataError` for no predictions or fewer than one resample.
    """
    table = _confusions(run)
    drawn, lacking = _resample([table], resamples, seed)
    value = _headline(table)
    uf1, uar, accuracy = (Estimate(float(v), *_percentiles(d)) for v, d in zip(value, drawn[0], strict=True))
    return Intervals(uf1, uar, accuracy, resamples, lacking)


def paired_difference(run_a: Predictions, run_b: Predictions, resamples: int = RESAMPLES, seed: int = 0) -> PairedDifference:
    """Run A minus run B with 95 % intervals: each resample draws the same subjects for both, and seeds for each on its own.

    Raises `DataError` unless both hold the same samples, of the same subjects, with the same labels from the same class list.
    """
    _check_same_samples(run_a, run_b)
    tables = [_confusions(run_a), _confusions(run_b)]
    (a, b), lacking = _resample(tables, resamples, seed)
    value = _headline(tables[0]) - _headline(tables[1])
    uf1, uar, accuracy = (Difference(float(v), *_percentiles(d), p_bootstrap=_two_sided(d)) for v, d in zip(value, a - b, strict=True))
    return PairedDifference(uf1, uar, accuracy, resamples, lacking)


def _confusions(run: Predictions) -> NDArray[np.float64]:
    """[S, K, C, C] confusion matrix of each subject (sorted by name) under each seed (sorted)."""
    if not len(run):
        raise DataError("no predictions to resample; finish at least one fold")
    subjects, s = np.unique(run.subject, return_inverse=True)
    seeds, k = np.unique(run.seed, return_inverse=True)
    c = len(run.classes)
    shape = (len(subjects), len(seeds), c, c)
    flat = np.ravel_multi_index((s, k, run.label, run.predicted), shape)
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(np.float64)


def _headline(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3] mean over seeds of the pooled scores."""
    return np.stack([score.mean() for score in metrics(table.sum(axis=0))])


def _resample(tables: list[NDArray[np.float64]], resamples: int, seed: int) -> tuple[NDArray[np.float64], int]:
    """[runs, 3, resamples] headline scores under common subject draws, and how many draws lack a class."""
    if resamples < 1:
        raise DataError(f"{resamples} resamples make no interval; ask for at least 1")
    rng = np.random.default_rng(seed)
    n_subjects, n_classes = tables[0].shape[0], tables[0].shape[-1]
    flat = [table.reshape(n_subjects, -1) for table in tables]
    drawn, lacking, done = np.empty((len(tables), len(METRICS), resamples)), 0, 0
    for counts in _subject_counts(rng, n_subjects, resamples):
        here = slice(done, done + len(counts))
        for run, (table, confusions) in enumerate(zip(tables, flat, strict=True)):
            n_seeds = table.shape[1]
            pooled = (counts @ confusions).reshape(-1, n_seeds, n_classes, n_classes)
            weights = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=len(counts)) / n_seeds
            drawn[run, :, here] = [(score * weights).sum(axis=1) for score in metrics(pooled)]
            if run == 0:  # the truth is the same in every run
                lacking += int((pooled.sum(axis=(1, -1)) == 0).any(axis=1).sum())
        done += len(counts)
    return drawn, lacking


def _subject_counts(rng: np.random.Generator, n_subjects: int, resamples: int) -> Iterator[NDArray[np.float64]]:
    """How often each subject is drawn, [chunk, S], until there are `resamples` rows."""
    chunk = max(1, _CHUNK // n_subjects)
    for start in range(0, resamples, chunk):
        yield rng.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), size=min(chunk, resamples - start)).astype(np.float64)


def _percentiles(drawn: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(drawn, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(low), float(high)


def _two_sided(differences: NDArray[np.float64]) -> float:
    return min(1.0, 2 * float(min((differences <= 0).mean(), (differences >= 0).mean())))


def _check_same_samples(run_a: Predictions, run_b: Predictions) -> None:
    if run_a.classes != run_b.classes:
        raise DataError(f"the runs have other class lists ({', '.join(run_a.classes)} and {', '.join(run_b.classes)}); compare runs of one protocol")
    a, b = _truth(run_a), _truth(run_b)
    for these, those, name in ((a, b, "first"), (b, a, "second")):
        only = sorted(these.keys() - those.keys())
        if only:
            raise DataError(f"{len(only)} samples are only in the {name} run, e.g. {only[0]}; compare runs on the same data and protocol")
    for what, at in (("subject", 0), ("label", 1)):
        differ = sorted(sample for sample in a if a[sample][at] != b[sample][at])
        if differ:
            raise DataError(f"{len(differ)} samples have another {what} in each run, e.g. {differ[0]}; compare runs on the same data and protocol")


def _truth(run: Predictions) -> dict[str, tuple[str, int]]:
    """sample id -> (subject, label)."""
    return {i: (s, y) for i, s, y in zip(run.sample_id.tolist(), run.subject.tolist(), run.label.tolist(), strict=True)}
