"""What is said of measured times: percentiles, their intervals, outliers. Made from the samples alone, so that anybody can make it again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

BLOCKS, RESAMPLES, SEED = 20, 1_000, 0
LEVELS = (2.5, 97.5)  # percent: the ends of the intervals
GRID = 64  # samples that are looked at first
FAR = 3.0  # interquartile ranges above the third quartile, where outliers begin


def rounded(value: float, digits: int = 4) -> float:
    """A number to that many significant digits, as samples are written."""
    return float(f"{value:.{digits}g}")


def summary(samples_us: Sequence[float]) -> dict[str, Any]:
    """Summary of times in microseconds, in the order in which they were measured: count, mean, p50, p95, p99, min, max, iqr, the 95 % intervals p50_interval
    and p95_interval, and how many are outliers.

    Percentiles are numpy's (linear). Raises `ValueError` without samples, and for those that are not finite.
    """
    times = np.asarray(samples_us, dtype=np.float64)
    if times.ndim != 1 or not len(times) or not np.isfinite(times).all():
        raise ValueError("a summary needs a list of finite times, at least one")
    first, p50, third, p95, p99 = (float(value) for value in np.percentile(times, (25, 50, 75, 95, 99)))
    low, high = intervals(times, (50, 95))
    return {
        "count": len(times),
        "mean": float(times.mean()),
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "min": float(times.min()),
        "max": float(times.max()),
        "iqr": third - first,
        "p50_interval": [low[0], high[0]],
        "p95_interval": [low[1], high[1]],
        "outliers": int((times > third + FAR * (third - first)).sum()),
    }


def intervals(times: np.ndarray, percentiles: Sequence[float]) -> tuple[list[float], list[float]]:
    """Lower and upper ends of the 95 % intervals of these percentiles, by drawing 20 consecutive blocks of samples with replacement, 1,000 times, seed 0
    (our choice: neighbouring samples resemble one another, so that drawing single ones would make the intervals too narrow).

    A resample is never laid out: how often each block was drawn, times the samples of that block below a value, says how many lie below it.
    """
    blocks = min(BLOCKS, len(times))
    block = np.repeat(np.arange(blocks), [len(part) for part in np.array_split(times, blocks)])
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    below = np.cumsum(block[order][:, None] == np.arange(blocks), axis=0, dtype=np.float32)  # [samples, blocks], exact below 2**24
    draws = _draws(blocks)
    at = (draws @ below[-1] - 1).astype(np.float64) * np.array(percentiles)[:, None] / 100  # [percentiles, resamples] places in the sorted resample
    floor = np.floor(at)
    lower, upper = ordered[_first_above(below, draws, np.stack([floor, np.ceil(at)]))]
    low, high = np.percentile(lower + (upper - lower) * (at - floor), LEVELS, axis=1)
    return low.tolist(), high.tolist()


def _first_above(below: np.ndarray, draws: np.ndarray, places: np.ndarray) -> np.ndarray:
    """[..., resamples] the first sample of which more than so many samples of a resample are at most as large: on a grid, then by
    bisection."""
    last = len(below) - 1
    step = -(-len(below) // GRID)
    grid = draws @ below[step - 1 :: step].T
    low = np.minimum((grid <= places[..., None]).sum(axis=-1) * step, last)
    high = np.minimum(low + step - 1, last)
    while (low < high).any():
        middle = (low + high) // 2
        above = np.einsum("...rb,rb->...r", below[middle], draws) > places
        low, high = np.where(above, low, middle + 1), np.where(above, middle, high)
    return low


@lru_cache
def _draws(blocks: int) -> np.ndarray:
    """How often each block is in each resample, float32 [resamples, blocks]."""
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(blocks, size=(RESAMPLES, blocks))
    return np.stack([np.bincount(row, minlength=blocks) for row in drawn]).astype(np.float32)
