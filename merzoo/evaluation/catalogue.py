"""Protocols by name, and protocols from a file."""

from __future__ import annotations

import contextlib
import difflib
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merzoo.data.people import same_people, shared_subjects
from merzoo.errors import DataError, MerzooError, MerzooWarning, RunError, UnknownNameError, UsageError
from merzoo.evaluation.fewshot import DRAWS, few_shot
from merzoo.evaluation.protocols import Protocol
from merzoo.evaluation.splits import given_folds, lodo, loso, subject_folds, with_same_people
from merzoo.files import read_json
from merzoo.text import plain

if TYPE_CHECKING:
    import pandas as pd

Make = Callable[["pd.DataFrame"], Protocol]
FILE = "file:"  # how the name of a protocol from a file begins, where it is not one of ours
MAX_DRAWS = 100  # each is a training


@dataclass(frozen=True)
class Known:
    """A protocol, or a family of them whose name holds numbers.

    pattern: of its names; the numbers in them go to `make` behind the table. classes_only: it needs one label a clip. draws: the greatest second number.
    """

    pattern: str
    make: Callable[..., Protocol]
    summary: str
    classes_only: bool = False
    draws: int | None = None


PROTOCOLS: dict[str, Known] = {
    "loso": Known(r"loso", loso, "leave one subject out, over all data sets together"),
    "lodo": Known(r"lodo", lodo, "leave one data set out, for composites"),
    "folds": Known(r"folds", given_folds, "the folds that a data set comes with, such as DFEW's five"),
    "subject-Kfold": Known(r"subject-(\d{1,4})fold", subject_folds, "K folds of whole subjects, such as subject-5fold, for sets with many subjects"),
    "few-shot-K": Known(
        r"few-shot-(\d{1,4})(?:x(\d{1,9}))?",
        few_shot,
        f"K clips a class of subjects who are not tested, {DRAWS} draws; few-shot-5x3 has 3",
        classes_only=True,
        draws=MAX_DRAWS,
    ),
}


def protocol_by_name(name: str, task: str = "classes") -> Make:
    """The function that makes a protocol from a clip table: a name of `PROTOCOLS` with its numbers, or the path of a manifest, *.json: what `Protocol.to_json`
    gave, or a run.json, whose protocol is taken.

    task: of the data set. Raises `UnknownNameError` with near names, `UsageError` for a protocol that needs one label a clip where there are several, or too
    many draws, `DataError` for a file that holds no manifest. The function raises `DataError` where the table does not serve.
    """
    if name.endswith(".json"):
        protocol = _read(Path(name))
        return lambda table: from_file(protocol, table, task, name)
    make = built_in(name, task)
    if make is None:
        shown = [*PROTOCOLS, "subject-5fold", "few-shot-1", "few-shot-5"]
        hint = f"(there is: {', '.join(sorted(PROTOCOLS))}, or the path of a manifest, *.json)"
        raise UnknownNameError("protocol", name, difflib.get_close_matches(name, shown, cutoff=0.4), hint)
    return make


def built_in(name: str, task: str = "classes") -> Make | None:
    """The function behind a name of `PROTOCOLS` with its numbers; None for any other name. Raises `UsageError` as `protocol_by_name`."""
    for known in PROTOCOLS.values():
        if match := re.fullmatch(known.pattern, name, re.ASCII):
            if known.classes_only and task != "classes":
                raise UsageError(f"protocol {name} counts clips a class, and these clips carry several labels; use loso or lodo")
            numbers = [int(number) for number in match.groups() if number is not None]
            if known.draws is not None and numbers[1:] and numbers[1] > known.draws:
                raise UsageError(f"protocol {name} has {numbers[1]} draws, each of which is a training; ask for at most {known.draws}")
            return lambda table: known.make(table, *numbers)
    return None


def from_file(protocol: Protocol, table: pd.DataFrame, task: str, where: str) -> Protocol:
    """A protocol that somebody wrote down, if this table has all its samples. Raises `DataError` where it has not.

    Its name is taken for true only where the built-in of that name makes the same folds of this table; else it is "file:NAME".
    """
    there = set(table.loc[table["kind"] == protocol.kind, "sample_id"].astype(str))
    wanted = {sample for fold in protocol.folds for sample in (*fold.test_ids, *(fold.train_ids or ()))}
    if absent := sorted(wanted - there):
        what = f"{len(absent)} {protocol.kind} clips that the data set does not have (first: {plain(absent[0], 120)})"
        raise DataError(f"{where} names {what}; give the data it was made for")
    same: bool | None = None
    with contextlib.suppress(MerzooError):  # the built-in does not fit this table
        same = is_built_in(protocol, table, task)
    return protocol if same else replace(protocol, name=f"{FILE}{protocol.name.removeprefix(FILE)}")


def is_built_in(protocol: Protocol, table: pd.DataFrame, task: str) -> bool | None:
    """Whether the built-in protocol of that name makes the same folds of the table, as it is or with declared people under another name kept away too (as
    runs have it); None where no built-in has the name. Raises `MerzooError` where the built-in does not serve for the table."""
    made = hashes_of_built_in(protocol.name, table, task)
    return None if made is None else protocol.hash in made


def hashes_of_built_in(name: str, table: pd.DataFrame, task: str) -> tuple[str, ...] | None:
    """The hashes that `is_built_in` compares with. Raises as it."""
    make = built_in(name, task)
    if make is None:
        return None
    with warnings.catch_warnings():  # that a class is rare was said when the run was made
        warnings.simplefilter("ignore", MerzooWarning)
        made = make(table)
    return made.hash, with_same_people(made, table, same_people(shared_subjects())).hash


def _read(path: Path) -> Protocol:
    remedy = "give the path of a manifest that Protocol.to_json wrote, or of a run.json"
    try:
        manifest: Any = read_json(path)
    except RunError:
        what = "is no JSON object" if path.is_file() else "is not there, or no file"
        raise DataError(f"protocol {plain(path, 200)} {what}; {remedy}") from None
    if "folds" not in manifest and isinstance(manifest.get("protocol"), dict):
        manifest = manifest["protocol"]
    if "folds" not in manifest:
        raise DataError(f"protocol {plain(path, 200)} holds no folds; {remedy}")
    return Protocol.from_json(manifest)
