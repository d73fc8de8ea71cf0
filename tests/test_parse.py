"""Cells made plain values."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merzoo.data.readers.parse import AUs, parse_aus, parse_emotion, parse_int, parse_text, peak_or_middle

CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.datetimes(), st.decimals(), st.fractions(), st.binary(),
    st.text(alphabet="0123456789+,;、，/LRABEkor() AU", max_size=30), st.integers(10**300, 10**301), st.just(10**5000),
)  # fmt: skip


@pytest.mark.parametrize("cell", [12, 12.0, "12", " 12 ", "012", "12.0", "+12", "１２", np.int64(12), np.float32(12), Fraction(24, 2)])
def test_whole_numbers(cell: object) -> None:
    assert parse_int(cell) == 12


@pytest.mark.parametrize(
    "cell",
    [12.5, "12.5", "/", "", " ", None, float("nan"), float("inf"), True, np.nan, "1e3", "1_000", "1,000", "#REF!", 2**31, "9" * 5000, 1e300, 10**400,
     "²", "12²", "twelve", datetime(2020, 1, 1), b"12", Fraction(10**400, 3)],
)  # fmt: skip
def test_no_whole_numbers(cell: object) -> None:
    assert parse_int(cell) is None


def test_zero_and_below_are_numbers() -> None:
    assert (parse_int("0"), parse_int(-3), parse_int("-3"), parse_int(2**31 - 1)) == (0, -3, -3, 2**31 - 1)


@pytest.mark.parametrize(
    ("cell", "text"),
    [(6.0, "6"), (6, "6"), (6.5, "6.5"), (" EP02_01f ", "EP02_01f"), (None, ""), (float("nan"), ""), ("a\u200b\x00\x1bb", "ab"), ("a \n b", "a b"),
     ("spNO.1", "spNO.1"), ("x" * 300, "x" * 200), (10**400, ""), ("Ａ", "Ａ")],
)  # fmt: skip
def test_text(cell: object, text: str) -> None:
    assert parse_text(cell) == text


@pytest.mark.parametrize(
    ("cell", "aus"),
    [
        ("4+12", (4, 12)), ("L4B + R12", (4, 12)), ("LL12,RR14", (12, 14)), ("4，12", (4, 12)), ("4、12;1；2", (1, 2, 4, 12)), ("4＋7", (4, 7)),
        ("Ｌ４", (4,)), (4, (4,)), (12.0, (12,)), ("AU1+AU02", (1, 2)), ("T23+B25", (23, 25)), ("12+4+12", (4, 12)), ("R14A", (14,)), ("l12a", (12,)),
        ("(12)", (12,)), ("4?", (4,)), ("4 7", (4, 7)), ("4\n7\tR12", (4, 7, 12)), ("4&7", (4, 7)), ("AU 4 & AU 7", (4, 7)), ("4 &\u30007+1", (1, 4, 7)),
        ("AU 4", (4,)), ("L 12", (12,)),
    ],
)  # fmt: skip
def test_action_units(cell: object, aus: tuple[int, ...]) -> None:
    assert parse_aus(cell) == AUs(aus)


@pytest.mark.parametrize(
    ("cell", "aus", "skipped"),
    [
        ("4(k)+12", (12,), ("4(k) (static)",)),
        ("AU17 ( K )", (), ("AU17 ( K ) (static)",)),
        ("R12 or R15 + 4", (4,), ("R12 or R15 (undecided)",)),
        ("12or14", (), ("12or14 (undecided)",)),
        ("12/14", (), ("12/14 (undecided)",)),
        ("4 x", (), ("4 x (not an action unit)",)),
        ("1 2 + 1.7", (1, 2), ("1.7 (not an action unit)",)),
        ("4 17 (k)", (4,), ("17(k) (static)",)),
        ("1 or 4 17(k)", (), ("1 or 4 17(k) (undecided)",)),
        ("4 & 7 or 9", (), ("4 & 7 or 9 (undecided)",)),
        (4.12, (), ("4.12 (not an action unit)",)),
        ("100+0+1", (1,), ("100 (not an action unit)", "0 (not an action unit)")),
        ("4²+2", (2,), ("4² (not an action unit)",)),
        ("x4y+2", (2,), ("x4y (not an action unit)",)),
        (datetime(2014, 4, 12), (), ("2014-04-12 00:00:00 (not an action unit)",)),
    ],
)
def test_action_units_left_out_say_why(cell: object, aus: tuple[int, ...], skipped: tuple[str, ...]) -> None:
    assert parse_aus(cell) == AUs(aus, skipped)


@pytest.mark.parametrize(
    ("cell", "known", "undecided"),
    [("4", True, False), ("none", True, False), ("4(k)", True, False), ("4+x", True, False), ("x", False, False), ("4 or 5", False, True),
     ("4 or 5+(k)", False, True), ("1+4/5", True, True)],
)  # fmt: skip
def test_what_a_cell_leaves_open(cell: str, known: bool, undecided: bool) -> None:
    found = parse_aus(cell)
    assert found is not None and (found.known, found.undecided) == (known, undecided)


@pytest.mark.parametrize("cell", [None, "", " ", float("nan"), "/", "-", "N/A"])
def test_nobody_coded_action_units(cell: object) -> None:
    assert parse_aus(cell) is None


@pytest.mark.parametrize("cell", [0, 0.0, "0", "no", "None"])
def test_coded_and_none_active(cell: object) -> None:
    assert parse_aus(cell) == AUs()


@pytest.mark.parametrize(
    ("cell", "emotion"),
    [("happy", "happiness"), (" Sad ", "sadness"), ("Other", "others"), ("Others", "others"), ("Fear", "fear"), ("angry", "anger"),
     ("repression", "repression"), (None, ""), ("Contempt\n", "contempt")],
)  # fmt: skip
def test_emotions(cell: object, emotion: str) -> None:
    assert parse_emotion(cell) == emotion


@pytest.mark.parametrize(
    ("apex", "peak", "why"),
    [(15, 15, ""), ("15", 15, ""), (10, 10, ""), (21, 21, ""), ("/", 15, "'/' is no frame"), (None, 15, "missing"), (float("nan"), 15, "missing"),
     (9, 15, "9 is outside 10 to 21"), (22, 15, "22 is outside 10 to 21"), ("#REF!", 15, "'#REF!' is no frame")],
)  # fmt: skip
def test_peak_or_middle(apex: object, peak: int, why: str) -> None:
    assert peak_or_middle(10, apex, 21) == (peak, why)


@given(CELLS)
def test_any_cell_is_read(cell: object) -> None:
    number, text, aus = parse_int(cell), parse_text(cell), parse_aus(cell)
    assert number is None or (type(number) is int and abs(number) < 2**31)
    assert len(text) <= 200 and text.isprintable() and text == text.strip()
    assert aus is None or (list(aus.aus) == sorted(set(aus.aus)) and all(1 <= au <= 99 for au in aus.aus))
    assert parse_emotion(cell) == parse_emotion(cell).strip()
    assert 10 <= peak_or_middle(10, cell, 20)[0] <= 20


@given(st.lists(st.text(alphabet="0123456789LRABEkor() AU", min_size=1, max_size=8), min_size=1, max_size=6))
def test_no_token_vanishes(tokens: list[str]) -> None:
    found = parse_aus("+".join(tokens))
    named = [token for token in (" ".join(t.split()) for t in tokens) if token]
    pieces = [piece for token in named for piece in token.split()]
    if found is not None and len(named) > 1:
        assert len(pieces) >= len(found.aus) + len(found.skipped) and bool(found.aus or found.skipped)


def test_a_long_cell_is_read_to_its_end() -> None:
    assert parse_aus(" + ".join(["4"] * 200 + ["12"])) == AUs((4, 12))


def test_decimals_are_text() -> None:
    assert parse_text(Decimal("6.5")) == "6.5" and parse_int(Decimal(6)) is None
