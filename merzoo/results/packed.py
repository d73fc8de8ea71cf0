"""A run inside a result file: the same reading interface as a run folder, and sample ids and labels that stand in it, or are joined from the data set."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from merzoo.errors import ResultError, RunError
from merzoo.evaluation.audit_data import Truth
from merzoo.evaluation.records import check_fold
from merzoo.evaluation.run import Run
from merzoo.text import plain

REMEDY = "export the run again"


@dataclass(frozen=True)
class PackedRun(Run):
    """A run in a result file. records: the fold records, joined."""

    records: tuple[Any, ...]
    remedy: ClassVar[str] = REMEDY

    @property
    def where(self) -> str:
        """The file's field `run`."""
        return f"{self.path}: run"

    @cached_property
    def _by_fold(self) -> dict[tuple[int, str], Any]:
        return {key: record for record in self.records if (key := _key(record)) is not None}

    @cached_property
    def _checked(self) -> dict[tuple[int, str], dict[str, Any]]:
        return {}

    def has_fold(self, seed: int, fold_id: str) -> bool:
        """Whether a fold is in the file."""
        return (seed, fold_id) in self._by_fold

    def read_fold(self, seed: int, fold_id: str) -> dict[str, Any]:
        """A fold, checked. Raises as `Run.read_fold`."""
        key = (seed, fold_id)
        if key not in self._checked:
            if key not in self._by_fold:
                raise RunError(f"{self.path} has no fold {plain(fold_id, 60)} of seed {seed}; {REMEDY}")
            record, where = self._by_fold[key], f"{self.path}: fold {fold_id} of seed {seed}"
            check_fold(record, seed, self.protocol.by_id[fold_id], self.labels, self.task, self.test_subjects, where, REMEDY)
            self._checked[key] = record
        return self._checked[key]

    def stray(self) -> list[str]:
        """Records of folds that this run's protocol and seeds do not have, or that are there twice."""
        asked = {(seed, fold.fold_id) for seed in self.seeds for fold in self.protocol.folds}
        keys = [_key(record) for record in self.records]
        odd = [f"record {at} of folds" for at, key in enumerate(keys) if key not in asked]
        again = [key for key, count in Counter(keys).items() if key in asked and count > 1]
        return odd + [f"the second record of {key[1]}, seed {key[0]}," for key in again if key is not None]


def _key(record: Any) -> tuple[int, str] | None:
    seed, fold = (record.get("seed"), record.get("fold_id")) if isinstance(record, Mapping) else (None, None)
    return (seed, fold) if isinstance(seed, int) and not isinstance(seed, bool) and isinstance(fold, str) else None


def hidden(manifest_hash: str, sample_id: str) -> str:
    """What stands for a sample id in files that go to others: 20 hex digits that only those can join who have the data."""
    return hashlib.sha256(f"{manifest_hash}/{sample_id}".encode("utf-8", "surrogatepass")).hexdigest()[:20]


def renamed(facts: Mapping[str, Any], rename: Callable[[str], str]) -> dict[str, Any]:
    """The facts of run.json with the sample ids of its protocol renamed."""
    protocol = facts["protocol"]
    folds = [{**fold, **{key: [rename(sample) for sample in fold[key]] for key in ("test_ids", "train_ids") if key in fold}} for fold in protocol["folds"]]
    return {**facts, "protocol": {**protocol, "folds": folds}}


def opened(value: Mapping[str, Any], path: Path, truth: Truth | None) -> PackedRun:
    """The run in a `scores` file. truth: of the data set, from which hashed ids and labels are joined.

    Raises `RunError` where run.json is not as it should be, `ResultError` where ids cannot be joined.
    """
    facts, records = value.get("run"), value.get("folds")
    if not isinstance(facts, Mapping) or not isinstance(records, list) or not isinstance(value.get("joined"), bool):
        raise ResultError(f"{path}: run, folds and joined are not an object, a list, and true or false; {REMEDY}")
    if not value["joined"]:
        if truth is None:
            raise ResultError(f"{path}: its sample ids are hashed and its labels left out; they are joined where the data set is")
        try:
            facts, records = _joined(facts, records, truth, path)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ResultError(f"{path}: run or folds are not as they should be ({type(error).__name__}: {plain(error, 80)}); {REMEDY}") from None
    run = PackedRun(path, facts, tuple(records))
    run.check()
    return run


def _joined(facts: Mapping[str, Any], records: list[Any], truth: Truth, path: Path) -> tuple[dict[str, Any], list[Any]]:
    kind = facts["protocol"].get("kind", "micro")
    sample_of = {hidden(truth.manifest_hash, sample): sample for sample in truth.clips(kind)}
    unknown: set[str] = set()

    def sample(digest: str) -> str:
        if digest not in sample_of:
            unknown.add(digest)
        return sample_of.get(digest, digest)

    facts = renamed(facts, sample)
    records = [{**record, "predictions": [*_with_labels(record["predictions"], sample, truth.clips(kind))]} for record in records]
    if unknown:
        told = f"{len(unknown)} hashed sample ids are of no {plain(kind, 20)} clip that the data set has (first: {plain(min(unknown), 30)})"
        raise ResultError(f"{path}: {told}; {REMEDY} on this data set")
    return facts, records


def _with_labels(predictions: list[Any], sample: Callable[[str], str], clips: Mapping[str, tuple[str, str | None]]) -> Iterator[dict[str, Any]]:
    for prediction in predictions:
        name = sample(prediction["sample_id"])
        _, emotion = clips.get(name, ("", None))
        yield {**prediction, "sample_id": name, "label": emotion or ""}
