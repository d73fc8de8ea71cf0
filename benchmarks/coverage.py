"""Whether a 95 % interval is one: how often it holds the truth on simulated runs whose truth is known.

    OMP_NUM_THREADS=1 python benchmarks/coverage.py [--runs 1000] [--only WORD]      writes benchmarks/results/coverage.json

Each scenario draws new people (a skill, prejudices, a mix of classes and a number of clips of their own), a network a seed (better or worse as a whole by
`between`, for each person by `within`), and whether each clip is recognised; its truth comes from a population of some hundred thousand people, and, where
seeds move whole runs, from all seeds. Beside `merzoo.evaluation.bootstrap` stand the methods that were tried and left, on every other run. The standard
error of a coverage of 95 % is 0.7 % over 1,000 runs. Its first line is how long an interval takes.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from merzoo.evaluation import Predictions
from merzoo.evaluation.bootstrap import _subject_counts, bootstrap, paired_difference

RESULTS = Path(__file__).parent / "results" / "coverage.json"
MEGC2019 = (250, 109, 83)  # negative, positive, surprise
POPULATION = 300_000  # people that make a truth
RESAMPLES = 2000  # a simulated run; users get 10,000
SEEDS_OF_TRUTH = np.linspace(-4, 4, 17)  # in units of `between`
Array = NDArray[Any]


@dataclass(frozen=True)
class Scenario:
    """subjects, samples: exact in every run. mix: of classes, or how common each label is. skill: of each class, log odds of being recognised."""

    name: str
    subjects: int
    samples: int
    mix: tuple[float, ...]
    skill: tuple[float, ...]
    seeds: int = 1
    within: float = 0.0  # standard deviation of a seed's luck with one person, log odds
    between: float = 0.0  # and with everybody
    people: float = 0.8  # and of people's own
    clips: float = 1.0  # and of clips' own
    multilabel: bool = False
    paired: float = 0.0  # > 0: the difference from a run that is better by so much, whose people and clips are the same


MID, HIGH, CHANCE = (1.5, 0.3, 0.8), (3.0, 1.8, 2.4), (0.0, -1.2, -1.4)
EVEN, EVEN_HIGH = (0.6, 0.2, 0.9), (2.0, 1.6, 2.6)
FIVE, FIVE_MIX = (0.8, 0.5, -0.3, 0.6, 0.9), (63, 32, 27, 25, 99)  # CASME II in five classes
UNITS = tuple(np.geomspace(0.35, 0.03, 12).tolist())  # how common 12 action units are
SCENARIOS = (
    Scenario("68 subjects, 442 samples", 68, 442, MEGC2019, MID),
    Scenario("68 subjects, 442 samples, good model", 68, 442, MEGC2019, HIGH),
    Scenario("68 subjects, 442 samples, chance", 68, 442, MEGC2019, CHANCE),
    Scenario("68 subjects, 442 samples, 3 seeds alike", 68, 442, MEGC2019, MID, 3),
    Scenario("68 subjects, 442 samples, 3 seeds, noise within folds", 68, 442, MEGC2019, MID, 3, within=0.7),
    Scenario("68 subjects, 442 samples, 3 seeds, some noise between runs", 68, 442, MEGC2019, MID, 3, within=0.5, between=0.15),
    Scenario("68 subjects, 442 samples, 3 seeds, noise between runs", 68, 442, MEGC2019, MID, 3, within=0.5, between=0.3),
    Scenario("68 subjects, 442 samples, 3 seeds, much noise between runs", 68, 442, MEGC2019, MID, 3, within=0.5, between=0.6),
    Scenario("24 subjects, 240 samples", 24, 240, (1, 1, 1), EVEN),
    Scenario("24 subjects, 240 samples, good model", 24, 240, (1, 1, 1), EVEN_HIGH),
    Scenario("24 subjects, 240 samples, rare classes", 24, 240, MEGC2019, MID),
    Scenario("24 subjects, 240 samples, 3 seeds alike", 24, 240, (1, 1, 1), EVEN, 3),
    Scenario("24 subjects, 240 samples, 3 seeds, noise within folds", 24, 240, (1, 1, 1), EVEN, 3, within=0.7),
    Scenario("24 subjects, 240 samples, 3 seeds, noise between runs", 24, 240, (1, 1, 1), EVEN, 3, within=0.5, between=0.3),
    Scenario("24 subjects, 240 samples, 3 seeds, much noise between runs", 24, 240, (1, 1, 1), EVEN, 3, within=0.5, between=0.6),
    Scenario("24 subjects, 240 samples, 10 seeds, noise between runs", 24, 240, (1, 1, 1), EVEN, 10, within=0.5, between=0.3),
    Scenario("26 subjects, 246 samples, five classes", 26, 246, FIVE_MIX, FIVE),
    Scenario("16 subjects, 164 samples", 16, 164, (70, 51, 43), EVEN),
    Scenario("68 subjects, 442 samples, 12 action units", 68, 442, UNITS, (0.8,) * 12, multilabel=True),
    Scenario("A minus B: 68 subjects, 442 samples, 1 seed each", 68, 442, MEGC2019, MID, paired=0.4),
    Scenario("A minus B: 24 subjects, 240 samples, 3 seeds each, noise between runs", 24, 240, (1, 1, 1), EVEN, 3, within=0.5, between=0.3, paired=0.4),
)


@dataclass(frozen=True)
class Crowd:
    """People and their clips. of: [N] the person of a clip; label: [N], or [N, C] booleans; odds: [N] or [N, C] log odds of being recognised; habit: [S, C]."""

    of: Array
    label: Array
    odds: Array
    habit: Array

    @classmethod
    def draw(cls, s: Scenario, rng: np.random.Generator, subjects: int, samples: int) -> Crowd:
        """Clips a person: at least one, and as uneven as in CASME II (gamma of shape 1.2); classes a person: Dirichlet of concentration 3 around the mix."""
        share, c = rng.gamma(1.2, size=subjects), len(s.mix)
        of = np.repeat(np.arange(subjects), 1 + rng.multinomial(samples - subjects, share / share.sum()))
        person = s.people * (0.5 * rng.standard_normal((subjects, c)) + 0.75**0.5 * rng.standard_normal((subjects, 1)))
        clip = s.clips * rng.standard_normal(len(of))
        if s.multilabel:
            leaning = stats.logistic.ppf(s.mix) + 0.7 * rng.standard_normal((subjects, c))
            label = rng.random((len(of), c)) < stats.logistic.cdf(leaning)[of]
            return cls(of, label, np.array(s.skill) + person[of] + clip[:, None], np.zeros(0))
        mix = np.array(s.mix) / np.sum(s.mix)
        classes = rng.standard_gamma(3 * mix, size=(subjects, c)) + 1e-12
        label = _choose(rng, classes[of])
        return cls(of, label, np.array(s.skill)[label] + person[of, label] + clip, rng.standard_gamma(4 * mix, size=(subjects, c)) + 1e-9)

    def predictions(self, s: Scenario, rng: np.random.Generator, luck: Array, better: float = 0.0) -> Predictions:
        """What networks say of them, one a luck."""
        n, people = len(self.of), int(self.of.max()) + 1
        guesses = []
        for whole in luck:
            odds = self.odds + np.expand_dims((s.within * rng.standard_normal(people))[self.of], tuple(range(1, self.odds.ndim))) + whole + better
            right = rng.random(odds.shape) < stats.logistic.cdf(odds)
            guesses.append(self._guess(s, rng, right))
        k = len(luck)
        return Predictions(
            classes=tuple(map(str, range(len(s.mix)))),
            sample_id=np.tile(np.arange(n).astype(str), k),
            subject=np.tile(self.of.astype(str), k),
            label=np.concatenate([self.label] * k),
            probabilities=np.concatenate(guesses),
            seed=np.repeat(np.arange(k), n),
            draw=np.zeros(k * n, dtype=np.int64),
        )

    def _guess(self, s: Scenario, rng: np.random.Generator, right: Array) -> Array:
        """[N, C] probabilities of 0 and 1. A label that is there is found or not; one that is not is seen as often as it is overlooked, times its share."""
        if s.multilabel:
            common = np.array(s.mix) / (1 - np.array(s.mix))
            return np.where(self.label, right, ~right & (rng.random(right.shape) < common)).astype(float)
        habit = self.habit[self.of].copy()
        habit[np.arange(len(habit)), self.label] = 0
        return np.eye(len(s.mix))[np.where(right, self.label, _choose(rng, habit))]


def _choose(rng: np.random.Generator, shares: Array) -> Array:
    """[N] one class a row, as often as its share says."""
    steps = shares.cumsum(axis=1)
    return np.asarray((rng.random(len(shares))[:, None] * steps[:, -1:] > steps[:, :-1]).sum(axis=1))


def truths(s: Scenario, rng: np.random.Generator) -> Array:
    """[luck, metrics] the score over the population under each luck of a seed (in units of `between`)."""
    luck = SEEDS_OF_TRUTH if s.between else np.zeros(1)
    people = POPULATION // len(luck)
    rows = []
    for unit in luck:
        crowd = Crowd.draw(s, rng, people, people * s.samples // s.subjects)
        pools = [crowd.predictions(s, rng, np.array([unit * s.between]), better) for better in ((s.paired, 0.0) if s.paired else (0.0,))]
        values = [pool.values(pool.tally()[0]) for pool in pools]
        rows.append(values[0] - values[1] if s.paired else values[0])
    return np.array(rows)


def cover(s: Scenario, runs: int) -> dict[str, Any]:
    """Coverage of every method, and the bias of the score."""
    rng = np.random.default_rng([2019, *s.name.encode()])
    table, started = truths(s, rng), time.monotonic()
    weights = stats.norm.pdf(SEEDS_OF_TRUTH) if s.between else np.ones(1)
    truth = weights @ table / weights.sum()
    value: list[list[float]] = []
    found: dict[str, list[Array]] = {}
    for run in range(runs):
        crowd = Crowd.draw(s, rng, s.subjects, s.samples)
        luck = s.between * rng.standard_normal((2, s.seeds))
        pool = crowd.predictions(s, rng, luck[0], s.paired)
        made = paired_difference(pool, crowd.predictions(s, rng, luck[1]), RESAMPLES, run) if s.paired else bootstrap(pool, RESAMPLES, run)
        intervals = {"merzoo": np.array([[e.low, e.high] for e in made.scores.values()])}
        if not s.paired and run % 2 == 0:  # half of the runs say enough of methods that nobody uses
            intervals |= others(pool, rng)
        for name, ends in intervals.items():
            found.setdefault(name, []).append(ends)
        value.append([e.value for e in made.scores.values()])
    values = np.array(value)
    return {
        **{key: v for key, v in asdict(s).items() if key != "name"},
        "metrics": list(pool.metrics),
        "truth": _round(truth),
        "bias": _round(values.mean(axis=0) - truth),
        "deviation": _round(values.std(axis=0)),
        "methods": {name: {"runs": len(ends), **_misses(np.array(ends), truth)} for name, ends in found.items()},
        "seconds": round(time.monotonic() - started),
    }


def _misses(ends: Array, truth: Array) -> dict[str, list[float]]:
    below, above = 100 * (truth < ends[..., 0]).mean(axis=0), 100 * (truth > ends[..., 1]).mean(axis=0)
    width = np.median(ends[..., 1] - ends[..., 0], axis=0)
    return {"covered": _round(100 - below - above, 1), "truth_below": _round(below, 1), "truth_above": _round(above, 1), "median_width": _round(width)}


def _round(values: Array, digits: int = 4) -> list[float]:
    return [round(float(v), digits) for v in values]


def others(pool: Predictions, rng: np.random.Generator) -> dict[str, Array]:
    """[metrics, 2] intervals of the methods that were tried and left."""
    people, s = np.unique(pool.subject, return_inverse=True)
    seeds, _, r = pool.replicates
    n, k = len(people), len(seeds)
    tallies = pool.tally(s * k + r, n * k).astype(float)
    flat = tallies.reshape(n, -1)

    def values(counts: Array) -> Array:
        return pool.values((counts @ flat).reshape(-1, k, *tallies.shape[1:]))

    counts = np.concatenate([*_subject_counts(rng, n, RESAMPLES, flat.shape[1])])
    drawn, one = values(counts), values(np.ones((1, n)))[:, 0].mean(axis=-1)
    seed_weights = rng.multinomial(k, np.full(k, 1 / k), size=RESAMPLES) / k
    kept, left_out = drawn.mean(axis=-1), values(1 - np.eye(n)).mean(axis=-1)
    pull = left_out.mean(axis=1, keepdims=True) - left_out
    skew = (pull**3).sum(axis=1) / np.maximum(6 * (pull**2).sum(axis=1) ** 1.5, 1e-12)
    share = ((kept < one[:, None]).mean(axis=1) + (kept <= one[:, None]).mean(axis=1)) / 2
    shift = stats.norm.ppf(np.clip(share, 1 / RESAMPLES, 1 - 1 / RESAMPLES))
    z = np.array([-1.96, 1.96])
    levels = stats.norm.cdf(shift[:, None] + (shift[:, None] + z) / (1 - skew[:, None] * (shift[:, None] + z)))
    return {
        "percentiles, seeds drawn too": _percentiles((drawn * seed_weights).sum(axis=-1)),
        "percentiles, seeds kept": _percentiles(kept),
        "percentiles, Dirichlet weights, seeds kept": _percentiles(values(rng.dirichlet(np.ones(n), size=RESAMPLES) * n).mean(axis=-1)),
        "BCa, seeds kept": np.array([np.quantile(row, level) for row, level in zip(kept, levels, strict=True)]),
    }


def _percentiles(drawn: Array) -> Array:
    return np.quantile(drawn, [0.025, 0.975], axis=1).T


def speed() -> float:
    """Seconds of 10,000 resamples of 442 predictions of 68 subjects, in one thread; best of five."""
    rng = np.random.default_rng(0)
    pool = Crowd.draw(SCENARIOS[0], rng, 68, 442).predictions(SCENARIOS[0], rng, np.zeros(1))
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        bootstrap(pool)
        seconds.append(time.perf_counter() - started)
    return round(min(seconds), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--only", default="", help="scenarios whose name holds this word; nothing is written")
    args = parser.parse_args()
    seconds = speed()
    print(f"10,000 resamples of 442 predictions of 68 subjects: {seconds} s", flush=True)
    made: dict[str, Any] = {}
    for s in SCENARIOS:
        if args.only in s.name:
            made[s.name] = cover(s, args.runs)
            print(f"{s.name}: truth {made[s.name]['truth']}, bias {made[s.name]['bias']}, {made[s.name]['seconds']} s", flush=True)
            for method, found in made[s.name]["methods"].items():
                print(f"    {method:44} {found['covered']}", flush=True)
    if not args.only:
        RESULTS.write_text(json.dumps({"seconds": seconds, "runs": args.runs, "resamples": RESAMPLES, "scenarios": made}, indent=1) + "\n")


if __name__ == "__main__":
    main()
