"""Known mistakes in published annotation sheets, as data: `corrections.csv`, one cell a line, each with its source.

Columns: dataset; sheet (a pattern of file names, case aside, with " & " between patterns that must all hold and "!" before one that must not); row (data
rows from 0 after the header, as papers and loaders count them, empty rows included), and/or subject, filename, onset as they stand in the sheet, all of
which must agree; field (the reader's name of the column); old; new; source; note.

The old value is checked before anything changes, so that a sheet that was mended already, sorted or of another version stays as it is. `old` is the value
itself, or, where it is not published, any of these conditions joined by "|":
    missing          empty, "/" or no whole number
    outside          out of order: apex outside [onset, offset], offset before onset or apex, onset after apex or offset
    before-onset     a number below the onset
    longer-than-N    the row's offset is more than N frames after its onset
    unlike-new       any text, if it differs from the new value
Under a condition the new frame number must also put the row in order, or nothing is changed. `new` is the value, or "row N": what row N held before any
correction, for entries that were swapped.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from merzoo.data.readers.parse import parse_int, parse_text
from merzoo.data.readers.sheets import Row
from merzoo.errors import DataError
from merzoo.text import plain

FILE = Path(__file__).with_name("corrections.csv")
KEYS = ("subject", "filename", "onset")
TIMES = ("onset", "apex", "offset")


@dataclass(frozen=True)
class Correction:
    """A line of corrections.csv. row: from 0, None where the keys alone find it."""

    dataset: str
    sheet: str
    row: int | None
    keys: Mapping[str, str]
    field: str
    old: str
    new: str
    source: str
    note: str


@dataclass(frozen=True)
class Applied:
    """What became of a correction in one sheet. number: of the row as a spreadsheet program shows it, 0 where there is none. found: the cell before."""

    correction: Correction
    number: int
    found: str
    new: str
    why_not: str = ""  # "" where it was applied

    @property
    def applied(self) -> bool:
        """Whether the cell was changed."""
        return not self.why_not

    @property
    def note(self) -> str:
        """What it did to its clip: "apex 83 -> 123 (source: note)"."""
        return self.text.partition(" ")[2].partition(" ")[2] if self.number else self.text

    @property
    def text(self) -> str:
        """One line, without the sheet's name: "row 130 apex 83 -> 123 (source: note)"."""
        where = f"row {self.number} " if self.number else ""
        about = f"({self.correction.source}: {self.correction.note})"
        if self.why_not:
            return f"{where}{self.correction.field} -> {self.new} not applied: {self.why_not} {about}"
        return f"{where}{self.correction.field} {self.found or 'empty'} -> {self.new} {about}"


