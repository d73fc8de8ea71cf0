"""The splits of the field, each made from a clip table alone: the same folds whatever the order of its rows, on any machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from merzoo.errors import DataError
from merzoo.evaluation.protocols import Fold, Protocol, fold_id, natural

if TYPE_CHECKING:
    import pandas as pd

SPLIT_SEED = 1  # of every split that draws; fixed, so that a protocol's name and a table are all that its folds depend on


def loso(table: pd.DataFrame) -> Protocol:
    """Leave one subject out: one fold a subject, its micro-expression samples tested, in natural order of subject (s2 before s10). Over several data
    sets it is the composite LOSO: a subject is qualified by its data set, so nobody is merged.

    table: columns sample_id, subject, kind, emotion; rows whose kind is not "micro" are never tested.
    Raises `DataError` for a missing column, a repeated or empty sample id, or fewer than two subjects.
    """
    samples = samples_of(labelled(table, "LOSO"), "subject")
    if len(samples) < 2:
        raise DataError(f"leave-one-subject-out needs at least 2 subjects with micro-expressions; the clip table has {len(samples)}")
    return Protocol("loso", tuple(Fold(fold_id(subject), ids, (subject,)) for subject, ids in samples.items()))


def lodo(table: pd.DataFrame) -> Protocol:
    """Leave one data set out: one fold a data set. All of its people are test subjects, those of its macro clips too.

    Raises `DataError` as `loso`, and for fewer than two data sets with micro-expressions.
    """
    samples = samples_of(labelled(table, "lodo", ("dataset",)), "dataset")
    if len(samples) < 2:
        raise DataError(f"leave-one-dataset-out needs at least 2 data sets with micro-expressions; the clip table has {len(samples)}; give a composite")
    people = {name: rows["subject"].astype(str) for name, rows in table.groupby(table["dataset"].astype(str))}
    return Protocol("lodo", tuple(Fold(fold_id(name), ids, in_order(people[name])) for name, ids in samples.items()))


def given_folds(table: pd.DataFrame) -> Protocol:
    """The folds that the data set itself gives: the column "fold" names the one that tests a clip, as in DFEW's official five; a clip without one is never
    tested. Everybody in a fold's test clips is a test subject of it. Macro clips are tested where no micro clip has a fold.

    Raises `DataError` as `loso`, for a column "fold" that is not text, and for fewer than two folds.
    """
    if "fold" not in table.columns:
        raise DataError("clip table lacks column fold; the protocol 'folds' is for data sets that come with folds of their own")
    folds = table["fold"].fillna("")
    if not folds.map(lambda value: isinstance(value, str)).all():
        raise DataError("clip table: a value of the column fold is not text; write folds as text, or leave them empty")
    kind = "micro" if (folds[table["kind"] == "micro"] != "").any() else "macro"
    rows = labelled(table.assign(fold=folds), "folds", ("fold",), kind)
    samples = samples_of(rows[rows["fold"] != ""], "fold")
    if len(samples) < 2:
        raise DataError(f"protocol 'folds' needs at least 2 folds in the column fold; the clip table has {len(samples)}")
    who = rows.groupby("fold")["subject"].agg(list)
    return Protocol("folds", tuple(Fold(fold_id(name), ids, in_order(who[name])) for name, ids in samples.items()), kind)


def subject_folds(table: pd.DataFrame, k: int = 5) -> Protocol:
    """k folds of whole subjects, about equal in clips: the largest subject first, each into the smallest fold so far; equal ones in a fixed random order
    (our choice). For sets so large that leaving out one subject at a time takes too long.

    Raises `DataError` as `loso`, and where there are fewer subjects than folds.
    """
    samples = samples_of(labelled(table, "subject folds"), "subject")
    if not 2 <= k <= len(samples):
        raise DataError(f"{k} folds of whole subjects need k of at least 2 and as many subjects; the clip table has {len(samples)} with micro-expressions")
    bins: list[list[str]] = [[] for _ in range(k)]
    sizes = [0] * k
    for subject in sorted(shuffled(samples, "subject-folds", k), key=lambda s: -len(samples[s])):
        smallest = sizes.index(min(sizes))
        bins[smallest].append(subject)
        sizes[smallest] += len(samples[subject])
    folds = [Fold(f"fold{i}", tuple(sample for s in in_order(who) for sample in samples[s]), in_order(who)) for i, who in enumerate(bins, 1)]
    return Protocol(f"subject-{k}fold", tuple(folds))


def with_same_people(protocol: Protocol, table: pd.DataFrame, same: Mapping[str, frozenset[str]]) -> Protocol:
    """The protocol in which whoever is the same person as a test subject is a test subject too, whether in the table or not; training lists lose them.

    same: as `merzoo.data.people.same_people` gives it. Raises `DataError` where a fold has nothing left to train on.
    """
    if not same:
        return protocol
    subject_of = dict(zip(table["sample_id"].astype(str), table["subject"].astype(str), strict=True))
    folds = []
    for fold in protocol.folds:
        tested = frozenset(fold.test_subjects)
        added = in_order(frozenset().union(*(same.get(s, frozenset()) for s in tested)) - tested)
        train = fold.train_ids and tuple(sample for sample in fold.train_ids if subject_of.get(sample) not in added)
        folds.append(replace(fold, test_subjects=(*fold.test_subjects, *added), train_ids=train))
    return replace(protocol, folds=tuple(folds))


def labelled(table: pd.DataFrame, what: str, also: tuple[str, ...] = (), kind: str = "micro") -> pd.DataFrame:
    """The rows of one kind, with sample_id and subject as text; of macro clips those that carry a label.

    Raises `DataError` for a missing column, a row without sample or subject, or a repeated sample.
    """
    wanted = ("sample_id", "subject", "kind", "emotion", *also)
    missing = [column for column in wanted if column not in table.columns]
    if missing:
        raise DataError(f"clip table lacks column {', '.join(missing)}; {what} needs {', '.join(wanted)}")
    rows = table[table["kind"] == kind]
    if kind == "macro":
        rows = rows[rows["emotion"].fillna("") != ""]
    if rows[["sample_id", "subject"]].isna().to_numpy().any():
        raise DataError(f"clip table has a {kind}-expression without sample_id or subject; fill or drop the row")
    rows = rows.assign(sample_id=rows["sample_id"].astype(str), subject=rows["subject"].astype(str))
    repeated = rows["sample_id"].duplicated()
    if repeated.any():
        raise DataError(f"clip table repeats sample_id {rows.loc[repeated, 'sample_id'].iloc[0]!r}; give each sample an id of its own")
    return rows


def samples_of(rows: pd.DataFrame, column: str) -> dict[str, tuple[str, ...]]:
    """value of the column -> its sample ids, both in natural order."""
    found = {str(value): in_order(ids) for value, ids in rows.groupby(column)["sample_id"]}
    return {value: found[value] for value in in_order(found)}


def in_order(texts: Iterable[str]) -> tuple[str, ...]:
    """Each text once, in natural order."""
    return tuple(sorted(set(texts), key=natural))


def shuffled(texts: Iterable[str], *purpose: object) -> list[str]:
    """The texts in an order that looks random and is decided by themselves and the purpose: by the sha256 of both, which no library's version changes."""
    prefix = "\x1f".join(map(str, (SPLIT_SEED, *purpose)))
    return sorted(texts, key=lambda text: hashlib.sha256(f"{prefix}\x1f{text}".encode("utf-8", "surrogatepass")).digest())
