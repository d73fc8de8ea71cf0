"""Annotation sheets from strangers: .xlsx, .xls and delimited text, told apart by content. The header row is found, and every failure is one line."""

from __future__ import annotations

import csv
import difflib
import io
import itertools
import re
import unicodedata
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from merzoo.errors import DataError
from merzoo.text import plain

MAX_FILE = 128 * 2**20  # bytes on disk; the largest sheet of the field has 16,372 rows and 1 MB
MAX_UNZIPPED = 512 * 2**20  # bytes an .xlsx may say it holds; zipfile never reads more than what was said
MAX_ROWS, MAX_COLUMNS = 1_000_000, 1_000
LAST_ROW = 2**20  # of any .xlsx; a damaged row number beyond it would be counted up to

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
SAVE_AS = "open it in a spreadsheet program and save it as .xlsx"

Numbered = tuple[int, tuple[object, ...]]  # row number as an editor shows it, cells


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

    Rows that are empty from end to end are no data and are left out. A formula without a stored value is None. Text files are utf-8, utf-16 (with its mark),
    gb18030 or latin-1, with "," ";" or tab between cells. Raises `DataError`, never anything else, for a file that is missing, too large, damaged, locked by
    a password, of another format, or without the columns.
    """
    path = Path(path)
    shown = plain(path)
    try:
        data = _content(path, shown)
        with warnings.catch_warnings():  # openpyxl warns of decorations it drops
            warnings.simplefilter("ignore")
            return _search(path, shown, _tables(data, shown, sheet), wanted, required, header_search)
    except DataError:
        raise
    except Exception as error:  # the parsers fail on damaged bytes in every way there is
        raise DataError(f"{shown} is damaged ({plain(f'{type(error).__name__}: {error}', 120)}); get a fresh copy, or {SAVE_AS}") from error


def folded(name: object) -> str:
    """A header or worksheet name as it is compared."""
    text = unicodedata.normalize("NFKC", "" if name is None else str(name)[:1000])
    return re.sub(r"[\s_\u200b\ufeff]+", "", text).rstrip("'’`´").casefold()


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


def _search(
    path: Path, shown: str, tables: Iterable[tuple[str, Iterator[Numbered]]], wanted: Mapping[str, Sequence[str]], required: Sequence[str], depth: int
) -> Sheet:
    """The first table with a header, read to its end."""
    nearest: _Header | None = None
    fault: DataError | None = None
    for title, rows in tables:
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


def _tables(data: bytes, shown: str, sheet: str | None) -> Iterator[tuple[str, Iterator[Numbered]]]:
    """(title, rows) of each worksheet, of the named one alone if one is named; of a text file one for each delimiter that might be meant."""
    if data.startswith(b"PK"):
        return _xlsx(data, shown, sheet)
    if data.startswith(OLE):
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise _locked(shown)
        return _xls(data, shown, sheet)
    if data.startswith((b"%PDF", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"\xff\xd8", b"\x89PNG")):
        raise DataError(f"{shown} is no sheet; give an .xlsx, .xls, .csv or .tsv file, extracted from its archive")
    return _delimited(_decoded(data, shown), shown)


def _locked(shown: str) -> DataError:
    return DataError(f"{shown} is password protected; remove the password in a spreadsheet program")


def _named(titles: Sequence[str], sheet: str | None, shown: str) -> list[str]:
    """The worksheets to look in."""
    if sheet is None:
        return list(titles)
    by_fold = {folded(title): title for title in reversed(titles)}
    near = difflib.get_close_matches(folded(sheet), by_fold, n=1, cutoff=0.8)
    if not near:
        raise DataError(f"{shown} has no worksheet {sheet!r}; it has {plain(', '.join(titles), 200) or 'none'}; check that it is the right file")
    return [by_fold[near[0]]]


def _capped(row: Sequence[object], number: int, shown: str) -> Numbered:
    """A row without the empty cells at its end (formatted to the last column, as happens), if it has a sane width."""
    end = len(row)
    while end and row[end - 1] is None:
        end -= 1
    if end > MAX_COLUMNS:
        raise DataError(f"{shown} row {number} has {end:,} columns, more than {MAX_COLUMNS:,}; remove those that are no annotation")
    return number, tuple(row[:end])


def _xlsx(data: bytes, shown: str, sheet: str | None) -> Iterator[tuple[str, Iterator[Numbered]]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = set(archive.namelist())
        size = sum(member.file_size for member in archive.infolist())
        if any(member.flag_bits & 1 for member in archive.infolist()):
            raise _locked(shown)
    if size > MAX_UNZIPPED:
        raise DataError(f"{shown} would unpack to {size >> 20} MiB, more than {MAX_UNZIPPED >> 20} MiB; it is no annotation sheet: get a fresh copy")
    if "xl/workbook.xml" not in names and "[Content_Types].xml" not in names:
        raise DataError(f"{shown} is a zip archive but no .xlsx sheet; {SAVE_AS}, or extract the archive and give the sheet in it")
    if "xl/workbook.bin" in names:
        raise DataError(f"{shown} is a binary workbook (.xlsb); {SAVE_AS}")
    try:
        import openpyxl
    except ImportError as error:
        raise DataError(f"{shown} is an .xlsx sheet, and openpyxl, which reads it, is not installed; run pip install 'merzoo[data]'") from error
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    worksheets = {worksheet.title: worksheet for worksheet in book.worksheets}
    for title in _named(list(worksheets), sheet, shown):
        worksheets[title].reset_dimensions()  # the stated size is often wrong, and then rows are lost
        yield title or "sheet", _xlsx_rows(worksheets[title].iter_rows(values_only=True), shown)


def _xlsx_rows(rows: Iterable[Sequence[object]], shown: str) -> Iterator[Numbered]:
    for number, row in enumerate(rows, 1):
        if number > LAST_ROW:
            raise DataError(f"{shown} has rows beyond the last that an .xlsx can have ({LAST_ROW:,}); get a fresh copy")
        yield _capped(row, number, shown)


def _xls(data: bytes, shown: str, sheet: str | None) -> Iterator[tuple[str, Iterator[Numbered]]]:
    try:
        import xlrd
    except ImportError as error:
        raise DataError(f"{shown} is an .xls sheet, and xlrd, which reads it, is not installed; run pip install 'merzoo[data]'") from error
    try:
        book = xlrd.open_workbook(file_contents=data, logfile=io.StringIO(), on_demand=True, ragged_rows=True)
    except xlrd.XLRDError as error:
        if "encrypt" in str(error).lower():
            raise _locked(shown) from error
        raise
    for title in _named(book.sheet_names(), sheet, shown):
        yield title or "sheet", _xls_rows(book.sheet_by_name(title), book.datemode, shown)


def _xls_rows(worksheet, datemode: int, shown: str) -> Iterator[Numbered]:  # type: ignore[no-untyped-def]  # xlrd has no types
    import xlrd

    def value(cell) -> object:  # type: ignore[no-untyped-def]
        if cell.ctype == xlrd.XL_CELL_ERROR:
            return xlrd.error_text_from_code.get(cell.value, "#ERROR")
        if cell.ctype == xlrd.XL_CELL_BOOLEAN:
            return bool(cell.value)
        if cell.ctype == xlrd.XL_CELL_DATE and 0 <= cell.value < 2_000_000:  # a day; what lies beyond the calendar stays a number
            return xlrd.xldate_as_datetime(cell.value, datemode)
        return None if cell.value == "" else cell.value

    for at in range(worksheet.nrows):
        yield _capped([value(cell) for cell in worksheet.row(at)], at + 1, shown)


def _decoded(data: bytes, shown: str) -> str:
    """The text of a delimited file. gb18030 before latin-1, because latin-1 never fails and half of the field's sheets are made in China."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif b"\0" in data:
        raise DataError(f"{shown} is neither a spreadsheet nor text; give an .xlsx, .xls, .csv or .tsv file (text as utf-8)")
    else:
        encodings = ["utf-8-sig", "gb18030", "latin-1"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if text.lstrip().startswith(("<", "{\\rtf")):
            raise DataError(f"{shown} is a web page or XML file with a sheet's name; {SAVE_AS}")
        return text
    raise DataError(f"{shown} is no text in {' or '.join(encodings)}; save it as utf-8")


def _delimited(text: str, shown: str) -> Iterator[tuple[str, Iterator[Numbered]]]:
    """One table a delimiter, the most frequent in the first lines first; a wrong one makes one wide column, in which no header is found."""
    start = text[:10_000]
    for delimiter in sorted(",;\t", key=lambda d: -start.count(d)):
        yield "", _delimited_rows(text, delimiter, shown)


def _delimited_rows(text: str, delimiter: str, shown: str) -> Iterator[Numbered]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)  # strict: an open quote would swallow the rows after it
    number = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{shown} line {number}: {plain(error, 100)}; close or remove the double quote in that line") from error
        yield _capped([cell or None for cell in row], number, shown)
        number = reader.line_num + 1
