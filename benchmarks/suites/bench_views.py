"""Preparing each registered kind of view, at its defaults, from the same clip of 128 px."""

import pytest

from merzoo.interval import Interval
from merzoo.making import make_view
from merzoo.registry import registry
from merzoo.specs import View

SIZE = 128


@pytest.fixture(scope="module")
def clip(faces):
    """Frames and interval of the first micro-expression."""
    row = faces.table().query("kind == 'micro'").iloc[0]
    return faces.frames(row["sample_id"], SIZE), Interval(row["start"], row["peak"], row["stop"])


@pytest.mark.parametrize("kind", [entry.name for entry in registry().entries("view")])
def bench_prepare(benchmark, clip, kind):
    assert benchmark(make_view(View(kind)).prepare, *clip).size
