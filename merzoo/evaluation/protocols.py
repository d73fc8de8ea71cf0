"""A protocol is data: which samples are tested together, keyed by sample id, with a hash. Nothing here trains or scores."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from merzoo.errors import DataError
from merzoo.text import plain

KINDS = ("micro", "macro")


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
    """A named tuple of folds. Raises `DataError` for no fold, an empty fold, a sample that is tested twice in a draw or trained on where it is tested, or
    fold ids that collide as file names.

    kind: which clips are labelled, tested and trained on: "micro", or "macro" for data sets of macro-expressions.
    """

    name: str
    folds: tuple[Fold, ...]
    kind: str = "micro"

    def __post_init__(self) -> None:
        if not self.folds:
            raise DataError(f"protocol {self.name} has no fold; give it samples to test")
        if self.kind not in KINDS:
            raise DataError(f"protocol {self.name}: kind {self.kind!r} is none of {', '.join(KINDS)}")
        # Folded case: two ids that differ only in case are one file on some disks.
        if len({fold.fold_id.casefold() for fold in self.folds}) != len(self.folds):
            raise DataError(f"protocol {self.name} has two folds of one id; rename a subject")
        tested: set[tuple[int, str]] = set()
        for fold in self.folds:
            self._check(fold)
            again = [sample for sample in fold.test_ids if (fold.draw, sample) in tested]
            if again:
                raise DataError(f"protocol {self.name} tests {again[0]} twice in draw {fold.draw}; pooled scores need each sample once a draw")
            tested.update((fold.draw, sample) for sample in fold.test_ids)

    def _check(self, fold: Fold) -> None:
        if not is_fold_id(fold.fold_id):
            raise DataError(f"fold id {fold.fold_id!r} is not a safe file name; use letters, digits, - _ and .")
        where = f"fold {fold.fold_id} of protocol {self.name}"
        if not fold.test_ids or not fold.test_subjects or len(set(fold.test_ids)) != len(fold.test_ids):
            raise DataError(f"{where} is empty or repeats a sample; give each test sample once")
        if fold.train_ids is not None:
            if not fold.train_ids or len(set(fold.train_ids)) != len(fold.train_ids):
                raise DataError(f"{where} has no training sample or repeats one; leave its list out, or give each once")
            if both := sorted(set(fold.train_ids) & set(fold.test_ids)):
                raise DataError(f"{where} trains on {both[0]}, which it tests; take it out of one list")
        if not isinstance(fold.draw, int) or isinstance(fold.draw, bool) or fold.draw < 0:
            raise DataError(f"{where}: draw {fold.draw!r} is no number of a draw; count from 0")

    @cached_property
    def hash(self) -> str:
        """sha256 of the split as canonical JSON keyed by sample id: the same whatever the order of rows, samples or folds. The name is not part of it.
        Training lists, draws and kind are, where they are not what they are by default."""
        of_sample: dict[str, list[str]] = {}
        for fold in self.folds:
            for sample in fold.test_ids:
                of_sample.setdefault(sample, []).append(fold.fold_id)
        canonical: dict[str, Any] = {
            "samples": {sample: sorted(folds) for sample, folds in of_sample.items()},
            "folds": {fold.fold_id: sorted(set(fold.test_subjects)) for fold in self.folds},
        }
        optional = {
            "train": {fold.fold_id: sorted(fold.train_ids) for fold in self.folds if fold.train_ids is not None},
            "draws": {fold.fold_id: fold.draw for fold in self.folds if fold.draw},
            "kind": self.kind if self.kind != "micro" else None,
        }
        canonical |= {key: value for key, value in optional.items() if value}
        return hashlib.sha256(json.dumps(canonical, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @cached_property
    def by_id(self) -> Mapping[str, Fold]:
        """fold id -> fold."""
        return {fold.fold_id: fold for fold in self.folds}

    def to_json(self) -> dict[str, Any]:
        """The manifest as it stands in run.json: {"name", "hash", "folds": [{"fold_id", "test_ids", "test_subjects"}]}, and where they are not what they
        are by default, "kind" and a fold's "train_ids" and "draw"."""
        kind = {"kind": self.kind} if self.kind != "micro" else {}
        return {"name": self.name, "hash": self.hash, **kind, "folds": [_fold_to_json(fold) for fold in self.folds]}

    @classmethod
    def from_json(cls, manifest: Mapping[str, Any]) -> Protocol:
        """The inverse of `to_json`. Raises `DataError` where the folds do not hash to what the manifest says, or are no folds at all."""
        try:
            folds = tuple(map(_fold_from_json, manifest["folds"]))
            strings = [manifest["name"], *(text for f in folds for text in (f.fold_id, *f.test_ids, *f.test_subjects, *(f.train_ids or ())))]
            if not all(isinstance(text, str) and text.isprintable() for text in strings):
                raise TypeError("a name in it is not printable text")
            protocol, stated = cls(manifest["name"], folds, manifest.get("kind", "micro")), manifest["hash"]
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"protocol manifest is not as it should be ({plain(error, 80)}); make it again with Protocol.to_json") from None
        if protocol.hash != stated:
            raise DataError(f"protocol {protocol.name}: its folds hash to {protocol.hash[:12]}…, the manifest says {plain(stated, 12)}…; it was changed")
        return protocol


def _fold_to_json(fold: Fold) -> dict[str, Any]:
    facts: dict[str, Any] = {"fold_id": fold.fold_id, "test_ids": list(fold.test_ids), "test_subjects": list(fold.test_subjects)}
    if fold.train_ids is not None:
        facts["train_ids"] = list(fold.train_ids)
    return facts | ({"draw": fold.draw} if fold.draw else {})


def _fold_from_json(facts: Mapping[str, Any]) -> Fold:
    lists = {name: facts[name] for name in ("test_ids", "test_subjects")} | {"train_ids": facts.get("train_ids")}
    if any(not isinstance(value, list | tuple) for name, value in lists.items() if name != "train_ids" or value is not None):
        raise TypeError("a list of ids in it is no list")
    test, subjects, train = lists.values()
    return Fold(facts["fold_id"], tuple(test), tuple(subjects), None if train is None else tuple(train), facts.get("draw", 0))


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
