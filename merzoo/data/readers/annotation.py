"""The annotation sheet of a data set: the newest of those there, corrected, told apart from the others; its rows joined with the folders of frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from merzoo.data.readers.corrections import apply
from merzoo.data.readers.frames import FrameList, frames_in
from merzoo.data.readers.parse import parse_emotion, parse_int, parse_text
from merzoo.data.readers.reading import Reading
from merzoo.data.readers.sheets import Row, read_sheet
from merzoo.errors import DataError
from merzoo.text import plain

COLUMNS = {  # as CASME II has them, and others with little difference
    "subject": ("Subject",),
    "filename": ("Filename",),
    "onset": ("OnsetFrame", "Onset"),
    "apex": ("ApexFrame", "Apex"),
    "offset": ("OffsetFrame", "Offset"),
    "aus": ("Action Units", "AU"),
    "emotion": ("Estimated Emotion", "Emotion"),
}
REQUIRED = ("subject", "filename", "onset", "offset", "emotion")
Times = tuple[object, object, object]  # onset, apex, offset: cells or frame numbers
COMPARED = ("onset", "apex", "offset", "emotion")


def read_annotation(reading: Reading, sheets: Sequence[Path], columns: Mapping[str, Sequence[str]]) -> list[Row]:
    """The rows of the first sheet, corrected. Adds it to the reading with what became of the corrections, and a remark on each other sheet that is there too.

    Raises `DataError` for a sheet that cannot be read, or is empty.
    """
    path = sheets[0]
    found = read_sheet(path, columns, required=REQUIRED).rows
    if not found:
        raise DataError(f"{plain(path.name)} has no rows under its header; get a fresh copy")
    rows, reading.corrections[:] = apply(reading.dataset, path, found)
    reading.sheets.append(path)
    for other in sheets[1:]:
        reading.remarks.append(f"{path.name} is read, {plain(other.name)} is not: {_difference(found, other, columns)}")
    return rows


def add_rows(
    reading: Reading,
    rows: Sequence[Row],
    there: Mapping[tuple[int, str], Path],
    digits: int,
    *,
    named: Callable[[object], str] = parse_text,
    emotion: Callable[[object], str] = parse_emotion,
    mend: Callable[[FrameList, Times], tuple[Times, tuple[str, ...], int]] | None = None,
) -> list[Path]:
    """Add each row to the reading, and give the folders that no row names.

    there: the folders of frames by subject and clip (`numbered_clips`). digits: to which the subject is padded. named: the clip's name from its cell. emotion:
    what counts as which emotion. mend: better times for what is on disk, with notes of what was changed, and how many
    frames of the annotation are beyond those on disk.
    """
    used = set()
    for row in rows:
        where, cells = f"{reading.sheets[0].name} row {row.number}", row.cells
        subject, clip = parse_int(cells.get("subject")), named(cells.get("filename"))
        if subject is None or not clip:
            reading.unnamed(where, _told(row), "no subject number or no file name")
            continue
        key = (subject, clip.lower())
        used.add(key)
        frames, gone = frames_in(there[key]) if key in there else None, 0
        times, notes = (cells.get("onset"), cells.get("apex"), cells.get("offset")), row.notes
        if mend and frames and frames.numbers:
            times, more, gone = mend(frames, times)
            notes += more
        reading.add(
            where, f"{subject:0{digits}d}", clip, frames, times,
            emotion=emotion(cells.get("emotion")), raw_emotion=parse_text(cells.get("emotion")), aus=cells.get("aus"), notes=notes, gone=gone,
        )  # fmt: skip
    return [path for key, path in there.items() if key not in used]


def _difference(rows: Sequence[Row], other: Path, columns: Mapping[str, Sequence[str]]) -> str:
    """How another sheet differs from the one that is read, in a few words."""
    try:
        theirs = _by_clip(read_sheet(other, columns, required=REQUIRED).rows)
    except DataError as error:
        return str(error)
    ours = _by_clip(rows)
    differing = [clip for clip in ours if clip in theirs and _compared(ours[clip]) != _compared(theirs[clip])]
    more, less = [clip for clip in ours if clip not in theirs], [clip for clip in theirs if clip not in ours]
    told = [
        f"{what} {len(clips)} (first: {clips[0]})"
        for clips, what in (
            ([_told(ours[clip]) for clip in differing], "rows that differ:"),
            ([_told(ours[clip]) for clip in more], "rows in the first alone:"),
            ([_told(theirs[clip]) for clip in less], "rows in the other alone:"),
        )
        if clips
    ]
    return plain("; ".join(told) or "they agree", 300)


def _by_clip(rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    return {(parse_text(row.cells.get("subject")), parse_text(row.cells.get("filename")).lower()): row for row in rows}


def _told(row: Row) -> str:
    return f"{parse_text(row.cells.get('subject'))}/{parse_text(row.cells.get('filename'))}"


def _compared(row: Row) -> tuple[object, ...]:
    return tuple(parse_emotion(row.cells.get(name)) if name == "emotion" else parse_int(row.cells.get(name)) for name in COMPARED)
