"""Annotation sheets in every state in which strangers hand them on."""

from __future__ import annotations

import io
import random
import re
import sys
import zipfile
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path

import openpyxl
import pytest
import xlwt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from merzoo.data.readers import formats, sheets
from merzoo.data.readers.parse import parse_aus, parse_int, parse_text
from merzoo.data.readers.sheets import read_sheet
from merzoo.errors import DataError

WANTED = {"subject": ("Subject",), "filename": ("Filename",), "onset": ("Onset", "Onset Frame"), "apex": ("ApexFrame",), "note": ("self-report emo",)}
NEEDED = ("subject", "filename", "onset")
TABLE = [["Subject", "Filename", "OnsetFrame", "Apex Frame"], [1, "EP02_01f", 46, 59], [1, "EP03_02", 131, "/"], [26, "EP18_51", 7, 12]]
STRINGS_TYPE = b'<Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/>'
FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def xlsx(*tables: Sequence[Sequence[object]], titles: Sequence[str] = ()) -> bytes:
    book = openpyxl.Workbook()
    for at, table in enumerate(tables):
        worksheet = book.active if not at else book.create_sheet()
        for row in table:
            worksheet.append(list(row))
        worksheet.title = titles[at] if titles else worksheet.title
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def xls(*tables: Sequence[Sequence[object]], titles: Sequence[str] = ()) -> bytes:
    book = xlwt.Workbook()
    for at, table in enumerate(tables):
        worksheet = book.add_sheet(titles[at] if titles else f"Sheet{at}")
        for i, row in enumerate(table):
            for j, cell in enumerate(row):
                if cell is not None:
                    worksheet.write(i, j, cell)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def text(table: Sequence[Sequence[object]], delimiter: str = ",") -> str:
    return "\n".join(delimiter.join("" if cell is None else str(cell) for cell in row) for row in table)


