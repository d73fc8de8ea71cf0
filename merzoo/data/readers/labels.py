"""Label sets as data: which native emotion counts as which class in which part of a data set, which clips a part leaves out, and the published counts."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from importlib import resources

CROSS_AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17)  # the twelve action units of cross-data-set tests (CD6ME)
AUS = "aus"  # the part of a data set whose labels are these action units


@dataclass(frozen=True)
class Published:
    """A count that the field quotes. sheet: glob of the annotation file it holds for; part "sheet": all its rows; label "": of all classes."""

    dataset: str
    sheet: str
    part: str
    label: str
    samples: int
    subjects: int | None
    source: str


@cache
def label_sets(dataset: str) -> Mapping[str, Mapping[str, str]]:
    """{part: {native emotion: class}} of a data set, in the order of the table."""
    sets: dict[str, dict[str, str]] = {}
    for row in _rows("label_sets.csv"):
        if row["dataset"] == dataset:
            sets.setdefault(row["part"], {})[row["emotion"]] = row["label"]
    return sets


@cache
def exclusions(dataset: str, part: str) -> Mapping[str, str]:
    """{"subject/clip": reason} of the clips that a part leaves out."""
    return {row["clip"]: row["reason"] for row in _rows("exclusions.csv") if (row["dataset"], row["part"]) == (dataset, part)}


@cache
def published(dataset: str) -> tuple[Published, ...]:
    """All published counts of a data set."""
    rows = [row for row in _rows("published.csv") if row["dataset"] == dataset]
    return tuple(
        Published(dataset, r["sheet"], r["part"], r["label"], int(r["samples"]), int(r["subjects"]) if r["subjects"] else None, r["source"]) for r in rows
    )


def published_for(dataset: str, sheet: str, part: str, label: str = "") -> Published | None:
    """The count for a part under an annotation file: the row with the most specific glob that fits, or None."""
    fits = [p for p in published(dataset) if (p.part, p.label) == (part, label) and fnmatch(sheet.lower(), p.sheet.lower())]
    return max(fits, key=lambda p: len(p.sheet), default=None)


def _rows(name: str) -> list[dict[str, str]]:
    text = (resources.files("merzoo.data.readers") / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
