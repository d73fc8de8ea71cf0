"""`merzoo.load` in a process that has everything imported: the weights of a plugin, and a published model in the Hub's cache.

`benchmarks/load.py` measures the latter in fresh processes.
"""

import os
import time
from pathlib import Path

import pytest
from load import COMMIT, publish

import merzoo
from merzoo.digests import SETTLED


def bench_embedded(benchmark):
    assert benchmark(merzoo.load, "miacnet-ma2mi").weights


@pytest.fixture
def published(benchmark) -> str:
    """MIACNet with wider layers, 11 million parameters, whose sha256 will be remembered."""
    publish("miacnet,backbone.mlp_ratio=6", "full", Path(os.environ["HF_HUB_CACHE"]) / "models--org--net" / "snapshots" / COMMIT)
    if benchmark.enabled:
        time.sleep(SETTLED + 0.5)  # what has changed just now is hashed again by every load
    return f"hf-hub:org/net@{COMMIT}"


def bench_published(benchmark, published):
    assert benchmark(merzoo.load, published).weights
