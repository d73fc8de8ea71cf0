"""Several data sets as one: their clips in one table under one class list."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from merzoo.data.table import ClipSource, Dataset, labels_of
from merzoo.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


class Composite:
    """Data sets side by side, and the macro clips alone of others (`macro`), which keep a label where it is one of the classes: elsewhere
    it is unknown which they would have.

    Raises `DataError` where the class lists or tasks differ.
    """

    def __init__(self, name: str, part: str, datasets: Sequence[Dataset], macro: Sequence[Dataset] = ()) -> None:
        self.name, self.part, self.datasets, self.macro = name, part, tuple(datasets), tuple(macro)
        first = self.datasets[0]
        for other in self.datasets[1:]:
            if set(other.labels) != set(first.labels) or other.task != first.task:
                raise DataError(f"{name}: {told(first)} and {told(other)} have other classes; choose parts with one class list")
        self.labels, self.task = tuple(first.labels), first.task

    @property
    def published_part(self) -> str:
        """The part under which its counts are published: what is partial is compared with the whole."""
        return self.part

    @property
    def provides(self) -> tuple[str, ...]:
        """What every data set has, and macro clips where anyone has them."""
        common = set.intersection(*(set(d.provides) for d in self.datasets))
        macro = any("macro-clips" in d.provides for d in (*self.datasets, *self.macro))
        return tuple(sorted(common | ({"macro-clips"} if macro else set())))

    @property
    def sources(self) -> tuple[ClipSource, ...]:
        """The sources of all, each once."""
        return tuple({source.source_hash: source for d in (*self.datasets, *self.macro) for source in d.sources}.values())

    @cached_property
    def manifest_hash(self) -> str:
        """sha256 over the manifests of all, in order."""
        parts = [f"{kind} {d.name}:{d.part} {d.manifest_hash}" for kind, group in (("all", self.datasets), ("macro", self.macro)) for d in group]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def table(self) -> pd.DataFrame:
        """All rows of the data sets, then the macro rows of the others."""
        import pandas as pd

        tables = [dataset.table() for dataset in self.datasets]
        for dataset in self.macro:
            rows = dataset.table().query("kind == 'macro'")
            if rows.empty:
                raise DataError(f"{told(dataset)} has no macro clips to add; choose a data set that has, such as dfew")
            tables.append(rows.assign(emotion=pd.Series([self._kept(cell, dataset) for cell in rows["emotion"]], rows.index, dtype=object)))
        joined = pd.concat(tables, ignore_index=True)
        return joined.fillna({"fold": ""}) if "fold" in joined else joined

    def _kept(self, cell: object, other: Dataset) -> str | None:
        """The label of another data set's macro clip, in these classes; where it has none, "" or, since that would be "none of them", a missing value."""
        if self.task == "classes":
            return cell if isinstance(cell, str) and cell in self.labels else ""
        mine = labels_of(cell) if isinstance(cell, str) else ()
        none_active = cell == "" and other.task == "multi-label" and set(self.labels) <= set(other.labels)
        return "+".join(mine) if none_active or (mine and set(mine) <= set(self.labels)) else None


def leaves(dataset: Dataset) -> Iterator[Dataset]:
    """The data sets that one is made of, itself where it is no composite."""
    if isinstance(dataset, Composite):
        for one in (*dataset.datasets, *dataset.macro):
            yield from leaves(one)
    else:
        yield dataset


def told(dataset: Dataset) -> str:
    """NAME or NAME:PART of a data set."""
    return f"{dataset.name}:{dataset.part}" if dataset.part else dataset.name