@cache
def corrections(file: Path = FILE) -> tuple[Correction, ...]:
    """All lines of a file of corrections. Raises `DataError` for a file that is not as the module says."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            return tuple(_correction(line) for line in csv.DictReader(lines, strict=True))
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(f"{plain(file)} is no list of corrections ({plain(error, 100)}); install merzoo again") from error


def _correction(line: Mapping[str, str]) -> Correction:
    row = int(line["row"]) if line["row"] else None
    keys = {key: line[key] for key in KEYS if line[key]}
    if row is None and not keys:
        raise ValueError("a line names no row")
    return Correction(line["dataset"], line["sheet"], row, keys, line["field"], line["old"], line["new"], line["source"], line["note"])


def apply(dataset: str, sheet_path: Path, rows: Sequence[Row], known: Sequence[Correction] | None = None) -> tuple[list[Row], list[Applied]]:
    """The rows with what is known to be wrong put right, each changed row with a note of it, and what became of every correction for this sheet.

    rows: all rows as `read_sheet` gave them, none left out: the first is row 0. known: by default those of corrections.csv. Checks look at the sheet's own
    values, so the order of corrections does not matter.
    """
    mended, applied = list(rows), []
    first = rows[0].number if rows else 0
    at = {row.number - first: place for place, row in enumerate(rows)}
    for correction in corrections() if known is None else known:
        if correction.dataset != dataset or not _concerns(correction.sheet, Path(sheet_path).name):
            continue
        places = [place for place, row in enumerate(rows) if _is_meant(correction, row, row.number - first)]
        if not places:
            asked = " ".join([*([f"data row {correction.row}"] if correction.row is not None else []), *(f"{k} {v}" for k, v in correction.keys.items())])
            applied.append(Applied(correction, 0, "", correction.new, f"found no {asked}"))
        for place in places:
            result = _judged(correction, rows[place], _new(correction, rows, at))
            applied.append(result)
            if result.applied:
                number = parse_int(result.new) if correction.field in TIMES else None
                cells = {**mended[place].cells, correction.field: result.new if number is None else number}
                mended[place] = replace(mended[place], cells=cells, notes=(*mended[place].notes, result.note))
    return mended, applied


def _concerns(pattern: str, name: str) -> bool:
    parts = [part.strip().lower() for part in pattern.split("&")]
    return all(fnmatchcase(name.lower(), part.removeprefix("!")) != part.startswith("!") for part in parts)


def _is_meant(correction: Correction, row: Row, position: int) -> bool:
    if correction.row is not None and correction.row != position:
        return False
    return all(parse_text(row.cells.get(key)).lower() == value.lower() for key, value in correction.keys.items())


def _new(correction: Correction, rows: Sequence[Row], at: Mapping[int, int]) -> str | None:
    """The new value; None where it is that of a row that is not there or empty."""
    if not correction.new.startswith("row "):
        return correction.new
    place = at.get(int(correction.new.removeprefix("row ")))
    return (parse_text(rows[place].cells.get(correction.field)) if place is not None else "") or None


def _judged(correction: Correction, row: Row, new: str | None) -> Applied:
    """Whether the old value is the one that is meant."""
    if correction.field not in row.cells:
        return Applied(correction, row.number, "", correction.new, f"the sheet has no column {correction.field}")
    cell = row.cells[correction.field]
    found = parse_text(cell)
    if new is None:
        return Applied(correction, row.number, found, correction.new, f"{correction.new} holds nothing")
    conditions = [condition for condition in correction.old.split("|") if _holds(condition, correction.field, row.cells, new)]
    literal = correction.old in conditions and not _is_condition(correction.old)
    if not conditions:
        return Applied(correction, row.number, found, new, f"found {plain(found, 40) or 'an empty cell'}, not {correction.old.replace('|', ' or ')}")
    if not literal and _out_of_order(correction.field, {**row.cells, correction.field: new}):
        return Applied(correction, row.number, found, new, f"found {plain(found, 40) or 'an empty cell'}, and {new} would be out of order too")
    return Applied(correction, row.number, plain(found, 40), new)


def _is_condition(old: str) -> bool:
    return old in {"missing", "outside", "before-onset", "unlike-new"} or old.startswith("longer-than-")


def _holds(old: str, field: str, cells: Mapping[str, object], new: str) -> bool:
    cell = cells[field]
    number, onset, offset = parse_int(cell), parse_int(cells.get("onset")), parse_int(cells.get("offset"))
    if old == "missing":
        return number is None
    if old == "outside":
        return number is not None and _out_of_order(field, cells)
    if old == "before-onset":
        return number is not None and onset is not None and number < onset
    if old.startswith("longer-than-"):
        return onset is not None and offset is not None and offset - onset > int(old.removeprefix("longer-than-"))
    text = parse_text(cell)
    if old == "unlike-new":
        return text not in ("", new)
    return text == old or (number is not None and number == parse_int(old))


def _out_of_order(field: str, cells: Mapping[str, object]) -> bool:
    """Whether the frame number of a field contradicts onset <= apex <= offset, as far as the others are known."""
    time = parse_int(cells[field])
    if field not in TIMES or time is None:
        return False
    at = TIMES.index(field)
    others = [parse_int(cells.get(name)) for name in TIMES]
    return any(other > time for other in others[:at] if other is not None) or any(other < time for other in others[at + 1 :] if other is not None)
