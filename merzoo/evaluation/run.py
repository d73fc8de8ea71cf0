"""A run as it is read, wherever it lies: in a folder, or packed into one file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from merzoo.errors import RunError
from merzoo.evaluation.protocols import Fold, Protocol
from merzoo.evaluation.records import RESTORE, check_run


@dataclass(frozen=True)
class Run(ABC):
    """What was asked (`facts`, the checked content of run.json), and the folds that are finished. path: where it lies, for messages."""

    path: Path
    facts: Mapping[str, Any]
    remedy: ClassVar[str] = RESTORE

    @property
    @abstractmethod
    def where(self) -> str:
        """Where the facts stand, for messages."""

    @abstractmethod
    def has_fold(self, seed: int, fold_id: str) -> bool:
        """Whether a fold is finished."""

    @abstractmethod
    def read_fold(self, seed: int, fold_id: str) -> dict[str, Any]:
        """A finished fold, checked. Raises `LeakageError` and `RunError` naming the file."""

    @abstractmethod
    def stray(self) -> list[str]:
        """Where folds stand that this run's protocol and seeds do not have."""

    def check(self) -> None:
        """Raise `RunError` where the facts are not as they should be."""
        _ = self._protocol

    @cached_property
    def _protocol(self) -> Protocol | None:
        return check_run(self.facts, self.where, self.remedy)

    @property
    def protocol(self) -> Protocol:
        """The protocol of an evaluation. Raises `RunError` for a training run, which has none."""
        if self._protocol is None:
            raise RunError(f"{self.path} is a training run without folds; evaluate the model to get scores")
        return self._protocol

    @property
    def labels(self) -> tuple[str, ...]:
        """The fixed class list."""
        return tuple(self.facts["labels"])

    @property
    def task(self) -> str:
        """ "classes" (one label a sample) or "multi-label"."""
        return str(self.facts["task"])

    @property
    def seeds(self) -> tuple[int, ...]:
        """The run seeds, in the order asked."""
        return tuple(self.facts["seeds"])

    @cached_property
    def test_subjects(self) -> frozenset[str]:
        """Everybody whom some fold tests."""
        return frozenset(subject for fold in self.protocol.folds for subject in fold.test_subjects)

    def missing(self) -> list[tuple[int, Fold]]:
        """(seed, fold) that are still to do, seeds in order, folds in the protocol's order."""
        return [(seed, fold) for seed in self.seeds for fold in self.protocol.folds if not self.has_fold(seed, fold.fold_id)]

    def folds(self) -> Iterator[dict[str, Any]]:
        """All finished folds, seed by seed in the protocol's order. Raises as `read_fold`, and `RunError` for a fold that nobody asked for."""
        if stray := self.stray():
            raise RunError(f"{stray[0]} is a fold that this run's protocol and seeds do not have; remove it")
        for seed in self.seeds:
            for fold in self.protocol.folds:
                if self.has_fold(seed, fold.fold_id):
                    yield self.read_fold(seed, fold.fold_id)
