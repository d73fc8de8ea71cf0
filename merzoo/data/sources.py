"""Opening a data set by name, as the command line gives it: `synthetic` or `synthetic:development`."""

from __future__ import annotations

from collections.abc import Callable

from merzoo.data.clips import ClipData
from merzoo.data.table import Dataset
from merzoo.making import make
from merzoo.registry import registry
from merzoo.specs import Preprocessing


def open_dataset(name: str) -> tuple[Dataset, tuple[str, ...]]:
    """A registered data set by NAME or NAME:PART, and what it provides. Raises `UnknownNameError` for a name or a part that is not there."""
    name, _, part = name.partition(":")
    entry = registry().get("dataset", name)
    return make(entry.load(), f"data set '{name}'", {"part": part} if part else {}), entry.provides


def open_clips(
    name: str, preprocessing: Preprocessing, *, jobs: int = 1, progress: Callable[[int, int], None] | None = None
) -> tuple[ClipData, tuple[str, ...]]:
    """The clips of a data set under a preprocessing, with their store built where there was none, and what the data set provides."""
    dataset, provides = open_dataset(name)
    return ClipData(dataset, preprocessing, jobs=jobs, progress=progress), provides
