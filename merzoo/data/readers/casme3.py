"""CAS(ME)^3 part A (Li et al. 2022): 30 fps, colour and depth, micro- and macro-expressions in videos of half a minute to minutes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from merzoo.data.readers.base import Recorded
from merzoo.data.readers.casme3_frames import SUBJECT, Videos
from merzoo.data.readers.corrections import apply
from merzoo.data.readers.parse import parse_aus, parse_emotion, parse_int, parse_text
from merzoo.data.readers.reading import Reading
from merzoo.data.readers.sheets import Row, read_sheet
from merzoo.data.readers.tree import below, find_sheets
from merzoo.errors import DataError
from merzoo.text import plain

COLUMNS = {
    "subject": ("Subject",),
    "filename": ("Filename",),
    "onset": ("Onset", "OnsetFrame"),
    "apex": ("Apex", "ApexFrame"),
    "offset": ("Offset", "OffsetFrame"),
    "aus": ("AU", "Action Units"),
    "emotion": ("emotion", "Estimated Emotion"),
    "type": ("Expression type",),
    "problem": ("问题", "problem", "reason"),
    "solution": ("我们目前的解决方法", "solution"),
}
LONG, SHORT = 100, 16  # frames from onset to offset, both counted: as many and more are noted as long (3.3 s), fewer as short (0.5 s)


@dataclass(frozen=True)
class _Row:
    """A row of either sheet. number: its own there. key: subject number, video letter, onset as it stands. cells: after corrections."""

    where: str
    number: int
    key: tuple[int, str, int | None]
    cells: Mapping[str, object]
    kind: str
    notes: tuple[str, ...] = ()
    fault: str = ""


class CasmeIII(Recorded):
    """Sheet `cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx` (or v1, .xls) for the micro-expressions, and, where it is there, `CAS(ME)3_part_A_v2.xls` (its sheet
    "AU+Emotion") for the macro-expressions, which nobody gave an emotion; frames `part_A/spNO.1/a/color/175.jpg`, or those of the release of micro-expressions
    alone, `Part_A_ME_clip/frame/spNO.10_a_116/<n>.jpg`. Depth is not read.

    A clip is video@onset ("a@116"), because one video holds many; a macro-expression is video@onset-offset, of which at most 64 frames are kept. Rows that the
    authors' list of occluded faces (`casme3_partA_error_list_*.xlsx`) says to remove are dropped, and images that their list says cannot be opened count as
    missing, where those lists are below the root. Implausibly long and short micro-expressions are kept, with a note. That the release of micro-expressions
    numbers its frames as the videos do is not verified; clips numbered from 0 or 1 are taken too, if they have as many frames as their interval.
    """

    name = "casme3"
    title = "CAS(ME)^3 part A"
    ask = "sign the licence agreement on the CAS(ME)^3 page of the Institute of Psychology, Chinese Academy of Sciences; the sheets are public with the authors"
    fps = 30.0
    default_part: ClassVar[str] = "4"
    closed = rf"{SUBJECT}.*"

    @property
    def provides(self) -> tuple[str, ...]:
        """Macro clips too, where some were found."""
        macro = any(clip.kind == "macro" for clip in self.reading.recordings.values())
        return (*super().provides, *(("macro-clips",) if macro else ()))

    def read(self) -> Reading:
        """One recording a row that has frames, videos in order so that each is listed once."""
        path, *others = find_sheets(self, "*part_a*me*label*")
        videos = Videos(self)
        sheet = read_sheet(path, COLUMNS, required=("subject", "filename", "onset", "offset", "emotion"))
        reading = Reading(self.name, self.fps, "raw", [path])
        reading.remarks += [f"{path.name} is read, {plain(other.name)} is not" for other in others]
        rows, reading.corrections[:] = apply(self.name, path, sheet.rows)
        faults = self._faults(reading)
        micro = _rows(reading, path, sheet.rows, rows, "micro", faults)
        macro = self._whole_sheet(reading, path, micro)
        if macro and not videos.whole:
            name = reading.sheets[1].name
            reading.remarks.append(f"{len(macro)} macro-expressions of {name} are left out: the release of micro-expressions has no frames of them")
            macro = []
        for row in sorted([*micro, *macro], key=lambda row: (row.key[:2], row.kind, row.number)):
            _add(reading, videos, row)
        reading.remarks += _remarks(micro, videos)
        reading.unlabelled += [below(self.root, folder) for folder in videos.unused()]
        return reading

    def _faults(self, reading: Reading) -> dict[tuple[int, str, int | None], str]:
        """Why a clip is to be removed, from the authors' list if it is there. Its other rows are about frame numbers, which corrections.csv has."""
        faults = {}
        for path in _optional(self, "*casme3*parta*error*list*")[:1]:
            sheet = read_sheet(path, COLUMNS, required=("subject", "filename", "onset"))
            reading.sheets.append(path)
            for row in sheet.rows:
                problem, solution = parse_text(row.cells.get("problem")), parse_text(row.cells.get("solution"))
                key = _key(row)
                if key is not None and (re.search("遮|occlu|cover", problem, re.IGNORECASE) or re.search("去除|drop|remove", solution, re.IGNORECASE)):
                    faults[key] = f"face covered at the apex: {plain(path.name, 60)} row {row.number} says to remove it ({problem or solution})"
        return faults

    def _whole_sheet(self, reading: Reading, path: Path, micro: list[_Row]) -> list[_Row]:
        """The macro rows of the sheet with both, if it is there; its micro rows are compared with `micro`."""
        version = re.search(r"v[0-9]+$", path.stem, re.IGNORECASE)
        found = [*(_optional(self, f"*part_a_{version[0]}.*") if version else []), *_optional(self, "*part_a_v[0-9]*")]
        if not found:
            reading.remarks.append("no sheet of macro-expressions (CAS(ME)3_part_A_v2.xls) is below the root: micro-expressions alone")
            return []
        reading.sheets.insert(1, found[0])
        sheet = read_sheet(found[0], COLUMNS, required=("subject", "filename", "onset", "offset", "type"))
        kinds = {row.number: parse_text(row.cells.get("type")).lower().partition("-")[0].partition(" ")[0] for row in sheet.rows}
        for row in sheet.rows:
            if kinds[row.number] not in ("micro", "macro"):
                what = f"{parse_text(row.cells.get('subject'))}/{parse_text(row.cells.get('filename'))}"
                reading.unnamed(f"{found[0].name} row {row.number}", what, f"expression type {row.cells.get('type')!r} is neither micro nor macro")
        both = {kind: [row for row in sheet.rows if kinds[row.number] == kind] for kind in ("micro", "macro")}
        reading.remarks += _disagreements(path.name, micro, found[0].name, both["micro"])
        return _rows(reading, found[0], both["macro"], both["macro"], "macro", {})


