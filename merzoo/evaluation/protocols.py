"""A protocol is data: which samples are tested together, keyed by sample id, with a hash. Nothing here trains or scores."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from merzoo.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Fold:
    """One split. Test samples by id; test subjects are those that no training stage of this fold may see, macro clips included.

    train_ids: where given, the only labelled clips that the fold trains on (the support of a few-shot draw, an official training list).
    draw: number of the draw it belongs to, where a protocol draws several times; a sample is tested at most once a draw.
    """

    fold_id: str
    test_ids: tuple[str, ...]
    test_subjects: tuple[str, ...]
    train_ids: tuple[str, ...] | None = None
    draw: int = 0


@dataclass(frozen=True)
class Protocol:
    """A named tuple of folds. Raises `DataError` for no fold, an empty fold, a repeated sample in a fold, or fold ids that collide as file names.

    kind: which clips are labelled, tested and trained on: "micro", or "macro" for data sets of macro-expressions.
    """

    name: str
    folds: tuple[Fold, ...]
    kind: str = "micro"

    def __post_init__(self) -> None:
        if not self.folds:
            raise DataError(f"protocol {self.name} has no fold; give it samples to test")
        # Folded case: two ids that differ only in case are one file on some disks.
        if len({fold.fold_id.casefold() for fold in self.folds}) != len(self.folds):
            raise DataError(f"protocol {self.name} has two folds of one id; rename a subject")
        for fold in self.folds:
            if not is_fold_id(fold.fold_id):
                raise DataError(f"fold id {fold.fold_id!r} is not a safe file name; use letters, digits, - _ and .")
            if not fold.test_ids or not fold.test_subjects or len(set(fold.test_ids)) != len(fold.test_ids):
                raise DataError(f"fold {fold.fold_id} of protocol {self.name} is empty or repeats a sample; give each test sample once")

    @cached_property
    def hash(self) -> str:
        """sha256 of the split as canonical JSON keyed by sample id: the same whatever the order of rows, samples or folds. The name is not part of it."""
        of_sample: dict[str, list[str]] = {}
        for fold in self.folds:
            for sample in fold.test_ids:
                of_sample.setdefault(sample, []).append(fold.fold_id)
        canonical = {
            "samples": {sample: sorted(folds) for sample, folds in of_sample.items()},
            "folds": {fold.fold_id: sorted(set(fold.test_subjects)) for fold in self.folds},
        }
        return hashlib.sha256(json.dumps(canonical, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @cached_property
    def by_id(self) -> Mapping[str, Fold]:
        """fold id -> fold."""
        return {fold.fold_id: fold for fold in self.folds}

    def to_json(self) -> dict[str, Any]:
        """The manifest as it stands in run.json: {"name", "hash", "folds": [{"fold_id", "test_ids", "test_subjects"}]}."""
        folds = [{"fold_id": f.fold_id, "test_ids": list(f.test_ids), "test_subjects": list(f.test_subjects)} for f in self.folds]
        return {"name": self.name, "hash": self.hash, "folds": folds}

    @classmethod
    def from_json(cls, manifest: Mapping[str, Any]) -> Protocol:
        """The inverse of `to_json`. Raises `DataError` where the folds do not hash to what the manifest says, or are no folds at all."""
        try:
            folds = tuple(Fold(f["fold_id"], tuple(f["test_ids"]), tuple(f["test_subjects"])) for f in manifest["folds"])
            strings = [manifest["name"], *(text for f in folds for text in (f.fold_id, *f.test_ids, *f.test_subjects))]
            if not all(isinstance(text, str) and text.isprintable() for text in strings):
                raise TypeError("a name in it is not printable text")
            protocol, stated = cls(manifest["name"], folds), manifest["hash"]
        except (KeyError, TypeError) as error:
            raise DataError(f"protocol manifest is not as it should be ({error}); make it again with Protocol.to_json") from None
        if protocol.hash != stated:
            raise DataError(f"protocol {protocol.name}: its folds hash to {protocol.hash[:12]}…, the manifest says {str(stated)[:12]}…; it was changed")
        return protocol


def loso(table: pd.DataFrame) -> Protocol:
    """Leave one subject out: one fold a subject, its micro-expression samples tested, in natural order of subject (s2 before s10).

    table: columns sample_id, subject, kind, emotion; rows whose kind is not "micro" are never tested.
    Raises `DataError` for a missing column, a repeated or empty sample id, or fewer than two subjects.
    """
    missing = [column for column in ("sample_id", "subject", "kind", "emotion") if column not in table.columns]
    if missing:
        raise DataError(f"clip table lacks column {', '.join(missing)}; LOSO needs sample_id, subject, kind and emotion")
    micro = table[table["kind"] == "micro"]
    if micro[["sample_id", "subject"]].isna().to_numpy().any():
        raise DataError("clip table has a micro-expression without sample_id or subject; fill or drop the row")
    samples: dict[str, list[str]] = {}
    for sample, subject in zip(micro["sample_id"].astype(str), micro["subject"].astype(str), strict=True):
        samples.setdefault(subject, []).append(sample)
    repeated = micro["sample_id"].astype(str).duplicated()
    if repeated.any():
        raise DataError(f"clip table repeats sample_id {micro.loc[repeated, 'sample_id'].iloc[0]!r}; give each sample an id of its own")
    if len(samples) < 2:
        raise DataError(f"leave-one-subject-out needs at least 2 subjects with micro-expressions; the clip table has {len(samples)}")
    return Protocol("loso", tuple(Fold(fold_id(s), tuple(sorted(samples[s], key=natural)), (s,)) for s in sorted(samples, key=natural)))


PROTOCOLS: dict[str, Callable[[pd.DataFrame], Protocol]] = {"loso": loso}


def protocol_by_name(name: str) -> Callable[[pd.DataFrame], Protocol]:
    """The function that makes a protocol of that name from a clip table. Raises `UnknownNameError` with near names."""
    if name not in PROTOCOLS:
        raise UnknownNameError("protocol", name, difflib.get_close_matches(name, PROTOCOLS, cutoff=0.4), f"(there is: {', '.join(sorted(PROTOCOLS))})")
    return PROTOCOLS[name]


def fold_id(subject: str) -> str:
    """A file name for a subject on any file system. A name that is safe already stays; any other gets a hash of the original, so that two never collide."""
    if re.fullmatch(r"[a-z0-9_][a-z0-9_-]{0,59}", subject):
        return subject
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", subject).strip("-").lower()[:40]
    return f"{slug or 'subject'}-{hashlib.sha256(subject.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"


def is_fold_id(text: str) -> bool:
    """Whether a fold id may become a file name: no separators, no leading dot, at most 100 characters."""
    return isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", text) is not None


def natural(text: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sort key under which s2 comes before s10; the text itself breaks ties between s2 and s02."""
    parts = re.split(r"0*([0-9]+)", text)
    # Digits are compared by length, then as text: a number of any length without converting it.
    return tuple((0, len(part), part) if i % 2 else (1, 0, part) for i, part in enumerate(parts)), text
