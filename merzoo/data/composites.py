"""The composites of the field, by name: which data sets they join, under which label sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from merzoo.data.composite import Composite
from merzoo.data.roots import members
from merzoo.data.sources import open_dataset
from merzoo.data.table import Dataset
from merzoo.errors import DataError


class Megc2019(Composite):
    """The MEGC2019 composite: SMIC-HS, CASME II and SAMM in three classes; 442 clips of 68 subjects, or it is refused.

    part "partial" takes whatever clips are there, under that name.
    """

    def __init__(self, roots: Mapping[str, Path], part: str = "3") -> None:
        _known_part("megc2019", part, ("3", "partial"))
        super().__init__("megc2019", part, _open(("smic:3", "casme2:megc2019", "samm:3"), roots))
        if part != "partial":
            found = self.table().query("kind == 'micro'")
            clips, people = len(found), found["subject"].nunique()
            if (clips, people) != (442, 68):
                each = ", ".join(f"{name} {n}" for name, n in found["dataset"].value_counts(sort=False).items())
                raise DataError(
                    f"megc2019 has 442 clips of 68 subjects, found are {clips} of {people} ({each}; published: smic 164, casme2 145, samm 133); "
                    "see `merzoo data verify`, or take megc2019:partial"
                )


    @property
    def published_part(self) -> str:
        """The whole."""
        return "3"


class CasmeSammMmew(Composite):
    """CASME II, SAMM and MMEW in three classes (145 + 133 + 234 = 512 clips where all are whole)."""

    def __init__(self, roots: Mapping[str, Path], part: str = "3") -> None:
        _known_part("casme2-samm-mmew", part, ("3",))
        super().__init__("casme2-samm-mmew", part, _open(("casme2:megc2019", "samm:3", "mmew:3"), roots))


class Cross(Composite):
    """Data sets to leave out one by one. part: members joined by commas; without it, all."""

    title: ClassVar[str]
    members: ClassVar[Mapping[str, str]]

    def __init__(self, roots: Mapping[str, Path], part: str = "") -> None:
        chosen = part.split(",") if part else [*self.members]
        for name in chosen:
            _known_part(self.title, name, tuple(self.members))
        if len(set(chosen)) < 2:
            raise DataError(f"{self.title}: one data set cannot be left out of itself; give two or more of {', '.join(self.members)}")
        super().__init__(self.title, part, _open([f"{name}:{self.members[name]}" for name in dict.fromkeys(chosen)], roots))


class CrossEmotions(Cross):
    """Three classes in six data sets (our choice of those with emotions that map)."""

    title = "cross-emotions"
    members: ClassVar = {"casme2": "3", "samm": "3", "smic": "3", "mmew": "3", "casme3": "3", "4dme": "3"}


class CrossAus(Cross):
    """Twelve action units, as in CD6ME (arXiv 2211.11425's data sets without CASME, whose layout is not known to us)."""

    title = "cross-aus"
    members: ClassVar = {"casme2": "aus", "samm": "aus", "4dme": "aus", "mmew": "aus", "casme3": "aus"}


def _open(names: Sequence[str], roots: Mapping[str, Path]) -> list[Dataset]:
    known = members(roots)
    return [open_dataset(name, roots={key: root for key, root in known.items() if key == name.partition(":")[0]}) for name in names]


def _known_part(name: str, part: str, parts: Sequence[str]) -> None:
    if part not in parts:
        raise DataError(f"{name} has no part '{part}'; there is {', '.join(parts)}")