def _key(row: Row) -> tuple[int, str, int | None] | None:
    """(subject, video, onset), None where the row does not name them: the letter of a video is upper case in places."""
    subject = re.fullmatch(SUBJECT, parse_text(row.cells.get("subject")), re.IGNORECASE)
    video = parse_text(row.cells.get("filename")).lower()
    return (int(subject[1]), video, parse_int(row.cells.get("onset"))) if subject and video else None


def _rows(reading: Reading, path: Path, raw: Iterable[Row], mended: Iterable[Row], kind: str, faults: Mapping[tuple[int, str, int | None], str]) -> list[_Row]:
    """Rows that name a subject and a video."""
    rows = []
    for before, row in zip(raw, mended, strict=True):
        where, key = f"{path.name} row {row.number}", _key(before)
        if key is None:
            what = f"{parse_text(row.cells.get('subject'))}/{parse_text(row.cells.get('filename'))}"
            reading.unnamed(where, what, "no subject (spNO.<number>) or video letter")
        else:
            rows.append(_Row(where, row.number, key, row.cells, kind, getattr(row, "notes", ()), faults.get(key, "")))
    return rows


def _add(reading: Reading, videos: Videos, row: _Row) -> None:
    subject, video, raw_onset = row.key
    onset, offset = parse_int(row.cells.get("onset")), parse_int(row.cells.get("offset"))
    start = onset if onset is not None else parse_text(row.cells.get("onset"))
    emotion = parse_emotion(row.cells.get("emotion")) if row.kind == "micro" else ""
    frames, renumbered = videos.frames(subject, video, (onset, raw_onset), offset)
    span = _span(row)
    reading.add(
        row.where,
        f"{subject:03d}",
        f"{video}@{start}" if row.kind == "micro" else f"{video}@{start}-{parse_text(row.cells.get('offset'))}",
        frames,
        (row.cells.get("onset"), row.cells.get("apex"), row.cells.get("offset")),
        emotion=emotion,
        raw_emotion=parse_text(row.cells.get("emotion")),
        aus=row.cells.get("aus"),
        kind=row.kind,
        notes=(*row.notes, *((renumbered,) if renumbered else ()), *((span,) if span else ())),
        fault=row.fault,
    )