def repacked(data: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """The archive with its members changed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return stream.getvalue()


def shared(data: bytes) -> bytes:
    """The workbook with its texts in a table of their own, as spreadsheet programs save them."""
    texts: list[bytes] = []

    def kept(match: re.Match[bytes]) -> bytes:
        texts.append(match[1])
        return b't="s"><v>%d</v>' % (len(texts) - 1)

    def change(name: str, member: bytes) -> bytes:
        if name.startswith("xl/worksheets/"):
            return re.sub(rb't="inlineStr"><is>(.*?)</is>', kept, member)
        return member.replace(b"</Types>", STRINGS_TYPE + b"</Types>")

    stream = io.BytesIO(repacked(data, change))
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as workbook:
        items = b"".join(b"<si>%s</si>" % item for item in texts)
        workbook.writestr("xl/sharedStrings.xml", b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">' + items + b"</sst>")
    return stream.getvalue()


def saved(tmp_path: Path, data: bytes | str, name: str = "sheet.xlsx") -> Path:
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def cells(path: Path, **options: object) -> list[list[object]]:
    found = read_sheet(path, WANTED, required=NEEDED, **options)  # type: ignore[arg-type]
    return [[parse_int(row.cells["subject"]), parse_text(row.cells["filename"]), parse_int(row.cells["onset"])] for row in found.rows]


def refused(path: Path, **options: object) -> str:
    with pytest.raises(DataError) as error:
        read_sheet(path, **({"wanted": WANTED, "required": NEEDED} | options))  # type: ignore[arg-type]
    line = str(error.value)
    assert "\n" not in line and (path.name in line or "\n" in path.name)
    return line


EXPECTED = [[1, "EP02_01f", 46], [1, "EP03_02", 131], [26, "EP18_51", 7]]


@pytest.mark.parametrize("name", ["sheet.xlsx", "sheet.xls", "sheet.csv"])
@pytest.mark.parametrize("data", [xlsx(TABLE), shared(xlsx(TABLE)), xls(TABLE), *(text(TABLE, sign) for sign in ",;\t"), text(TABLE).replace("\n", "\r\n")])
def test_content_decides_not_the_suffix(tmp_path: Path, name: str, data: bytes | str) -> None:
    assert cells(saved(tmp_path, data, name)) == EXPECTED


@pytest.mark.parametrize("make", [xlsx, xls, text])
def test_header_below_rows_of_text(tmp_path: Path, make: Callable) -> None:
    """SAMM: 13 rows of text, the header in row 14."""
    path = saved(tmp_path, make([["SAMM: micro movements"], [None, "Subject"], *[[f"line {i}"] for i in range(11)], *TABLE]))
    found = read_sheet(path, WANTED, required=NEEDED)
    assert found.header == 14 and [row.number for row in found.rows] == [15, 16, 17] and cells(path) == EXPECTED
    assert "lacks the column" in refused(path, header_search=13)


@pytest.mark.parametrize("name", ["OnsetFrame", "onset_frame", " ONSET  frame ", "Onset\nFrame", "Onset Frame'", "onset", "Ｏｎｓｅｔ", "\ufeffOnset"])
def test_headers_are_told_apart_by_letters_alone(tmp_path: Path, name: str) -> None:
    assert cells(saved(tmp_path, xlsx([["Subject", "Filename", name], *(row[:3] for row in TABLE[1:])]))) == EXPECTED


def test_columns_twice_without_name_and_absent(tmp_path: Path) -> None:
    table = [["Subject", None, "Filename", None, "Onset Frame", "Onset", "Onset Frame", "self-report emo'"], [1, "a", "EP", "b", 3, 4, 5, "sad"]]
    found = read_sheet(saved(tmp_path, xlsx(table)), WANTED, required=NEEDED)
    assert found.rows[0].cells == {"subject": 1, "filename": "EP", "onset": 4, "note": "sad"}
    assert found.columns == ("Subject", "", "Filename", "", "Onset Frame", "Onset", "Onset Frame", "self-report emo'")


def test_left_of_two_equal_headers(tmp_path: Path) -> None:
    table = [["Subject", "Filename", "Onset Frame", "OnsetFrame"], [1, "EP", 3, 4]]
    assert cells(saved(tmp_path, xlsx(table))) == [[1, "EP", 3]]


@pytest.mark.parametrize("make", [xlsx, xls, text])
def test_empty_rows_are_no_data_and_are_counted(tmp_path: Path, make: Callable) -> None:
    table = [TABLE[0], TABLE[1], [None, "  "], [None], TABLE[2]]
    found = read_sheet(saved(tmp_path, make(table)), WANTED, required=NEEDED)
    assert [row.number for row in found.rows] == [2, 5]


@pytest.mark.parametrize("make", [xlsx, xls])
def test_worksheets(tmp_path: Path, make: Callable) -> None:
    other = [["Subject", "Filename", "Onset"], [9, "blink", 1]]
    path = saved(tmp_path, make([["read me"]], TABLE, other, titles=["Intro", "AU+Emotion", "eye blink"]))
    assert cells(path) == EXPECTED and cells(path, sheet="au + emotion") == EXPECTED and cells(path, sheet="Eye_Blink") == [[9, "blink", 1]]
    assert read_sheet(path, WANTED, required=NEEDED).title == "AU+Emotion"
    assert "has no worksheet 'label'; it has Intro, AU+Emotion, eye blink" in refused(path, sheet="label")
    assert "found read me" in refused(path, sheet="Intro")


def test_missing_columns_are_named_with_what_was_found(tmp_path: Path) -> None:
    line = refused(saved(tmp_path, xlsx([["Subject", "Clip", "Apex Frame"], [1, "EP", 2]])))
    assert "lacks the column 'filename' (as 'Filename'), 'onset' (as 'Onset' or 'Onset Frame') in its first 40 rows; found Subject, Clip, Apex Frame" in line
    assert "found a, b" in refused(saved(tmp_path, "a,b\n1,2\n", "sheet.csv"))


def test_types_of_cells(tmp_path: Path) -> None:
    table = [["Subject", "Filename", "Onset"], [1, datetime(2014, 4, 12), "#REF!"], [True, 6.5, 2**40], [None, None, "x"]]
    for data in (xlsx(table), xls(table)):
        rows = read_sheet(saved(tmp_path, data), WANTED, required=NEEDED).rows
        assert [row.cells["onset"] for row in rows] == ["#REF!", 2**40, "x"] and rows[1].cells["subject"] is True
        assert rows[2].cells["subject"] is None


def test_formulas(tmp_path: Path) -> None:
    """A stored value is read; without one the cell is empty, and the row stays for its reader to drop with a reason."""
    data = xlsx([*TABLE[:2], [2, "EP", "=C2+1"]])
    assert [row.cells["onset"] for row in read_sheet(saved(tmp_path, data), WANTED, required=NEEDED).rows] == [46, None]
    stored = repacked(data, lambda _, member: member.replace(b"<v></v>", b"<v>47</v>").replace(b"<v />", b"<v>47</v>").replace(b"<v/>", b"<v>47</v>"))
    assert [row.cells["onset"] for row in read_sheet(saved(tmp_path, stored), WANTED, required=NEEDED).rows] == [46, 47]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030", "latin-1"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    word = "élan, ï" if encoding == "latin-1" else "惊讶"
    data = f'Subject,Filename,Onset\n1,"{word}",3\n'.encode(encoding)
    assert cells(saved(tmp_path, data, "sheet.csv")) == [[1, word, 3]]


def test_delimiter_is_the_one_that_shows_the_columns(tmp_path: Path) -> None:
    data = 'Subject;Filename;Onset;AUs\n"1";EP;3;"4,12,14,17,1,2,5"\n2;"EP, 2";4;"1,2,4,5,6,7,9"\n'
    assert cells(saved(tmp_path, data, "sheet.csv")) == [[1, "EP", 3], [2, "EP, 2", 4]]


def test_cells_that_shifted_are_not_read(tmp_path: Path) -> None:
    """An unquoted "4,12" moves the cells after it."""
    assert "row 3 has 4 cells under 3 columns" in refused(saved(tmp_path, "Subject,Filename,Onset\n1,EP,3\n1,EP,4,12\n", "sheet.csv"))
    assert cells(saved(tmp_path, "Subject,Filename,Onset\n1,EP,3,,\n2\n", "sheet.csv")) == [[1, "EP", 3], [2, "", None]]


def test_an_open_quote_swallows_no_rows(tmp_path: Path) -> None:
    assert "line 3" in refused(saved(tmp_path, 'Subject,Filename,Onset\n1,EP,3\n2,"EP,4\n3,EP,5\n', "sheet.csv"))


def test_row_numbers_of_an_editor(tmp_path: Path) -> None:
    found = read_sheet(saved(tmp_path, 'Subject,Filename,Onset\n1,"two\nlines",3\n\n2,EP,4\n', "sheet.csv"), WANTED, required=NEEDED)
    assert [row.number for row in found.rows] == [2, 5]


def test_no_file_folder_and_empty(tmp_path: Path) -> None:
    assert "check the path" in refused(tmp_path / "absent.xlsx")
    assert "check the path" in refused(tmp_path / "two\nlines.xlsx")
    assert "is no file" in refused(tmp_path)
    assert "is empty" in refused(saved(tmp_path, b""))
    assert "is empty" in refused(saved(tmp_path, b"\0" * 100 + b"\n"))
    assert "lacks the column" in refused(saved(tmp_path, xlsx([])))
    with pytest.raises(DataError, match=r"a\\x00b\.xlsx"):
        read_sheet("a\0b.xlsx", WANTED)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"%PDF-1.7 ...", "is no sheet"), (b"\x89PNG\r\n\x1a\n", "is no sheet"), (b"\x1f\x8b\x08\0", "is no sheet"), (b"<html><table><tr>", "web page"),
        (b"\x01\x02\0\x03", "neither a spreadsheet nor text"), (b"\xff\xfeS\0u\0b", "is no text in utf-16"), (formats.OLE + b"\0" * 600, "is damaged"),
        (b"PK\x03\x04 cut", "is damaged"), (xlsx(TABLE)[:-300], "is damaged"), (xls(TABLE)[:-3000], "is damaged"),
    ],
)  # fmt: skip
def test_other_formats_and_damage(tmp_path: Path, data: bytes, why: str) -> None:
    assert why in refused(saved(tmp_path, data))


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in members.items():
            new.writestr(name.replace("__", "/"), content)
    return stream.getvalue()


def test_archives_that_are_no_sheet(tmp_path: Path) -> None:
    assert "no .xlsx sheet" in refused(saved(tmp_path, archive(mimetype=b"application/vnd.oasis.opendocument.spreadsheet")))
    assert ".xlsb" in refused(saved(tmp_path, archive(**{"xl/workbook.bin": b"", "[Content_Types].xml": b""})))


def test_passwords(tmp_path: Path) -> None:
    locked = formats.OLE + b"\0" * 600 + "EncryptionInfo".encode("utf-16-le") + "EncryptedPackage".encode("utf-16-le") + b"\0" * 600
    assert "is password protected; remove the password in a spreadsheet program" in refused(saved(tmp_path, locked))
    filepass = bytes.fromhex("2f00 3600 0100 0100 0100".replace(" ", "")) + b"\7" * 48  # the record by which an .xls says that it is encrypted
    plain = xls(TABLE)
    at = plain.index(bytes.fromhex("0908100000060500")) + 20  # behind the first record
    assert "is password protected" in refused(saved(tmp_path, plain[:at] + filepass + plain[at + len(filepass) :], "sheet.xls"))


def test_zip_bombs_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MAX_UNZIPPED", 2**20)
    data = repacked(xlsx(TABLE), lambda name, member: member + (b" " * 2**21 if name.endswith("sheet1.xml") else b""))
    assert len(data) < 20_000 and "would unpack to 2 MiB" in refused(saved(tmp_path, data))


def test_xml_that_grows_is_refused(tmp_path: Path) -> None:
    growing = b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 20) for i in range(8))
    entities = b'<!DOCTYPE worksheet [<!ENTITY a "' + b"l" * 100 + b'">' + growing + b"]>"
    data = repacked(xlsx(TABLE), lambda name, member: entities + member.replace(b"EP02_01f", b"&i;") if name.endswith("sheet1.xml") else member)
    assert "is damaged" in refused(saved(tmp_path, data))


def test_xml_reads_no_other_file(tmp_path: Path) -> None:
    secret = saved(tmp_path, "secret", "secret.txt")
    entity = f'<!DOCTYPE worksheet [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'.encode()
    data = repacked(xlsx(TABLE), lambda name, member: entity + member.replace(b"EP02_01f", b"&x;") if name.endswith("sheet1.xml") else member)
    try:
        assert "secret" not in str(cells(saved(tmp_path, data)))
    except DataError as error:
        assert "secret" not in str(error)


def test_too_many_rows_columns_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = [[*TABLE[0], *([None] * 1000), "far"], *TABLE[1:]]
    assert "has 1,005 columns" in refused(saved(tmp_path, xlsx(wide))) and "has 1,005 columns" in refused(saved(tmp_path, text(wide)))
    far = repacked(xlsx(TABLE), lambda _, member: member.replace(b'<row r="4"', b'<row r="99999999999"'))
    assert "beyond the last" in refused(saved(tmp_path, far))
    monkeypatch.setattr(sheets, "MAX_ROWS", 2)
    assert "more than 2 rows" in refused(saved(tmp_path, xlsx(TABLE)))
    monkeypatch.setattr(sheets, "MAX_FILE", 1000)
    assert "too large" in refused(saved(tmp_path, xlsx(TABLE)))


def test_cells_formatted_to_the_edge_are_no_columns(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in TABLE:
        book.active.append(row)
    book.active.cell(2, 16_384).font = openpyxl.styles.Font(bold=True)
    book.save(tmp_path / "sheet.xlsx")
    assert cells(tmp_path / "sheet.xlsx") == EXPECTED


def test_a_wrong_stated_size_loses_no_rows(tmp_path: Path) -> None:
    assert cells(saved(tmp_path, repacked(xlsx(TABLE), lambda _, member: member.replace(b'ref="A1:D4"', b'ref="A1:A2"')))) == EXPECTED


@pytest.mark.parametrize(("package", "data"), [("openpyxl", xlsx(TABLE)), ("xlrd", xls(TABLE))])
def test_a_reader_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, data: bytes) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert "pip install 'merzoo[data]'" in refused(saved(tmp_path, data)) and cells(saved(tmp_path, text(TABLE))) == EXPECTED


# What follows is random: a sheet is read, or refused with a line.

CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**12), 10**12), st.floats(allow_nan=False, allow_infinity=False),
    st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1)),
    st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Co", "Cn"], exclude_characters="\ufffe\uffff"), max_size=20),
    st.sampled_from(["/", "=1/0", "=A1", "#REF!", "Subject", "Onset", "4+12", "4，12", "1e308", "9" * 40, '"', "a;b,c\td", "\n"]),
)  # fmt: skip
HEADERS = st.one_of(
    st.permutations(["Subject", "file_name", "ONSET", None, "subject"]),
    st.lists(st.sampled_from(["Subject", "Filename", "Onset", "ApexFrame", "", 3]), max_size=6),
)
ROWS = st.lists(st.lists(CELLS, max_size=6), max_size=6)
TABLES = st.tuples(ROWS, HEADERS, ROWS).map(lambda parts: [*parts[0], parts[1], *parts[2]])


def survives(path: Path) -> int:
    """Rows read, −1 where the sheet is refused with a line; any other exception fails the test."""
    try:
        found = read_sheet(path, WANTED, required=NEEDED)
    except DataError as error:
        assert "\n" not in str(error)
        return -1
    for row in found.rows:
        parse_int(row.cells["onset"]), parse_text(row.cells["filename"]), parse_aus(row.cells["filename"])
    return len(found.rows)


@FUZZ
@given(TABLES, st.sampled_from([xlsx, xls, lambda t: shared(xlsx(t))]))
def test_random_cells(tmp_path: Path, table: list[list[object]], make: Callable) -> None:
    rows = survives(saved(tmp_path, make(table)))
    found = [at for at, row in enumerate(table) if {"subject", "filename", "onset"} <= {formats.folded(cell) for cell in row}]
    if found:  # every row below the header that holds a value is handed on; a formula that was never computed is none
        values = [[cell for cell in row if cell is not None and not (make is not xls and str(cell).startswith("="))] for row in table[found[0] + 1 :]]
        assert rows == sum(any(str(cell).strip() for cell in row) for row in values)


@FUZZ
@given(TABLES, st.sampled_from(",;\t"), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb18030", "latin-1", "utf-32", "utf-16-le"]))
def test_random_text(tmp_path: Path, table: list[list[object]], delimiter: str, encoding: str) -> None:
    survives(saved(tmp_path, text(table, delimiter).encode(encoding, "replace"), "sheet.csv"))


@FUZZ
@given(st.binary(max_size=200), st.sampled_from([b"", b"PK\x03\x04", formats.OLE, b"\xff\xfe", b"\xef\xbb\xbf", b"Subject,Filename,Onset\n"]))
def test_random_bytes(tmp_path: Path, data: bytes, start: bytes) -> None:
    survives(saved(tmp_path, start + data))


@cache
def sound(kind: str) -> bytes:
    table = [*TABLE, *([i, f"EP{i}", i, i + 1] for i in range(40))]
    return {"xlsx": lambda t: shared(xlsx(t)), "xls": xls, "csv": lambda t: text(t).encode()}[kind](table)


@FUZZ
@given(st.sampled_from(["xlsx", "xls", "csv"]), st.floats(0, 1), st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8))
def test_truncated_and_flipped_bytes(tmp_path: Path, kind: str, keep: float, flips: list[tuple[float, int]]) -> None:
    data = bytearray(sound(kind))
    for at, byte in flips:
        data[int(at * len(data))] = byte
    survives(saved(tmp_path, bytes(data[: max(1, round(keep * len(data)))])))


@FUZZ
@given(st.integers(0, 2**32))
def test_damage_inside_the_archive(tmp_path: Path, seed: int) -> None:
    """Damage that the archive's checksums do not see."""
    rng = random.Random(seed)
    victim = rng.choice(
        ["xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/workbook.xml", "xl/styles.xml", "xl/_rels/workbook.xml.rels", "[Content_Types].xml"]
    )

    def change(name: str, member: bytes) -> bytes:
        damaged = bytearray(member)
        for _ in range(rng.randint(1, 5) if name == victim else 0):
            damaged[rng.randrange(len(damaged))] = rng.choice(b'0123456789<>/"ABXZ \xff')
        return bytes(damaged)

    survives(saved(tmp_path, repacked(sound("xlsx"), change)))
