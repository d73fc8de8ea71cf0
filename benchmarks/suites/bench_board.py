"""A board from 40 result files, half of them scores and half costs: every score made again from its predictions, and the page."""

import pytest

from merzoo.leaderboard.build import build
from merzoo.testing.many_results import write_results


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    write_results(folder, 40)
    return folder


def bench_build(benchmark, folder, tmp_path):
    assert not benchmark(build, folder, tmp_path / "site")["left_out"]
