"""Intervals that respect who the samples come from: subjects are resampled, never single samples.

What is estimated: the score that the training procedure would reach on endlessly many new people with the same mix of classes, mean over endlessly many
seeds. (One seed says nothing of others: there, noise of whole runs is not in the interval.)

The method, our choice after `benchmarks/coverage.py` (figures in benchmarks/results/coverage.json), in three parts:

1. Each resample draws S subjects with replacement, every drawn subject with all its samples under all seeds and draws, and takes the mean over seeds and
   draws of the score pooled over the drawn subjects, as the headline does.
2. Where there are several seeds, Student noise is added: t with K - 1 degrees of freedom times sqrt(V / K), where V is the variance of the seeds' scores
   beyond what their differences vary when subjects are resampled (0 where it is not larger: then part 1 has seen all noise there is). The same for draws.
3. The percentiles are taken a little further out: those at Phi(-sqrt(S / (S - 1)) t), with t the 97.5 % point of Student's t with S - 1 degrees of freedom
   (the expanded percentile interval of Hesterberg, The American Statistician 69(4), 2015), because few subjects vary less than the people they come from.

On 1,000 simulated runs with known truth a scenario, it covers the truth in 92.4 to 97.0 % of them, in every scenario of coverage.json: the shape of
MEGC2019 (68 subjects, 442 samples), 24 subjects with 240 samples, 16 with 164, five classes, action units, and differences of two runs; models at chance,
middling and good; 1, 3 and 10 seeds; noise of training within folds and between whole runs. What did not: plain percentiles (90 to 93 % with 24 subjects
and one seed) with seeds drawn with replacement, crossed with the subjects (86 to 90 % where three seeds move whole runs, above 97 % where they agree);
keeping all seeds without part 2 (down to 59 %); BCa (Efron 1987) with a jackknife over subjects, which does not cover more than percentiles; Dirichlet
weights in place of drawn subjects, which cover 1 to 4 % less.

UF1 of few people is biased: its mean over simulated runs lies 0.002 to 0.004 (68 subjects), 0.003 to 0.008 (24) and 0.01 (five classes) below the truth,
at most a fifth of its standard deviation. It is not corrected, since a corrected score could not be compared with anybody's; UAR and accuracy are not biased.
What the simulation leaves out: folds that share training subjects are not independent of one another, nor are few-shot draws of the same people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from merzoo.errors import DataError
from merzoo.evaluation.pool import Predictions

RESAMPLES = 10_000
LEVEL = 95  # percent
_CHUNK = 2_000_000  # numbers held at once, to bound memory on sets with many subjects
_Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Estimate):
    """Run A minus run B. p_bootstrap: two-sided; below 0.05 where the 95 % interval lies on one side of 0, and never 0."""

    p_bootstrap: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the 95 % interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Intervals:
    """scores: metric -> value with interval; lacking_a_class: resamples in which some class has no sample and counted 0."""

    scores: Mapping[str, Estimate]
    resamples: int
    lacking_a_class: int
    unit: str = "subject"


@dataclass(frozen=True)
class PairedDifference:
    """scores: metric -> difference of two runs on the same samples, the same subjects drawn for both."""

    scores: Mapping[str, Difference]
    resamples: int
    lacking_a_class: int
    unit: str = "subject"


def bootstrap(run: Predictions, resamples: int = RESAMPLES, seed: int = 0) -> Intervals:
    """95 % intervals of the headline scores (mean over seeds and draws of the pooled score), by resampling subjects: see the module.

    With one subject the interval is [0, 1]: nothing is known of others. The cost does not depend on the number of samples.
    Raises `DataError` for no predictions or fewer than one resample.
    """
    drawn = _Drawn.of(run, resamples, seed)
    spread = drawn.headlines + sum(_noise(drawn.by(levels), _generator(seed, 1 + i)) for i, levels in enumerate((drawn.seed, drawn.draw)))
    low, high = _ends(spread, drawn.subjects, drawn.headline, 0, 1)
    made = {name: Estimate(*map(float, ends)) for name, *ends in zip(run.metrics, drawn.headline, low, high, strict=True)}
    return Intervals(made, resamples, drawn.lacking)


def paired_difference(run_a: Predictions, run_b: Predictions, resamples: int = RESAMPLES, seed: int = 0) -> PairedDifference:
    """Run A minus run B with 95 % intervals: each resample draws the same subjects for both; the noise of seeds is of each run on its own, that of draws of
    the protocol in common, where both have the same.

    Raises `DataError` unless both hold the same samples, of the same subjects, with the same labels from the same class list.
    """
    _check_same_samples(run_a, run_b)
    a, b = (_Drawn.of(run, resamples, seed) for run in (run_a, run_b))  # one seed: the same subjects
    parts = [run.by(levels) for run in (a, b) for levels in (run.seed, run.draw)]
    if np.array_equal(np.unique(run_a.draw), np.unique(run_b.draw)):
        parts = [parts[0], parts[2], (parts[1][0] - parts[3][0], parts[1][1] - parts[3][1])]
    spread = a.headlines - b.headlines + sum(_noise(part, _generator(seed, 1 + i)) for i, part in enumerate(parts))
    value = a.headline - b.headline
    low, high = _ends(spread, a.subjects, value, -1, 1)
    rows = zip(run_a.metrics, value, low, high, _two_sided(spread, a.subjects), strict=True)
    return PairedDifference({name: Difference(*map(float, ends)) for name, *ends in rows}, resamples, a.lacking)


@dataclass(frozen=True)
class _Drawn:
    """A run and its resamples, replicate by replicate; a replicate is a (seed, draw) that was run."""

    value: _Array  # [metrics, R] pooled scores
    drawn: _Array  # [metrics, resamples, R] the same over the drawn subjects
    seed: NDArray[np.int64]  # [R]
    draw: NDArray[np.int64]  # [R]
    subjects: int
    lacking: int  # resamples in which some class has no sample

    @classmethod
    def of(cls, pool: Predictions, resamples: int, seed: int) -> _Drawn:
        """Works on one tally a (subject, replicate) and on how often each subject is drawn. The same seed draws the same subjects for any run over them."""
        if not len(pool):
            raise DataError("no predictions to resample; finish at least one fold")
        if resamples < 1:
            raise DataError(f"{resamples} resamples make no interval; ask for at least 1")
        subjects, s = np.unique(pool.subject, return_inverse=True)
        seeds, draws, r = pool.replicates
        tallies = pool.tally(s * len(seeds) + r, len(subjects) * len(seeds)).astype(np.float64)
        shape = (len(seeds), *tallies.shape[1:])
        flat = tallies.reshape(len(subjects), -1)
        drawn, lacking, done = np.empty((len(pool.metrics), resamples, len(seeds))), 0, 0
        for counts in _subject_counts(seed, len(subjects), resamples, flat.shape[1]):
            # resamples lie next to one another in memory: the sums over classes that follow are short, and those over resamples long
            pooled = np.moveaxis((flat.T @ counts.T).reshape(*shape, len(counts)), -1, 0)
            drawn[:, done : done + len(counts)] = pool.values(pooled)
            lacking += int((pool.support(pooled).sum(axis=1) == 0).any(axis=1).sum())
            done += len(counts)
        return cls(pool.values(flat.sum(axis=0).reshape(shape)), drawn, seeds, draws, len(subjects), lacking)

    @cached_property
    def headline(self) -> _Array:
        """[metrics]"""
        return np.asarray(self.value.mean(axis=-1))

    @cached_property
    def headlines(self) -> _Array:
        """[metrics, resamples]"""
        return np.asarray(self.drawn.mean(axis=-1))

    def by(self, levels: NDArray[np.int64]) -> tuple[_Array, _Array]:
        """[metrics, L] and [metrics, resamples, L]: the mean over the replicates of each level of a factor (seed or draw)."""
        masks = [levels == level for level in np.unique(levels)]
        return np.stack([self.value[:, m].mean(axis=-1) for m in masks], axis=-1), np.stack([self.drawn[..., m].mean(axis=-1) for m in masks], axis=-1)


def _noise(part: tuple[_Array, _Array], rng: np.random.Generator) -> _Array:
    """[metrics, resamples] what other seeds (or draws) would have added: part 2 of the module's method. part: of `_Drawn.by`."""
    value, drawn = part
    levels = value.shape[-1]
    if levels < 2:
        return np.zeros(drawn.shape[:2])
    seen = (drawn - drawn.mean(axis=-1, keepdims=True)).var(axis=1).sum(axis=-1) / (levels - 1)
    beyond = np.maximum(value.var(axis=-1, ddof=1) - seen, 0)
    return np.sqrt(beyond / levels)[:, None] * rng.standard_t(levels - 1, size=drawn.shape[1])


