"""Text from strangers, made safe to print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merzoo.text import plain, without_secrets


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


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("http://alice:s3cret@127.0.0.1:9/api", "http://127.0.0.1:9/api"),
        ("for url 'https://a:b@c@h/x?sig=s3cret&e=1' (418)", "for url 'https://h/x' (418)"),
        ("https://h/x#token=s3cret and https://s3cret@h", "https://h/x and https://h"),
        ("ssh://git@h/x.git", "ssh://git@h/x.git"),
        ("header b'Bearer hf_s3cret'", "header b'Bearer …'"),
        ("it is hf_mine", "it is …"),
        ("hf-hub:org/repo@main and a@b?", "hf-hub:org/repo@main and a@b?"),
    ],
)
def test_what_opens_doors_is_not_shown(text, safe):
    assert without_secrets(text, "hf_mine") == safe
