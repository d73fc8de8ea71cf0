"""Data of one's own: labels as they stand in it or renamed by a table, and nothing left out without a word."""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
import warnings
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from merzoo.data.readers.base import Recorded, RecordedClips, stats_of
from merzoo.data.readers.frames import frame_number
from merzoo.data.readers.labels import AUS
from merzoo.data.readers.parse import parse_emotion, parse_text
from merzoo.data.readers.reading import Reading, Recording
from merzoo.data.readers.remap import Remap, read_remap
from merzoo.data.skipping import Skip
from merzoo.data.table import Task, labels_of
from merzoo.errors import DataError, MerzooWarning
from merzoo.text import plain

if TYPE_CHECKING:
    import pandas as pd

READ = 65_536  # bytes at each end of a file that stand for its content


class OwnClips(RecordedClips):
    """Files of one's own change under one name, as those of a released data set do not: a part of their content counts, not their sizes alone."""

    def traits(self, clip: Recording) -> list[object]:
        """Sizes, and hashes of the ends of three frames, or of the video."""
        files = [clip.folder] if clip.video else [clip.folder / clip.names[at] for at in (0, len(clip.names) // 2, -1)]
        return [clip.video, *super().traits(clip), *map(_content, files)]

    @cached_property
    def source_hash(self) -> str:  # type: ignore[override]  # kept, where the base hands on another
        """sha256 over the content's hash and the times of the files: an edited frame is decoded anew whatever its size. The content's hash does without, since
        copies of the data elsewhere have times of their own."""
        digest = hashlib.sha256(self.content_hash.encode())
        for clip in self._recordings.values():
            digest.update(json.dumps([None if stat is None else stat.st_mtime_ns for stat in stats_of(clip)]).encode())
        return digest.hexdigest()


class Own(Recorded):
    """Base of the readers of one's own data: labels are those found, sorted, or the classes of a table (`merzoo.data.readers.remap`) in its order.

    Clips that carry several labels ("happiness+surprise") make a multi-label data set. Part "aus" has the action units found as labels.
    """

    default_part: ClassVar[str] = ""
    ask: ClassVar[str] = "they are yours"
    fps: ClassVar[float] = 30.0  # where nothing says (our choice)

    def __init__(self, root: Path | str, part: str = "", remap: Path | str | None = None, skip: Skip | None = None) -> None:
        super().__init__(root, part, skip)
        self.remap: Remap | None = None if remap is None else read_remap(remap)

    def with_part(self, part: str) -> Self:
        """See `Recorded.with_part`."""
        other = type(self)(self.root, part, skip=self.skip)
        other.remap = self.remap
        other.__dict__["reading"], other._skipped = self.reading, self.skipped
        return other

    @cached_property
    def reading(self) -> Reading:
        """What is there, read once. Raises `DataError` where no clip is found, or one person seems to go by two names."""
        reading = self.read_kept()
        if not reading.recordings:
            why = f": {reading.dropped[0].where}: {reading.dropped[0].what}: {reading.dropped[0].why}" if reading.dropped else ""
            raise DataError(f"{self.name}: none of {reading.rows} clips in {self.root} can be used{why}; {self.layout}")
        _check_people(reading)
        _check_frames(reading)
        return reading

    layout: ClassVar[str]  # how the data must lie, for messages

    @property
    def provides(self) -> tuple[str, ...]:
        """What the clips found offer to a strategy."""
        clips = self.reading.recordings.values()
        units = any(clip.aus is not None for clip in clips)
        macro = any(clip.kind == "macro" and len(clip.names) > 1 for clip in clips)
        return ("emotion-labels", *(("au-labels",) if units else ()), *(("macro-clips",) if macro else ()))

    @property
    def task(self) -> Task:
        """ "multi-label" for action units, and where a clip carries several labels."""
        several = any(len(labels) > 1 for labels, _ in self._labelled.values())
        return "multi-label" if self.part == AUS or several else "classes"

    @cached_property
    def labels(self) -> tuple[str, ...]:  # type: ignore[override]  # kept, where the base makes it anew
        """Classes, in order."""
        if self.part != AUS and self.remap:
            return self.remap.labels
        found = {label for labels, _ in self._labelled.values() for label in labels}
        return tuple(sorted(found, key=natural))

    @cached_property
    def _clips(self) -> OwnClips:
        return OwnClips(self.name, self.reading.release, self.reading.recordings)

    @cached_property
    def _labelled(self) -> dict[str, tuple[tuple[str, ...], str]]:
        """sample id -> its labels in this part, and why the part leaves it out."""
        return {clip.sample_id: self._decide(clip) for clip in self.reading.recordings.values()}

    def _decide(self, clip: Recording) -> tuple[tuple[str, ...], str]:
        if self.part == AUS:
            return () if clip.why_no_aus else tuple(f"AU{au}" for au in labels_of(clip.aus or "")), clip.why_no_aus
        labels = labels_of(clip.emotion)
        if not labels:  # a macro clip serves to pre-train without one
            return (), "" if clip.kind == "macro" else "it has no label"
        if self.remap is None:
            return labels, ""
        unknown = [label for label in labels if label not in self.remap.to]
        if unknown:
            return (), f"its label {plain(repr(unknown[0]), 60)} is not in the table {self.remap.path.name}"
        made = tuple(dict.fromkeys(filter(None, (self.remap.to[label] for label in labels))))
        return made, "" if made else f"the table {self.remap.path.name} leaves {plain(repr(clip.emotion), 60)} out"

    def label_of(self, clip: Recording) -> str | None:
        """See `Recorded.label_of`."""
        labels, why = self._labelled[clip.sample_id]
        return None if why else "+".join(sorted(labels, key=self.labels.index))

    def left_out(self) -> dict[str, str]:
        """{sample id: why} of the clips found that the part does not use."""
        return {sample_id: why for sample_id, (_, why) in self._labelled.items() if why}

    def table(self) -> pd.DataFrame:
        """See `Recorded.table`. Warns of what is left out. Raises `DataError` where no clip has a label, or all have the same."""
        self._told  # noqa: B018  (once)
        if not any(not why for _, why in self._labelled.values()):
            raise DataError(f"{self._called}: none of {len(self._labelled)} clips is left (first: {self._first}); add labels, or mend the table of labels")
        table = super().table()
        if self.task == "classes" and len(self.labels) == 1 and (table["kind"] == "micro").any():
            raise DataError(f"{self._called}: all clips are {self.labels[0]!r}, and a class needs another to be told from; add clips of a second class")
        if self.task == "multi-label" and self.part != AUS:  # a macro clip without a label: "" would say that it shows none of them
            table["emotion"] = table["emotion"].astype(object).where(table["emotion"] != "", None)
        return table

    @cached_property
    def _told(self) -> None:
        """Say once what is left out, and what in the table of labels fits nothing."""
        left, rows = self.left_out(), self.reading.rows
        count = len(self.reading.dropped) + len(left)
        if count:
            command = f"merzoo data verify {self.name}{':' if self.part else ''}{self.part} --root {self.root}" + (
                f" --remap {self.remap.path}" if self.remap else ""
            )
            warn(f"{self._called}: {count} of {rows} clips are left out (first: {self._first}); `{command}` lists them")
        if self.remap is None or self.part == AUS:
            return
        here = {label for clip in self.reading.recordings.values() for label in labels_of(clip.emotion)}
        unknown = [label for label in self.remap.to if label not in here]
        if unknown:
            warn(f"{self.remap.path.name}: no clip is labelled {', '.join(map(repr, unknown[:5]))}; check the spelling in its column 'from'")
        used = {label for labels, _ in self._labelled.values() for label in labels}
        empty = [label for label in self.remap.labels if label not in used]
        if empty:
            warn(f"{self.remap.path.name}: the class {', '.join(map(repr, empty[:5]))} has no clip, and counts 0 in scores; take it out of the column 'to'")

    @property
    def _called(self) -> str:
        return f"{self.name}: {self.root.name}"

    @property
    def _first(self) -> str:
        for dropped in self.reading.dropped:
            return f"{dropped.where}: {dropped.what}: {dropped.why}"
        return next((f"{sample_id}: {why}" for sample_id, why in self.left_out().items()), "")


def labels_in(cell: object) -> str:
    """Labels of a cell such as "Happy + surprise": in the words of `parse_emotion`, each once, joined by "+"."""
    parts = parse_text(cell).replace("＋", "+").split("+")
    return "+".join(dict.fromkeys(filter(None, map(parse_emotion, parts))))


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key under which s2 comes before s10."""
    # Digits are compared by their number, then as text: a number of any length without converting it.
    return [(len(part.lstrip("0")), part.lstrip("0")) if part.isdigit() else (0, part) for part in re.split(r"([0-9]+)", text.casefold())]


def _check_people(reading: Reading) -> None:
    """Raise `DataError` for two spellings of what may be one person, who would then be trained on and tested at once."""
    known: dict[str, str] = {}
    for clip in reading.recordings.values():
        key = re.sub(r"(?<![0-9])0+(?=[0-9])", "", _folded(clip.subject))
        if known.setdefault(key, clip.subject) != clip.subject:
            text = "write one person's name alike everywhere, and two persons' names so that they cannot be confused"
            pair = (known[key], clip.subject)
            alike = len({unicodedata.normalize("NFC", name) for name in pair}) == 1
            told = [ascii(name) if alike else repr(name) for name in pair]  # what looks the same is spelt out
            raise DataError(f"{reading.dataset}: subjects {told[0]} and {told[1]} may be one person, tested and trained on at once; {text}")


def _folded(name: str) -> str:
    """A name whatever its case, its width, and how its accents are composed."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _check_frames(reading: Reading) -> None:
    """Raise `DataError` for two persons in the same frames, under whatever path: they would be trained on and tested at once."""
    places: dict[str, list[Recording]] = {}
    for clip in reading.recordings.values():
        places.setdefault(os.path.realpath(clip.folder), []).append(clip)
    for clips in places.values():
        last: Recording | None = None  # that reaches furthest: where clips before it overlapped, they were of one person
        for clip in sorted(clips, key=_span):
            if last is not None and clip.subject != last.subject and _span(clip)[0] <= _span(last)[1]:
                rows = " and ".join(f"{one.where} ({one.subject})" for one in (last, clip))
                raise DataError(
                    f"{reading.dataset}: {rows} give the same frames to two people, one tested while the other is trained on; "
                    "correct the subject, take one out, or cut the pictures apart where both are seen"
                )
            last = clip if last is None or _span(clip)[1] > _span(last)[1] else last


def _span(clip: Recording) -> tuple[int, int]:
    """Numbers of the first and last frame of the interval in their folder or video."""
    return frame_number(clip.names[clip.start]), frame_number(clip.names[clip.stop])


def _content(file: Path) -> str:
    """Size and a hash of both ends of a file, "" where it is gone by now."""
    try:
        with file.open("rb") as handle:
            digest = hashlib.sha256(handle.read(READ))
            size = handle.seek(0, 2)
            handle.seek(max(0, size - READ))
            digest.update(handle.read(READ))
    except OSError:
        return ""
    return f"{size} {digest.hexdigest()[:32]}"


def warn(text: str) -> None:
    """Warn of something that was worked around."""
    warnings.warn(text, MerzooWarning, stacklevel=4)