def _subject_counts(seed: int, n_subjects: int, resamples: int, width: int) -> Iterator[_Array]:
    """How often each subject is drawn, [chunk, S], until there are `resamples` rows; width: numbers a subject has."""
    chunk = max(1, _CHUNK // max(n_subjects, width))
    if resamples <= chunk:
        yield _all_counts(seed, n_subjects, resamples)
        return
    rng = _generator(seed, 0)
    for start in range(0, resamples, chunk):
        yield _counts(rng, n_subjects, min(chunk, resamples - start))


@lru_cache(maxsize=4)  # the runs of a board have the same people
def _all_counts(seed: int, n_subjects: int, resamples: int) -> _Array:
    counts = _counts(_generator(seed, 0), n_subjects, resamples)
    counts.flags.writeable = False
    return counts


def _counts(rng: np.random.Generator, n_subjects: int, rows: int) -> _Array:
    drawn = rng.integers(n_subjects, size=(rows, n_subjects)) + n_subjects * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * n_subjects).reshape(rows, n_subjects).astype(np.float64)


def _generator(seed: int, part: int) -> np.random.Generator:
    return np.random.default_rng([seed, part])


def _ends(spread: _Array, subjects: int, value: _Array, least: float, most: float) -> tuple[_Array, _Array]:
    """Low and high ends, [metrics] each: expanded percentiles (part 3 of the module's method) of [metrics, resamples], the value itself always inside."""
    from scipy.special import ndtr, stdtrit

    if subjects < 2:
        return np.full_like(value, least), np.full_like(value, most)
    tail = ndtr(stdtrit(subjects - 1, (100 - LEVEL) / 200) * np.sqrt(subjects / (subjects - 1)))
    low, high = np.clip(np.quantile(spread, [tail, 1 - tail], axis=1), least, most)
    return np.minimum(low, value), np.maximum(high, value)


def _two_sided(spread: _Array, subjects: int) -> _Array:
    """[metrics] the level at which `_ends` of [metrics, resamples] would touch 0; 0 itself is counted as one of the resamples."""
    from scipy.special import ndtri, stdtr

    if subjects < 2:
        return np.ones(len(spread))
    rarer = np.minimum((spread <= 0).sum(axis=1), (spread >= 0).sum(axis=1))
    tail = np.minimum((rarer + 1) / (spread.shape[1] + 1), 0.5)
    return np.asarray(2 * stdtr(subjects - 1, ndtri(tail) * np.sqrt((subjects - 1) / subjects)))


def _check_same_samples(run_a: Predictions, run_b: Predictions) -> None:
    if run_a.classes != run_b.classes or run_a.multilabel != run_b.multilabel:
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


def _truth(run: Predictions) -> dict[str, tuple[str, object]]:
    """sample id -> (subject, label)."""
    return {i: (s, y) for i, s, y in zip(run.sample_id.tolist(), run.subject.tolist(), run.label.tolist(), strict=True)}
