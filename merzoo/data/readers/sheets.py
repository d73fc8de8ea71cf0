"""Annotation sheets from strangers: .xlsx, .xls and delimited text, told apart by content. The header row is found, and every failure is one line."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from merzoo.data.readers.formats import SAVE_AS, Numbered, Table, folded, tables
from merzoo.errors import DataError
from merzoo.text import plain

MAX_FILE = 128 * 2**20  # bytes on disk; the largest sheet of the field has 16,372 rows and 1 MB
MAX_ROWS = 1_000_000


@dataclass(frozen=True)
class Row:
    """One row of data. number: from 1, as a spreadsheet program or editor shows it. cells: by the wanted name; a column that is not there has no entry.
    notes: what was mended in it (see `merzoo.data.readers.corrections`)."""

    number: int
    cells: Mapping[str, object]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """Rows under the header. columns: the header as found. header: its row number. title: of the worksheet, "" in a text file."""

    path: Path
    rows: list[Row]
    columns: tuple[str, ...]
    header: int = 1
    title: str = ""


@dataclass(frozen=True)
class _Header:
    number: int  # of the row; 0 where no row will do
    columns: tuple[str, ...]
    places: Mapping[str, int]  # wanted name -> column
    missing: tuple[str, ...]


def read_sheet(
    path: Path | str, wanted: Mapping[str, Sequence[str]], *, required: Sequence[str] = (), sheet: str | None = None, header_search: int = 40
) -> Sheet:
    """Read the wanted columns of an annotation sheet.

    wanted: our name -> header names that are accepted, best first; case, white space, underscores and trailing apostrophes do not matter, and of two equal
    headers the left one counts. required: names among `wanted` that must be there; the header is the first of the first `header_search` rows that has them
    (without any: the first with a wanted column). sheet: a worksheet's name, case and spaces aside (a text file has none); by default the first worksheet
    that has such a header.

    Rows without a value from end to end are no data and are left out. A formula without a stored value is None. Text files are utf-8, utf-16 (with its mark),
    gb18030 or latin-1, with "," ";" or tab between cells. Raises `DataError`, never anything else, for a file that is missing, too large, damaged, locked by
    a password, of another format, or without the columns.
    """
    path = Path(path)
    shown = plain(path)
    try:
        data = _content(path, shown)
        with warnings.catch_warnings():  # openpyxl warns of decorations it drops
            warnings.simplefilter("ignore")
            return _search(path, shown, tables(data, shown, sheet), wanted, required, header_search)
    except DataError:
        raise
    except Exception as error:  # the parsers fail on damaged bytes in every way there is
        raise DataError(f"{shown} is damaged ({plain(f'{type(error).__name__}: {error}', 120)}); get a fresh copy, or {SAVE_AS}") from error


def _content(path: Path, shown: str) -> bytes:
    """The bytes of a regular file of a sane size."""
    try:
        if not path.exists():
            raise DataError(f"no sheet {shown}; check the path and that the archive was extracted completely")
        if not path.is_file():
            raise DataError(f"{shown} is no file; give the path of an .xlsx, .xls or .csv sheet")
        if path.stat().st_size > MAX_FILE:
            raise DataError(f"{shown} is too large for an annotation sheet ({path.stat().st_size >> 20} MiB); the limit is {MAX_FILE >> 20} MiB: split it")
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"cannot read {shown} ({getattr(error, 'strerror', None) or error}); check its permissions") from error
    if not data.strip(b"\0 \r\n\t"):
        raise DataError(f"{shown} is empty; get a fresh copy")
    return data


def _search(path: Path, shown: str, candidates: Iterable[Table], wanted: Mapping[str, Sequence[str]], required: Sequence[str], depth: int) -> Sheet:
    """The first table with a header, read to its end."""
    nearest: _Header | None = None
    fault: DataError | None = None
    for title, rows in candidates:
        try:
            head = list(itertools.islice(rows, depth))
        except DataError as error:  # of a worksheet that may not be the one, or of a delimiter that is not meant
            fault = fault or error
            continue
        header = _header(head, wanted, required)
        if header.number:
            return Sheet(path, _rows(shown, header, itertools.chain(head, rows), is_text=not title), header.columns, header.number, title)
        if nearest is None or len(header.missing) < len(nearest.missing):
            nearest = header
    if fault:
        raise fault
    if nearest is None:
        raise DataError(f"{shown} has no worksheet with cells; check that it is the annotation sheet")
    lacking = ", ".join(f"{name!r} (as {' or '.join(map(repr, wanted.get(name, ())[:3]))})" for name in nearest.missing)
    found = ", ".join(filter(None, (plain(c, 30) for c in nearest.columns[:20]))) or "nothing"
    raise DataError(f"{shown} lacks the column {lacking} in its first {depth} rows; found {found}; check that it is the right sheet, or rename its columns")


def _header(head: Sequence[Numbered], wanted: Mapping[str, Sequence[str]], required: Sequence[str]) -> _Header:
    """The first row with all required columns, or, with number 0, the one that comes nearest."""
    accepted = {name: [folded(alias) for alias in aliases] for name, aliases in wanted.items()}
    nearest = _Header(0, (), {}, tuple(required) or tuple(wanted))
    for number, cells in head:
        at: dict[str, int] = {}
        for place, cell in enumerate(cells):
            at.setdefault(folded(cell), place)
        at.pop("", None)
        places = {name: next(at[alias] for alias in aliases if alias in at) for name, aliases in accepted.items() if not at.keys().isdisjoint(aliases)}
        missing = tuple(name for name in required or wanted if name not in places)
        columns = tuple("" if cell is None else str(cell) for cell in cells)
        if places and not any(name in missing for name in required):
            return _Header(number, columns, places, ())
        if len(missing) < len(nearest.missing) or (not any(nearest.columns) and at):
            nearest = _Header(0, columns, places, missing)
    return nearest


def _rows(shown: str, header: _Header, rows: Iterable[Numbered], is_text: bool) -> list[Row]:
    """Rows under the header that hold anything."""
    kept: list[Row] = []
    for number, cells in rows:
        if number <= header.number or not any(cell is not None and (not isinstance(cell, str) or cell.strip()) for cell in cells):
            continue
        if len(kept) == MAX_ROWS:
            raise DataError(f"{shown} has more than {MAX_ROWS:,} rows; split it")
        if is_text and any(cell for cell in cells[len(header.columns) :] if str(cell).strip()):
            raise DataError(
                f"{shown} row {number} has {len(cells)} cells under {len(header.columns)} columns, so its cells may have shifted; "
                "put cells that hold a delimiter in double quotes"
            )
        kept.append(Row(number, {name: cells[place] if place < len(cells) else None for name, place in header.places.items()}))
    return kept
