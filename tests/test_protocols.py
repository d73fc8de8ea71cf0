from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merzoo.data.people import same_people, shared_subjects
from merzoo.errors import DataError, UnknownNameError, UsageError
from merzoo.evaluation.catalogue import is_built_in, protocol_by_name
from merzoo.evaluation.protocols import Fold, Protocol, fold_id, is_fold_id, natural
from merzoo.evaluation.splits import given_folds, lodo, loso, subject_folds, with_same_people
from merzoo.testing.runs import clip_table, write_run

PINNED = "2e94183bf3e40648b88fe3e9acf98af517091f5ede96ce633183694694d2d85c"


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


@pytest.mark.parametrize(
    ("folds", "word"),
    [
        ((Fold("a", ("x",), ("s",), train_ids=("y", "x")),), "trains on x, which it tests"),
        ((Fold("a", ("x",), ("s",), train_ids=()),), "no training sample"),
        ((Fold("a", ("x",), ("s",), train_ids=("y", "y")),), "repeats one"),
        ((Fold("a", ("x",), ("s",)), Fold("b", ("x",), ("s",))), "tests x twice in draw 0"),
        ((Fold("a", ("x",), ("s",), draw=-1),), "draw -1"),
        ((Fold("a", ("x",), ("s",), draw=True),), "draw True"),
    ],
)
def test_training_lists_and_draws_that_cannot_be_are_refused(folds: tuple[Fold, ...], word: str) -> None:
    with pytest.raises(DataError, match=word):
        Protocol("p", folds)
    with pytest.raises(DataError, match="kind"):
        Protocol("p", (Fold("a", ("x",), ("s",)),), kind="mini")


def test_a_sample_may_be_tested_again_in_another_draw() -> None:
    assert Protocol("p", (Fold("a", ("x",), ("s",)), Fold("b", ("x",), ("s",), draw=1)))


def test_training_lists_draws_and_kind_are_in_the_hash_only_where_they_are_set() -> None:
    plain = (Fold("a", ("x", "y"), ("s",)), Fold("b", ("z",), ("t",)))
    assert Protocol("p", plain).hash == PINNED  # of a manifest as it was written before folds could name what they train on
    assert set(Protocol("p", plain).to_json()) == {"name", "hash", "folds"} and set(Protocol("p", plain).to_json()["folds"][0]) == {
        "fold_id", "test_ids", "test_subjects"
    }  # fmt: skip
    others = [
        Protocol("p", (Fold("a", ("x", "y"), ("s",), ("z",)), plain[1])),
        Protocol("p", (Fold("a", ("x", "y"), ("s",), ("w",)), plain[1])),
        Protocol("p", (Fold("a", ("x", "y"), ("s",), draw=1), plain[1])),
        Protocol("p", plain, "macro"),
    ]
    assert len({PINNED, *(protocol.hash for protocol in others)}) == 5
    for protocol in others:
        manifest = json.loads(json.dumps(protocol.to_json()))
        assert Protocol.from_json(manifest) == protocol
        for fold in manifest["folds"]:
            fold.pop("train_ids", None), fold.pop("draw", None)
        with pytest.raises(DataError, match="changed"):
            Protocol.from_json({**manifest, "kind": "micro"})


# Other splits


def sets(**clips: int) -> pd.DataFrame:
    """Data sets of two subjects each, with so many micro clips a subject and one macro clip of a third person."""
    rows = []
    for name, count in clips.items():
        rows += [(f"{name}:{s}/{i}", name, f"{name}:{s}", "micro", "ab"[i % 2]) for s in (1, 2) for i in range(count)]
        rows.append((f"{name}:9/m", name, f"{name}:9", "macro", "a"))
    return pd.DataFrame(rows, columns=["sample_id", "dataset", "subject", "kind", "emotion"])


def test_leaving_out_a_data_set_leaves_out_all_of_its_people() -> None:
    protocol = lodo(sets(casme2=2, samm=1))
    assert [(f.fold_id, f.test_subjects) for f in protocol.folds] == [
        ("casme2", ("casme2:1", "casme2:2", "casme2:9")), ("samm", ("samm:1", "samm:2", "samm:9"))
    ]  # fmt: skip
    assert [len(f.test_ids) for f in protocol.folds] == [4, 2] and not any("/m" in sample for f in protocol.folds for sample in f.test_ids)
    with pytest.raises(DataError, match="at least 2 data sets"):
        lodo(sets(casme2=2))


