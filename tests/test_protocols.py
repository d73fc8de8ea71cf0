from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merzoo.errors import DataError, UnknownNameError
from merzoo.evaluation.catalogue import protocol_by_name
from merzoo.evaluation.protocols import Fold, Protocol, fold_id, is_fold_id, natural
from merzoo.evaluation.splits import loso
from merzoo.testing.runs import clip_table


def test_loso_is_one_fold_a_subject_in_natural_order() -> None:
    protocol = loso(clip_table(subjects=11))
    assert [fold.test_subjects for fold in protocol.folds] == [(f"toy/s{i}",) for i in range(1, 12)]
    assert protocol.folds[1].test_ids == ("s2_0", "s2_1", "s2_2", "s2_3")  # the macro clip is never tested
    assert protocol_by_name("loso")(clip_table(subjects=11)) == protocol


def test_the_hash_is_of_the_split_not_of_the_order() -> None:
    table = clip_table()
    protocol = loso(table)
    assert loso(table.sample(frac=1, random_state=3)).hash == protocol.hash
    assert Protocol("renamed", protocol.folds[::-1]).hash == protocol.hash
    moved = table.assign(subject=table["subject"].where(table["sample_id"] != "s1_0", "toy/s2"))
    assert loso(moved).hash != protocol.hash
    assert len(protocol.hash) == 64


def test_manifest_round_trip_and_tampering() -> None:
    protocol = loso(clip_table())
    manifest = protocol.to_json()
    assert Protocol.from_json(manifest) == protocol
    manifest["folds"][0]["test_ids"].pop()
    with pytest.raises(DataError, match="changed"):
        Protocol.from_json(manifest)
    for broken in ({}, {"name": "x", "hash": "y", "folds": 3}, {"name": "x", "hash": "y", "folds": [{}]}, {"name": 1, "hash": "y", "folds": []}):
        with pytest.raises(DataError):
            Protocol.from_json(broken)


@given(st.lists(st.text(max_size=40), min_size=2, max_size=8, unique=True))
def test_any_subject_gets_a_safe_fold_id_of_its_own(subjects: list[str]) -> None:
    ids = [fold_id(s) for s in subjects]
    assert all(is_fold_id(i) for i in ids)
    assert len({i.casefold() for i in ids}) == len(subjects)
    assert sorted(subjects, key=natural)


def test_fold_ids_keep_plain_names_and_split_look_alikes() -> None:
    assert fold_id("s01") == "s01"
    assert fold_id("casme2/sub01").startswith("casme2-sub01-")
    assert len({fold_id(s).casefold() for s in ("a/b", "a-b", "a b", "A-b", "../a-b")}) == 5


def test_natural_order() -> None:
    assert sorted(["s10", "s2", "s1b", "s1", "s", "s²", "s02"], key=natural) == ["s", "s1", "s1b", "s02", "s2", "s10", "s²"]
    assert natural("s" + "9" * 9000) > natural("s1")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda t: t[t["subject"] == "toy/s1"], "at least 2 subjects"),
        (lambda t: t[t["kind"] == "macro"], "at least 2 subjects"),
        (lambda t: t.drop(columns="subject"), "lacks column subject"),
        (lambda t: t.assign(sample_id="same"), "repeats sample_id 'same'"),
        (lambda t: t.assign(subject=None), "without sample_id or subject"),
    ],
)
def test_tables_that_make_no_loso(change, word: str) -> None:
    with pytest.raises(DataError, match=word):
        loso(change(clip_table()))


def test_integer_subjects_are_text() -> None:
    table = pd.DataFrame({"sample_id": [1, 2], "subject": [1, 2], "kind": "micro", "emotion": "a"})
    assert [fold.test_subjects for fold in loso(table).folds] == [("1",), ("2",)]


def test_folds_that_cannot_be_files_are_refused() -> None:
    good = Fold("a", ("x",), ("s",))
    for folds in ((), (good, Fold("A", ("y",), ("t",))), (Fold("../a", ("x",), ("s",)),), (Fold("a", (), ("s",)),), (Fold("a", ("x", "x"), ("s",)),)):
        with pytest.raises(DataError):
            Protocol("p", folds)


def test_an_unknown_protocol_lists_the_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="did you mean loso"):
        protocol_by_name("losso")
