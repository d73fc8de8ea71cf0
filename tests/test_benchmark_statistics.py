"""What is said of measured times."""

from __future__ import annotations

import numpy as np
import pytest

from merzoo.benchmark.statistics import BLOCKS, RESAMPLES, SEED, intervals, rounded, summary

RNG = np.random.default_rng(7)


def test_summary_is_numpys() -> None:
    times = RNG.gamma(2, 100, 1003).round(2)
    found = summary(times.tolist())
    assert found["count"] == 1003
    assert found["mean"] == pytest.approx(times.mean())
    assert [found[name] for name in ("p50", "p95", "p99")] == pytest.approx(np.percentile(times, [50, 95, 99]))
    assert (found["min"], found["max"]) == (times.min(), times.max())
    assert found["iqr"] == pytest.approx(np.subtract(*np.percentile(times, [75, 25])))


def test_outliers_are_counted_and_kept() -> None:
    times = [10.0, 11.0, 12.0, 13.0] * 25 + [500.0, 600.0]
    found = summary(times)
    assert found["outliers"] == 2
    assert found["max"] == 600.0
    assert summary([10.0, 11.0, 12.0, 13.0] * 25)["outliers"] == 0


@pytest.mark.parametrize("count", [1, 3, 19, 20, 21, 57, 1000])
def test_intervals_are_those_of_laid_out_resamples(count: int) -> None:
    times = RNG.gamma(2, 100, count).round(1)  # with ties
    blocks = np.array_split(times, min(BLOCKS, count))
    drawn = np.random.default_rng(SEED).integers(len(blocks), size=(RESAMPLES, len(blocks)))
    laid_out = [np.percentile(np.concatenate([blocks[block] for block in row]), [50, 95]) for row in drawn]
    low, high = intervals(times, (50, 95))
    assert np.allclose([low, high], np.percentile(laid_out, [2.5, 97.5], axis=0), rtol=1e-12)


def test_interval_covers_the_median_of_times_that_hang_together() -> None:
    """Each time is half the one before; drawing single samples would cover far less."""
    covered, single, runs = 0, 0, 150
    for _ in range(runs):
        steps, times = RNG.normal(size=600), np.empty(600)
        times[0] = steps[0]
        for i in range(1, 600):
            times[i] = 0.8 * times[i - 1] + steps[i]
        low, high = summary((times + 100).tolist())["p50_interval"]
        covered += low <= 100 <= high
        medians = np.median(RNG.choice(times + 100, (200, 600)), axis=1)
        a, b = np.percentile(medians, [2.5, 97.5])
        single += a <= 100 <= b
    assert covered / runs > 0.85
    assert single / runs < 0.7


def test_no_samples_and_infinite_ones_are_refused() -> None:
    for times in ([], [1.0, float("nan")], [float("inf")]):
        with pytest.raises(ValueError, match="finite"):
            summary(times)


def test_rounded_keeps_four_digits() -> None:
    assert [rounded(value) for value in (123456.7, 0.00123456, 12.0)] == [123500.0, 0.001235, 12.0]