def test_loso_over_several_sets_merges_nobody() -> None:
    assert len(loso(sets(casme2=2, samm=1)).folds) == 4


def test_folds_that_a_data_set_comes_with() -> None:
    table = sets(dfew=3).assign(fold=["1", "1", "2", "2", "", None, "1"])
    protocol = given_folds(table)
    assert protocol.kind == "micro" and [f.test_ids for f in protocol.folds] == [("dfew:1/0", "dfew:1/1"), ("dfew:1/2", "dfew:2/0")]
    assert protocol.folds[1].test_subjects == ("dfew:1", "dfew:2")  # whoever is tested, though of the other fold too
    macro = table.assign(kind="macro", fold=["2", "1", "1", "2", "1", "", "2"])
    assert given_folds(macro).kind == "macro" and len(given_folds(macro).folds[0].test_ids) == 3
    for wrong, word in ((sets(dfew=3), "lacks column fold"), (table.assign(fold=range(7)), "not text"), (table.assign(fold="1"), "at least 2 folds")):
        with pytest.raises(DataError, match=word):
            given_folds(wrong)


def test_folds_of_whole_subjects_are_balanced_and_do_not_depend_on_the_rows() -> None:
    sizes = [30, 9, 8, 8, 7, 5, 5, 4, 2, 2, 1, 1]
    rows = [(f"{s}-{i}", f"t:{s}", "micro", "a") for s, count in enumerate(sizes) for i in range(count)]
    table = pd.DataFrame(rows, columns=["sample_id", "subject", "kind", "emotion"])
    protocol = subject_folds(table, 3)
    assert protocol_by_name("subject-3fold")(table.sample(frac=1, random_state=1)) == protocol
    assert sorted(s for f in protocol.folds for s in f.test_subjects) == sorted(table["subject"].unique())
    assert sum(len(f.test_ids) for f in protocol.folds) == sum(sizes)
    assert max(len(f.test_ids) for f in protocol.folds) == 30 and min(len(f.test_ids) for f in protocol.folds) >= 25
    assert protocol_by_name("subject-5fold")(table).name == "subject-5fold"
    for k in (1, 13):
        with pytest.raises(DataError, match="folds of whole subjects"):
            subject_folds(table, k)


# By name, and from a file


def test_names_with_numbers() -> None:
    table = clip_table(subjects=8)
    assert len(protocol_by_name("few-shot-2")(table).folds) == 20
    assert protocol_by_name("few-shot-2x3")(table).name == "few-shot-2x3"
    for wrong in ("few-shot", "few-shot-", "few-shot-x3", "subject-fold", "few-shot-2x", "loso2", ""):
        with pytest.raises(UnknownNameError):
            protocol_by_name(wrong)
    for zero in ("few-shot-0", "few-shot-1x0", "subject-0fold"):
        with pytest.raises(DataError):
            protocol_by_name(zero)(table)
    with pytest.raises(UsageError, match="several labels"):
        protocol_by_name("few-shot-1", "multi-label")
    assert protocol_by_name("lodo", "multi-label")


def test_a_manifest_is_a_protocol(tmp_path: Path) -> None:
    table, path = clip_table(), tmp_path / "mine.json"
    protocol = protocol_by_name("few-shot-1x2")(table)
    path.write_text(json.dumps(protocol.to_json()))
    assert protocol_by_name(str(path))(table) == protocol
    trained_on = protocol.folds[0].train_ids or ()
    with pytest.raises(DataError, match=f"first: {trained_on[0]}"):
        protocol_by_name(str(path))(table[table["sample_id"] != trained_on[0]])
    with pytest.raises(DataError, match="does not have"):
        protocol_by_name(str(path))(table.assign(kind="macro"))
    path.write_text(path.read_text().replace('"draw": 1', '"draw": 2'))
    with pytest.raises(DataError, match="changed"):
        protocol_by_name(str(path))(table)
    path.write_text("[1]")
    (tmp_path / "other.json").write_text('{"name": "loso"}')
    for broken, word in ((path, "no JSON object"), (tmp_path / "absent.json", "not there"), (tmp_path / "other.json", "no folds")):
        with pytest.raises(DataError, match=f"{word}.*Protocol.to_json wrote, or of a run.json"):
            protocol_by_name(str(broken))


