"""Opening a data set by name, as the command line gives it: `synthetic` or `synthetic:development`."""

from __future__ import annotations

from collections.abc import Callable

from merzoo.data.clips import ClipData
from merzoo.data.table import Dataset
from merzoo.making import make
from merzoo.registry import registry
from merzoo.specs import Preprocessing


def open_dataset(name: str) -> Dataset:
    """A registered data set by NAME or NAME:PART. Raises `UnknownNameError` for a name or a part that is not there."""
    name, _, part = name.partition(":")
    entry = registry().get("dataset", name)
    return make(entry.load(), f"data set '{name}'", {"part": part} if part else {})


def open_clips(data: str | Dataset, preprocessing: Preprocessing, *, jobs: int = 1, progress: Callable[[int, int], None] | None = None) -> ClipData:
    """The clips of a data set, given by name or as it is, under a preprocessing, with their store built where there was none."""
    dataset = open_dataset(data) if isinstance(data, str) else data
    return ClipData(dataset, preprocessing, jobs=jobs, progress=progress)
