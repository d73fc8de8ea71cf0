"""A table of labels: what is called one thing in somebody's data counts as another class, or as none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from merzoo.data.readers.parse import parse_emotion, parse_text
from merzoo.data.readers.sheets import read_sheet
from merzoo.errors import DataError
from merzoo.text import plain


@dataclass(frozen=True)
class Remap:
    """to: {label as `parse_emotion` gives it: class as written in the table, "" where its clips are left out}."""

    path: Path
    to: Mapping[str, str]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order in which the table first names them."""
        return tuple(dict.fromkeys(filter(None, self.to.values())))


def read_remap(path: Path | str) -> Remap:
    """Read a table with the columns `from` and `to` (.csv, .tsv, .xlsx).

    `from` is matched without regard to case, and "happy" is "happiness" as everywhere (`parse_emotion`). `to` is the class as it will be called.
    Raises `DataError` for a file that is no such table, an empty `from`, one label that would be two classes, a class with "+" in it, and no class at all.
    """
    path = Path(path).expanduser()
    shown = plain(path)
    to: dict[str, str] = {}
    for row in read_sheet(path, {"from": ("from",), "to": ("to",)}, required=("from", "to")).rows:
        label, target = parse_emotion(row.cells.get("from")), parse_text(row.cells.get("to"))
        if not label:
            raise DataError(f"{shown} row {row.number} has nothing under 'from'; write the label that is to be renamed")
        if "+" in label or "+" in target:
            raise DataError(f"{shown} row {row.number}: '+' joins the labels of one clip and cannot be part of a name; map each label in a row of its own")
        if to.setdefault(label, target) != target:
            raise DataError(f"{shown} row {row.number} maps {label!r} to {target!r}, an earlier row to {to[label]!r}; keep one")
    remap = Remap(path, to)
    if not remap.labels:
        raise DataError(f"{shown} leaves every label out; write a class under 'to' in at least one row")
    return remap
