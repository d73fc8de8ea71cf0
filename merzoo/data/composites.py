"""The composites of the field, by name: which data sets they join, under which label sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from merzoo.data.composite import Composite
from merzoo.data.readers.labels import Published, published
from merzoo.data.roots import members
from merzoo.data.skipping import Skip
from merzoo.data.sources import open_one
from merzoo.errors import DataError


class Known(Composite):
    """A composite by name. roots: of its members by name, or under "" the folder that holds them all. skip: clips to leave out of all."""

    title: ClassVar[str]
    members: ClassVar[Mapping[str, str]]  # data set -> its part
    parts: ClassVar[tuple[str, ...]] = ("3",)

    def __init__(self, roots: Mapping[str, Path], part: str = "", skip: Skip | None = None) -> None:
        chosen = self.chosen(part)
        found = members(roots, chosen)
        super().__init__(self.title, part or self.parts[0], [open_one(f"{name}:{own}", found, skip=skip) for name, own in chosen.items()])

    @classmethod
    def chosen(cls, part: str) -> Mapping[str, str]:
        """{data set: its part} of the members. Raises `DataError` for a part that the composite does not have."""
        _known_part(cls.title, part or cls.parts[0], cls.parts)
        return cls.members


class Megc2019(Known):
    """The MEGC2019 composite: SMIC-HS, CASME II and SAMM in three classes; 442 clips of 68 subjects with the published classes in each set, or it is refused.

    part "partial" takes whatever clips are there, under that name.
    """

    title = "megc2019"
    members: ClassVar = {"smic": "3", "casme2": "megc2019", "samm": "3"}
    parts = ("3", "partial")

    def __init__(self, roots: Mapping[str, Path], part: str = "", skip: Skip | None = None) -> None:
        super().__init__(roots, part, skip)
        if self.part != "partial" and (differs := ", ".join(self._differs())):
            raise DataError(f"megc2019 is not as published: {differs}; see `merzoo data verify megc2019`, or take megc2019:partial")

    def _differs(self) -> Iterator[str]:
        """What is found against what is published, where they differ: of the whole, then of each set and class."""
        micro = self.table().query("kind == 'micro'")
        for name, part, rows in (("", "3", micro), *((name, part, micro[micro["dataset"] == name]) for name, part in self.members.items())):
            for known in published(name or self.title):
                if known.part == part:
                    some = rows[rows["emotion"] == known.label] if known.label else rows
                    found = len(some), some["subject"].nunique()
                    if found[0] != known.samples or known.subjects not in (None, found[1]):
                        yield _told(f"{name or 'in all'} {known.label}".strip(), *found, known)

    @property
    def published_part(self) -> str:
        """The whole."""
        return self.parts[0]


class CasmeSammMmew(Known):
    """CASME II, SAMM and MMEW in three classes (145 + 133 + 234 = 512 clips where all are whole)."""

    title = "casme2-samm-mmew"
    members: ClassVar = {"casme2": "megc2019", "samm": "3", "mmew": "3"}


class Cross(Known):
    """Data sets to leave out one by one. part: members joined by commas; without it, all."""

    parts = ("",)

    @classmethod
    def chosen(cls, part: str) -> Mapping[str, str]:
        """See `Known.chosen`."""
        names = dict.fromkeys(part.split(",") if part else cls.members)
        for name in names:
            _known_part(cls.title, name, tuple(cls.members))
        if len(names) < 2:
            raise DataError(f"{cls.title}: one data set cannot be left out of itself; give two or more of {', '.join(cls.members)}")
        return {name: cls.members[name] for name in names}


class CrossEmotions(Cross):
    """Three classes in six data sets (our choice of those with emotions that map)."""

    title = "cross-emotions"
    members: ClassVar = {"casme2": "3", "samm": "3", "smic": "3", "mmew": "3", "casme3": "3", "4dme": "3"}


class CrossAus(Cross):
    """Twelve action units, as in CD6ME (arXiv 2211.11425's data sets without CASME, whose layout is not known to us)."""

    title = "cross-aus"
    members: ClassVar = {"casme2": "aus", "samm": "aus", "4dme": "aus", "mmew": "aus", "casme3": "aus"}


def _told(what: str, clips: int, people: int, known: Published) -> str:
    if known.subjects is None:
        return f"{what} {clips} clips (published {known.samples})"
    return f"{what} {clips} clips of {people} subjects (published {known.samples} of {known.subjects})"


def _known_part(name: str, part: str, parts: tuple[str, ...]) -> None:
    if part not in parts:
        raise DataError(f"{name} has no part '{part}'; there is {', '.join(parts)}")
