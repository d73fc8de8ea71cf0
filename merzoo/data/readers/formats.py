"""The tables in a sheet's bytes: .xlsx, .xls and delimited text, told apart by content, because an .xls is often something else."""

from __future__ import annotations

import csv
import difflib
import io
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from merzoo.errors import DataError
from merzoo.text import plain

MAX_UNZIPPED = 512 * 2**20  # bytes an .xlsx may say it holds; zipfile never reads more than what was said
MAX_COLUMNS = 1_000
LAST_ROW = 2**20  # of any .xlsx; a damaged row number beyond it would be counted up to

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
OTHERS = (b"%PDF", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"\xff\xd8", b"\x89PNG")
SAVE_AS = "open it in a spreadsheet program and save it as .xlsx"

Numbered = tuple[int, tuple[object, ...]]  # row number as an editor shows it, cells
Table = tuple[str, Iterator[Numbered]]  # title of the worksheet, "" in a text file; its rows


def folded(name: object) -> str:
    """A header or worksheet name as it is compared."""
    text = unicodedata.normalize("NFKC", "" if name is None else str(name)[:1000])
    return re.sub(r"[\s_\u200b\ufeff]+", "", text).rstrip("'’`´").casefold()


def tables(data: bytes, shown: str, sheet: str | None) -> Iterator[Table]:
    """(title, rows) of each worksheet, of the named one alone if one is named; of a text file one for each delimiter that might be meant."""
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _xlsx(data, shown, sheet)
    if data.startswith(OLE):
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise _locked(shown)
        return _xls(data, shown, sheet)
    if data.startswith(OTHERS):
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


def _xlsx(data: bytes, shown: str, sheet: str | None) -> Iterator[Table]:
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


def _xls(data: bytes, shown: str, sheet: str | None) -> Iterator[Table]:
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


def _xls_rows(worksheet: Any, datemode: int, shown: str) -> Iterator[Numbered]:
    import xlrd

    def value(cell: Any) -> object:
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


def _delimited(text: str, shown: str) -> Iterator[Table]:
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
