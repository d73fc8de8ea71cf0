"""What the suites share: caches of their own, one thread a process, and what a saved run says of itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from merzoo.data.synthetic import SyntheticFaces

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")  # several wait for one another: more noise
COMMIT = ("id", "time", "dirty")
SIDE, PRODUCTS = 256, 40  # tens of milliseconds: several turns of a scheduler, so that others who compute are noticed


def pytest_configure(config: pytest.Config) -> None:
    """Before torch, OpenCV and huggingface_hub are imported, which read these as they are."""
    folder = TemporaryDirectory(prefix="merzoo-bench-")
    config.add_cleanup(folder.cleanup)
    os.environ |= {"MERZOO_CACHE": f"{folder.name}/merzoo", "HF_HUB_CACHE": f"{folder.name}/hub", "HF_HUB_OFFLINE": "1"}
    os.environ |= dict.fromkeys(ONE_THREAD, "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each file is an area, and a table of its own."""
    for item in items:
        item.add_marker(pytest.mark.benchmark(group=item.path.stem.removeprefix("bench_")))


def pytest_benchmark_generate_machine_info() -> dict[str, Any]:
    """The environment block of a run and the cores, in the place of pytest-benchmark's own, which holds the host's name."""
    from merzoo.evaluation.runs import environment

    return {**environment("cpu", threads=1), "cores": os.cpu_count()}


def pytest_benchmark_update_commit_info(commit_info: dict[str, Any]) -> None:
    """The commit, without the names of its branch and folder."""
    for name in commit_info.keys() - set(COMMIT):
        del commit_info[name]


def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    """Without the time of every single round, which is most of the file."""
    for found in output_json["benchmarks"]:
        del found["stats"]["data"]


@pytest.fixture(autouse=True)
def yardstick(benchmark: BenchmarkFixture) -> Iterator[None]:
    """Seconds of a fixed piece of work before and after each benchmark: they tell a slower machine from a slower program."""
    before = _product() if benchmark.enabled else 0.0
    yield
    if benchmark.enabled:
        benchmark.extra_info["yardstick"] = [before, _product()]


def _product() -> float:
    import numpy as np

    square = np.ones((SIDE, SIDE), np.float32)
    square @ square  # the first of a process starts the library up
    began = time.perf_counter()
    for _ in range(PRODUCTS):
        square @ square
    return time.perf_counter() - began


@pytest.fixture(scope="session")
def python() -> Callable[..., str]:
    """Run a fresh interpreter and give what it prints."""

    def run(*arguments: str) -> str:
        return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True).stdout

    return run


@pytest.fixture(scope="session")
def faces() -> SyntheticFaces:
    """The synthetic faces' part for tests: 19 clips."""
    from merzoo.data.synthetic import SyntheticFaces

    return SyntheticFaces("tiny")
