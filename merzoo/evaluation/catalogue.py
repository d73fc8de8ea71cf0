"""Protocols by name, and protocols from a file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merzoo.errors import DataError, UnknownNameError, UsageError
from merzoo.evaluation.fewshot import DRAWS, few_shot
from merzoo.evaluation.protocols import Protocol
from merzoo.evaluation.splits import given_folds, lodo, loso, subject_folds
from merzoo.files import read_json

if TYPE_CHECKING:
    import pandas as pd

Make = Callable[["pd.DataFrame"], Protocol]


@dataclass(frozen=True)
class Known:
    """A protocol, or a family of them whose name holds numbers.

    pattern: of its names; the numbers in them go to `make` behind the table. classes_only: it needs one label a clip.
    """

    pattern: str
    make: Callable[..., Protocol]
    summary: str
    classes_only: bool = False


PROTOCOLS: dict[str, Known] = {
    "loso": Known(r"loso", loso, "leave one subject out, over all data sets together"),
    "lodo": Known(r"lodo", lodo, "leave one data set out, for composites"),
    "folds": Known(r"folds", given_folds, "the folds that a data set comes with, such as DFEW's five"),
    "subject-Kfold": Known(r"subject-(\d{1,4})fold", subject_folds, "K folds of whole subjects, such as subject-5fold, for sets with many subjects"),
    "few-shot-K": Known(
        r"few-shot-(\d{1,4})(?:x(\d{1,4}))?", few_shot, f"K clips a class of subjects who are not tested, {DRAWS} draws; few-shot-5x3 has 3", classes_only=True
    ),
}


def protocol_by_name(name: str, task: str = "classes") -> Make:
    """The function that makes a protocol from a clip table: a name of `PROTOCOLS` with its numbers, or the path of a manifest that `Protocol.to_json` gave.

    task: of the data set. Raises `UnknownNameError` with near names, `UsageError` for a protocol that needs one label a clip where there are several.
    The function raises `DataError` where the table does not serve.
    """
    if name.endswith(".json"):
        return lambda table: from_file(Path(name), table)
    for known in PROTOCOLS.values():
        if match := re.fullmatch(known.pattern, name):
            if known.classes_only and task != "classes":
                raise UsageError(f"protocol {name} counts clips a class, and these clips carry several labels; use loso or lodo")
            numbers = [int(number) for number in match.groups() if number is not None]
            return lambda table: known.make(table, *numbers)
    shown = [*PROTOCOLS, "subject-5fold", "few-shot-1", "few-shot-5"]
    hint = f"(there is: {', '.join(sorted(PROTOCOLS))}, or the path of a manifest, *.json)"
    raise UnknownNameError("protocol", name, difflib.get_close_matches(name, shown, cutoff=0.4), hint)


def from_file(path: Path, table: pd.DataFrame) -> Protocol:
    """A saved manifest, if this table has all its samples. Raises `DataError` for one that was changed, or that is of other data."""
    manifest: dict[str, Any] = read_json(path)
    protocol = Protocol.from_json(manifest)
    there = set(table.loc[table["kind"] == protocol.kind, "sample_id"].astype(str))
    wanted = {sample for fold in protocol.folds for sample in (*fold.test_ids, *(fold.train_ids or ()))}
    if absent := sorted(wanted - there):
        raise DataError(f"{path} names {len(absent)} {protocol.kind} clips that the data set does not have (first: {absent[0]}); give the data it was made for")
    return protocol