def _span(row: _Row) -> str:
    """A note on a micro-expression of an implausible length, or ""."""
    onset, offset = parse_int(row.cells.get("onset")), parse_int(row.cells.get("offset"))
    if row.kind != "micro" or onset is None or offset is None or offset < onset:
        return ""
    length = offset - onset + 1
    if length >= LONG:
        return f"long: {length} frames, not credible as a micro-expression"
    return f"short: {length} frames" if length < SHORT else ""


def _remarks(micro: list[_Row], videos: Videos) -> list[str]:
    """What is noted clip by clip, in sum."""
    spans = Counter(_span(row).partition(":")[0] for row in micro)
    covered = sum(bool(row.fault) for row in micro)
    remarks = []
    if covered:
        remarks.append(
            f"{covered} micro-expressions are left out on the word of the authors' list of errors; published counts have them, as has a root without it"
        )
    if spans["long"]:
        remarks.append(f"{spans['long']} micro-expressions have {LONG} frames or more, which is not credible; kept, each with a note")
    if spans["short"]:
        remarks.append(f"{spans['short']} micro-expressions have fewer than {SHORT} frames; kept, each with a note")
    if videos.damaged:
        remarks.append(f"{len(videos.damaged)} images that the authors' list says cannot be opened count as missing")
    return remarks


def _disagreements(name: str, micro: list[_Row], other: str, rows: list[Row]) -> list[str]:
    """Where the micro-expressions of two sheets differ; a value that stood in the first before it was corrected agrees."""
    mine = {key: row for row in micro for key in (row.key, (*row.key[:2], parse_int(row.cells.get("onset"))))}
    theirs = {key: row for row in rows if (key := _key(row)) is not None}
    faults: dict[str, list[str]] = {}
    for key, row in theirs.items():
        what = f"{key[0]:03d}/{key[1]}@{key[2]}"
        if key not in mine:
            faults.setdefault(f"micro-expressions of {other} that are not in {name}", []).append(what)
            continue
        for field in ("apex", "offset", "aus"):
            here, there = (_comparable(field, cells) for cells in (mine[key].cells, row.cells))
            if here != there and not any(note.startswith(f"{field} ") for note in mine[key].notes):
                faults.setdefault(f"disagreements of {other} with {name} on {field}", []).append(f"{what}: {there} against {here}")
    found = {row.key for row in micro if not {row.key, (*row.key[:2], parse_int(row.cells.get("onset")))} & theirs.keys()}
    if found:
        faults[f"micro-expressions of {name} that are not in {other}"] = [f"{s:03d}/{video}@{onset}" for s, video, onset in sorted(found, key=str)]
    return [f"{len(what)} {fault} (first: {plain('; '.join(what[:3]), 200)}); {name} is followed" for fault, what in faults.items()]


def _comparable(field: str, cells: Mapping[str, object]) -> object:
    found = parse_aus(cells.get(field)) if field == "aus" else None
    return (found.aus if found else ()) if field == "aus" else parse_int(cells.get(field))


def _optional(dataset: Recorded, *patterns: str) -> list[Path]:
    """Sheets that need not be there."""
    try:
        return find_sheets(dataset, *patterns)
    except DataError:
        return []
