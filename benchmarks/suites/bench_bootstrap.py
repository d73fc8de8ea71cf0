"""Intervals of a run under LOSO: 10,000 resamples of 68 people with 6 clips each."""

import pytest

from merzoo.evaluation.bootstrap import RESAMPLES, bootstrap
from merzoo.evaluation.runs import predictions
from merzoo.testing.runs import clip_table, write_run


@pytest.mark.parametrize("seeds", [1, 3])
def bench_intervals(benchmark, tmp_path, seeds):
    pool = predictions(write_run(tmp_path / "run", clip_table(subjects=68, samples=6), seeds=list(range(seeds))))
    assert benchmark(bootstrap, pool).resamples == RESAMPLES
