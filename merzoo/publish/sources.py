"""Which data a model was trained on: under what terms they may be had, and whether the ids of their people may be somebody's names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from merzoo.errors import MerzooError
from merzoo.registry import registry

Kind = Literal["synthetic", "licensed", "own", "other"]


@dataclass(frozen=True)
class Source:
    """A data set. kind: rendered by merzoo; licensed by those who recorded it; somebody's own clips; or another plugin's, whose terms are not known here.

    ask: how the data may be had, "" where that is not known.
    """

    name: str
    title: str
    kind: Kind
    ask: str = ""


def sources(data: Mapping[str, Any], met_before: Iterable[str] = ()) -> tuple[Source, ...]:
    """The data sets behind what run.json says of its data {name, part, macro}, members of composites one by one, and behind the ids of people whom the weights
    that training began from had met. Nothing of the data is opened."""
    told = [(data["name"], data.get("part") or "")]
    told += [(name, part) for name, _, part in (text.partition(":") for text in (data.get("macro") or "").split(",") if text)]
    found = {source.name: source for name, part in told for source in _leaves(name, part)}
    for name in sorted({subject.partition(":")[0] for subject in met_before} - set(found)):
        found |= {source.name: source for source in _leaves(name, "")}
    return tuple(found.values())


def _leaves(name: str, part: str) -> Iterator[Source]:
    from merzoo.data.readers.own import Own
    from merzoo.data.synthetic import SyntheticFaces

    try:
        entry = registry().get("dataset", name)
        target: Any = entry.load()
        members = target.chosen(part) if hasattr(target, "chosen") else {}
    except MerzooError:  # a data set made in Python, or of a plugin that is not here
        yield Source(name, name, "other")
        return
    if members:
        for member, own in members.items():
            yield from _leaves(member, own)
    elif target is SyntheticFaces:
        yield Source(name, "synthetic faces", "synthetic")
    elif isinstance(target, type) and issubclass(target, Own):
        yield Source(name, "clips of the publisher's own", "own")
    elif isinstance(ask := getattr(target, "ask", None), str):
        yield Source(name, str(getattr(target, "title", name)), "licensed", ask)
    else:
        yield Source(name, entry.summary or name, "other")


def own_subjects(subjects: Iterable[str], found: Sequence[Source]) -> tuple[str, ...]:
    """Those ids that are no codes of a released data set, and so may be names: of data of one's own, and of data sets that are not known here.

    A table of one's own clips may call its people anything, another data set's prefix included; beside such a table only prefixes of the other data sets
    count as theirs.
    """
    released = {source.name for source in found if source.kind in ("synthetic", "licensed")}
    if all(source.kind in ("synthetic", "licensed") for source in found):  # what training began from may hold people of any data set
        released |= {entry.name for entry in registry().entries("dataset") if all(leaf.kind in ("synthetic", "licensed") for leaf in _leaves(entry.name, ""))}
    return tuple(subject for subject in subjects if subject.partition(":")[0] not in released | {"synthetic"})
