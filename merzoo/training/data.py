"""What a strategy is handed: the training clips of a fold, from which the test subjects are already gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from merzoo.data.clips import ClipData, Clips
from merzoo.specs import View
from merzoo.training.stages import Scope


@dataclass(frozen=True)
class TrainingData:
    """Micro and macro clips without any test subject of the fold.

    views: {input: views} to train on. run_test_subjects: everybody who is a test subject in some fold of the run.
    """

    micro: Clips
    macro: Clips
    labels: tuple[str, ...]
    views: Mapping[str, tuple[View, ...]]
    run_test_subjects: frozenset[str] = frozenset()

    @classmethod
    def without(
        cls, data: ClipData, test_subjects: Iterable[str], views: Mapping[str, tuple[View, ...]], run_test_subjects: Iterable[str] = ()
    ) -> TrainingData:
        """All clips of `data` but those of the test subjects."""
        gone = frozenset(test_subjects)
        return cls(Clips(data, "micro").without(gone), Clips(data, "macro").without(gone), data.labels, views, frozenset(run_test_subjects))

    def scope_for(self, clips: Clips) -> Scope:
        """ "run" where a stage on these clips may run once for all folds: nobody of their kind is tested in any fold, or all who are were kept out of them
        (`clips.without(data.run_test_subjects)`); else "fold". The answer is the same in every fold, whoever is already gone from `clips` in this one.
        """
        of_kind = Clips(clips.data, clips.kind).subjects
        return "fold" if of_kind & self.run_test_subjects and not self.run_test_subjects <= clips.forbidden else "run"