def test_a_file_that_calls_itself_as_a_built_in_must_be_it(tmp_path: Path) -> None:
    """Else anybody could test four easy clips and call that LOSO."""
    table, path = clip_table(), tmp_path / "mine.json"
    whole = loso(table)
    path.write_text(json.dumps(whole.to_json()))
    assert protocol_by_name(str(path))(table) == whole
    for name, folds, shown in (("loso", whole.folds[:2], "file:loso"), ("mine", whole.folds, "file:mine"), ("lodo", whole.folds, "file:lodo")):
        path.write_text(json.dumps(Protocol(name, folds).to_json()))
        found = protocol_by_name(str(path))(table)
        assert (found.name, found.folds) == (shown, folds)
        path.write_text(json.dumps(found.to_json()))
        assert protocol_by_name(str(path))(table).name == shown
    assert is_built_in(Protocol("loso", whole.folds[:2]), table, "classes") is False and is_built_in(Protocol("a.json", whole.folds), table, "classes") is None


def test_the_protocol_of_a_run_is_taken_from_its_run_json(tmp_path: Path) -> None:
    table = clip_table()
    path = write_run(tmp_path / "run", table, folds=0).path / "run.json"
    assert protocol_by_name(str(path))(table) == loso(table)


def test_people_declared_the_same_do_not_make_a_run_of_loso_another_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    table = sets(casme2=2, samm=1)
    pairs = [("casme2:1", "samm:2")]
    monkeypatch.setattr("merzoo.evaluation.catalogue.shared_subjects", lambda: pairs)
    kept_away = with_same_people(loso(table), table, same_people(pairs))
    assert kept_away.hash != loso(table).hash and is_built_in(kept_away, table, "classes") and is_built_in(loso(table), table, "classes")


def test_a_few_shot_protocol_has_a_hundred_draws_at_most() -> None:
    assert len(protocol_by_name("few-shot-1x100")(clip_table()).folds) == 100
    for name in ("few-shot-1x101", "few-shot-1x20000"):
        with pytest.raises(UsageError, match="at most 100"):
            protocol_by_name(name)


# People in several data sets


def test_whoever_is_the_same_person_as_a_test_subject_is_one_too() -> None:
    table = sets(casme2=2, samm=1)
    same = same_people([("casme2:1", "samm:2"), ("samm:2", "smic:7")])
    protocol = with_same_people(loso(table), table, same)
    assert protocol.by_id[fold_id("casme2:1")].test_subjects == ("casme2:1", "samm:2", "smic:7")
    assert protocol.by_id[fold_id("samm:2")].test_subjects == ("samm:2", "casme2:1", "smic:7")
    assert protocol.by_id[fold_id("samm:1")].test_subjects == ("samm:1",)
    assert protocol.hash != loso(table).hash and with_same_people(loso(table), table, {}) is not None
    listed = Protocol("p", (Fold("a", ("casme2:1/0",), ("casme2:1",), train_ids=("samm:2/0", "samm:1/0")),))
    assert with_same_people(listed, table, same).folds[0].train_ids == ("samm:1/0",)
    alone = Protocol("p", (Fold("a", ("casme2:1/0",), ("casme2:1",), train_ids=("samm:2/0",)),))
    with pytest.raises(DataError, match="no training sample"):
        with_same_people(alone, table, same)


def test_the_table_of_shared_subjects_is_read_with_distrust(tmp_path: Path) -> None:
    assert isinstance(shared_subjects(), list)
    path, head = tmp_path / "table.csv", "subject_a,subject_b,source\n"
    path.write_text(head + "casme2:01,samm:006,letter of 2030\n")
    assert shared_subjects(path) == [("casme2:01", "samm:006")]
    for wrong in ("a,b\n", head + "casme2:01,samm:006\n", head + "casme2:01,samm:006,\n", head + "1,samm:006,x\n", head + "a:1,a:1,x\n", ""):
        path.write_text(wrong)
        with pytest.raises(DataError):
            shared_subjects(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError):
        shared_subjects(path)


def test_an_unknown_protocol_lists_the_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="did you mean loso"):
        protocol_by_name("losso")
