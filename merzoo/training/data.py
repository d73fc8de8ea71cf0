"""What a strategy is handed: the training clips of a fold, from which the test subjects are already gone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from merzoo.data.clips import ClipData, Clips
from merzoo.errors import DataError
from merzoo.specs import View
from merzoo.training.stages import Scope


@dataclass(frozen=True)
class TrainingData:
    """Clips without any test subject of the fold.

    micro: the labelled clips, as many as the fold may train on: micro-expressions, or under a protocol of macro-expressions those. macro: macro clips for
    a pretext; none where they are the labelled ones. views: {input: views} to train on. run_test_subjects: everybody who is a test subject in some fold of
    the run. narrowed: whether the fold says which labelled clips it trains on. begun: whether training goes on from weights of this model, which have been
    through its pre-training.
    """

    micro: Clips
    macro: Clips
    labels: tuple[str, ...]
    views: Mapping[str, tuple[View, ...]]
    run_test_subjects: frozenset[str] = frozenset()
    narrowed: bool = False
    begun: bool = False

    @classmethod
    def without(
        cls,
        data: ClipData,
        test_subjects: Iterable[str],
        views: Mapping[str, tuple[View, ...]],
        run_test_subjects: Iterable[str] = (),
        *,
        kind: str = "micro",
        train_ids: Collection[str] | None = None,
        begun: bool = False,
    ) -> TrainingData:
        """All clips of `data` but those of the test subjects; of the labelled ones, those of `kind`, only `train_ids` where these are given.

        Raises `LeakageError` where a clip of a test subject is among `train_ids`, `DataError` where one is not in the data.
        """
        gone = frozenset(test_subjects)
        labelled = labelled_clips(data, kind)
        if train_ids is not None:
            labelled = chosen(labelled, train_ids, "trains on")
            labelled.check(gone, "training clips of the fold")
        macro = Clips(data, "macro", None if kind == "micro" else np.array([], dtype=np.int64))
        return cls(labelled.without(gone), macro.without(gone), data.labels, views, frozenset(run_test_subjects), train_ids is not None, begun)

    def scope_for(self, clips: Clips) -> Scope:
        """ "run" where a stage on these clips may run once for all folds: nobody of their kind is tested in any fold, or all who are were kept out of them
        (`clips.without(data.run_test_subjects)`); else "fold", as for labelled clips that each fold chooses for itself. The answer is the same in every
        fold, whoever is already gone from `clips` in this one.
        """
        if self.narrowed and clips.kind == self.micro.kind:
            return "fold"
        of_kind = Clips(clips.data, clips.kind).subjects
        return "fold" if of_kind & self.run_test_subjects and not self.run_test_subjects <= clips.forbidden else "run"


def labelled_clips(data: ClipData, kind: str) -> Clips:
    """All labelled clips of a kind. Micro-expressions are labelled without exception; of macro clips some may not be."""
    clips = Clips(data, kind)
    return clips.where(~np.isnan(clips.targets).any(axis=1)) if len(clips) else clips


def chosen(clips: Clips, sample_ids: Collection[str], verb: str) -> Clips:
    """Those of the clips with these ids. Raises `DataError` for an id that is not among them."""
    wanted = frozenset(sample_ids)
    found = clips.where(np.array([sample in wanted for sample in clips.sample_ids], dtype=bool))
    if len(found) != len(wanted):
        unknown = sorted(wanted.difference(found.sample_ids))
        raise DataError(f"a fold {verb} {unknown[0]}, which the data set does not have as a labelled {clips.kind} clip; make the protocol from this data set")
    return found


def only_kind(data: ClipData) -> str:
    """What is labelled where no protocol says it: micro-expressions, or in a data set that has none macro-expressions."""
    return "micro" if len(data.rows("micro")) else "macro"
