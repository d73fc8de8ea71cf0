"""Text from strangers, made safe to print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merzoo.text import plain


@given(st.text())
def test_whatever_comes_in_one_printable_line_goes_out(text):
    safe = plain(text)
    assert safe.isprintable() and len(safe.splitlines()) <= 1
    assert len(plain(text, limit=10)) <= 10


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("δ × – Ünï 顔 🙂", "δ × – Ünï 顔 🙂"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\u202etxt", r"\u202etxt"),
        ("\ud800", r"\ud800"),
        (3, "3"),
    ],
)
def test_what_is_kept_and_what_is_escaped(text, safe):
    assert plain(text) == safe


def test_a_limit_cuts_and_says_so():
    assert plain("abcdef", limit=6) == "abcdef" and plain("abcdefg", limit=6) == "abcde…"
