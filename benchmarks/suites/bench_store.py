"""The clip store: writing four clips of 64 px that are rendered already, and opening what is there; and what rendering one of them takes."""

import shutil

import pytest

from merzoo.data.store import open_store
from merzoo.specs import Preprocessing

SMALL = Preprocessing(size=64)
CLIPS = 4


class Rendered:
    """The first clips of a source, kept in memory: what is left is the store's own work."""

    def __init__(self, source):
        self.name, self.source_hash = "rendered", source.source_hash
        self.kept = {sample: source.crops(sample, SMALL) for sample in list(source.lengths())[:CLIPS]}

    def lengths(self):
        return {sample: len(frames) for sample, frames in self.kept.items()}

    def crops(self, sample, preprocessing):
        return self.kept[sample]


@pytest.fixture(scope="module")
def rendered(faces):
    (source,) = faces.sources
    return Rendered(source)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache: that of the other suites holds stores too."""
    monkeypatch.setenv("MERZOO_CACHE", str(tmp_path))
    return tmp_path


def bench_render(benchmark, faces):
    (source,) = faces.sources
    assert benchmark(source.crops, next(iter(source.lengths())), SMALL).size


def bench_build(benchmark, rendered, cache):
    def forget():
        shutil.rmtree(cache / "stores", ignore_errors=True)

    assert benchmark.pedantic(open_store, (rendered, SMALL), setup=forget, rounds=20, warmup_rounds=1).chunks


def bench_open(benchmark, rendered, cache):
    open_store(rendered, SMALL)
    assert benchmark(open_store, rendered, SMALL).chunks
