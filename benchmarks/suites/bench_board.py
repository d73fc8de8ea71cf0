"""A board from a folder of 20 runs: every score made again from the predictions, and the page."""

import pytest

from merzoo.leaderboard.build import build
from merzoo.testing.runs import clip_table, write_run

RUNS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    table, folder = clip_table(), tmp_path_factory.mktemp("runs")
    for number in range(RUNS):
        write_run(folder / f"run-{number}", table, skill=number / RUNS, model=f"net-{number}")
    return folder


def bench_build(benchmark, folder, tmp_path):
    assert not benchmark(build, folder, tmp_path / "site")["left_out"]
