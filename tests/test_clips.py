"""Clips as training sees them: the guard against test subjects, readings of an interval, prepared views."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merzoo.data.clips import ClipData, Clips, IntervalJitter
from merzoo.data.synthetic import SyntheticFaces
from merzoo.data.table import Dataset, Task
from merzoo.errors import DataError, LeakageError, UnknownNameError, UsageError
from merzoo.interval import Interval
from merzoo.specs import Preprocessing, View
from merzoo.training.data import TrainingData

CPU = torch.device("cpu")
KEYFRAMES = View("keyframes", {"moments": ["start", "peak"]})


class Other:
    """Rows of another data set, under a table, labels and task of its own."""

    name, part, provides, manifest_hash = "other", "", (), "00"

    def __init__(self, dataset: Dataset, table: pd.DataFrame, labels: tuple[str, ...] = (), task: Task = "classes") -> None:
        self.labels, self.task, self.sources, self._table = labels or dataset.labels, task, dataset.sources, table

    def table(self) -> pd.DataFrame:
        return self._table


def subjects(data: ClipData, kind: str = "micro") -> list[str]:
    return sorted(Clips(data, kind).subjects)


# The guard


def test_without_leaves_everybody_else(tiny: ClipData) -> None:
    gone, *others = subjects(tiny)
    rest = Clips(tiny, "micro").without([gone])
    assert rest.subjects == set(others) and len(rest) == 12 and gone in rest.forbidden


@pytest.mark.parametrize("kind", ["micro", "macro"])
def test_forbidden_subjects_cannot_be_among_the_clips(tiny: ClipData, kind: str) -> None:
    first = subjects(tiny, kind)[0]
    with pytest.raises(LeakageError) as caught:
        Clips(tiny, kind, forbidden=[first])
    assert caught.value.subjects == (first,) and kind in str(caught.value)


def test_the_guard_outlives_every_selection(tiny: ClipData) -> None:
    first, second, third, fourth = subjects(tiny)
    rest = Clips(tiny, "micro").without([first]).where(np.array([True] * 12)).without([second]).where(np.arange(8) != 3)
    assert rest.forbidden == {first, second} and rest.subjects == {third, fourth}
    mine = np.flatnonzero(Clips(tiny, "micro").subject_of == first)
    with pytest.raises(LeakageError, match=first):
        Clips(tiny, "micro", mine, rest.forbidden)


def test_a_selection_cannot_reach_back_by_its_positions(tiny: ClipData) -> None:
    rest = Clips(tiny, "micro").without([subjects(tiny)[0]])
    with pytest.raises(UsageError, match="mask"):
        rest.where(np.arange(16))  # positions, of everybody
    with pytest.raises(UsageError, match="mask"):
        rest.where(np.zeros(12, dtype=int))
    with pytest.raises(UsageError, match="mask"):
        rest.where(np.ones(16, dtype=bool))
    with pytest.raises(ValueError, match="read-only"):
        rest.positions[:4] = np.arange(4)


def test_the_check_looks_at_the_clips_as_they_are_now(tiny: ClipData) -> None:
    """The engine's check must not trust what was true when the clips were made."""
    first = subjects(tiny)[0]
    rest = Clips(tiny, "micro").without([first])
    rest.check([first], "before")
    rest.positions = np.arange(16)
    with pytest.raises(LeakageError, match="after"):
        rest.check([first], "after")


def test_the_arrays_given_are_not_kept(tiny: ClipData) -> None:
    positions = np.arange(4, 8)
    clips = Clips(tiny, "micro", positions)
    positions[:] = 0
    assert clips.positions.tolist() == [4, 5, 6, 7]


def test_training_data_holds_no_test_subject_neither_micro_nor_macro(tiny: ClipData) -> None:
    gone = [subjects(tiny)[1], subjects(tiny, "macro")[0]]
    data = TrainingData.without(tiny, gone, {}, run_test_subjects=subjects(tiny))
    assert not (data.micro.subjects | data.macro.subjects) & set(gone)
    assert data.micro.forbidden == data.macro.forbidden == set(gone)


def test_a_stage_may_serve_all_folds_only_where_nobody_is_ever_tested(tiny: ClipData) -> None:
    data = TrainingData.without(tiny, [], {}, run_test_subjects=subjects(tiny))
    assert (data.scope_for(data.macro), data.scope_for(data.micro)) == ("run", "fold")
    one_more = TrainingData.without(tiny, [], {}, run_test_subjects=[*subjects(tiny), subjects(tiny, "macro")[2]])
    assert one_more.scope_for(one_more.macro) == "fold"


def test_the_scope_of_a_stage_does_not_depend_on_the_fold(tiny: ClipData) -> None:
    tested = [*subjects(tiny), subjects(tiny, "macro")[0]]  # one of them has macro clips too
    for gone in ([], tested[:1], tested[-1:]):
        data = TrainingData.without(tiny, gone, {}, run_test_subjects=tested)
        assert data.scope_for(data.macro) == "fold"
        assert data.scope_for(data.macro.without(data.run_test_subjects)) == "run"


# What a clip says of itself


def test_labels_subjects_and_frames_belong_together(tiny: ClipData) -> None:
    table = tiny.table[tiny.table["kind"] == "micro"].reset_index(drop=True)
    clips = Clips(tiny, "micro").where(np.arange(16) % 3 == 1)
    rows = table.iloc[1::3].reset_index(drop=True)
    assert clips.sample_ids == rows["sample_id"].tolist() and clips.subject_of.tolist() == rows["subject"].tolist()
    assert [tiny.labels[i] for i in clips.labels] == rows["emotion"].tolist()
    for at in range(len(clips)):
        row = rows.iloc[at]
        assert clips.interval(at) == Interval(row["start"], row["peak"], row["stop"])
        assert len(clips.frames(at)) == row["frames"]
    assert np.array_equal(clips.frames(2), tiny.dataset.frames(clips.sample_ids[2], 64))


def test_a_clip_without_a_label_has_index_minus_one(tiny: ClipData) -> None:
    table = tiny.dataset.table()
    table.loc[table["kind"] == "macro", "emotion"] = ["", "amused", None]
    data = ClipData(Other(tiny.dataset, table), tiny.preprocessing)
    assert Clips(data, "macro").labels.tolist() == [-1, -1, -1]
    assert (Clips(data, "micro").labels >= 0).all()


def test_targets_are_the_labels_of_each_clip(tiny: ClipData) -> None:
    clips = Clips(tiny, "micro").where(np.arange(16) % 3 == 1)
    assert clips.targets.dtype == np.float32 and clips.targets.sum(1).tolist() == [1] * len(clips)
    assert clips.targets.argmax(1).tolist() == clips.labels.tolist()


def test_several_labels_a_clip_are_targets_and_none_is_no_missing_label(tiny: ClipData) -> None:
    table = tiny.dataset.table().iloc[[0, 1, 2, 16, 17]].assign(emotion=["12+6", "", "4", "6", None])
    data = ClipData(Other(tiny.dataset, table, ("4", "6", "12"), "multi-label"), tiny.preprocessing)
    assert data.task == "multi-label" and data.label_index.tolist() == [-1] * 5
    assert data.targets[:4].tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]] and np.isnan(data.targets[4]).all()
    with pytest.raises(DataError, match="emotion of a micro clip"):
        ClipData(Other(tiny.dataset, table.assign(emotion="4+5"), ("4", "6", "12"), "multi-label"), tiny.preprocessing)


class Renamed:
    """A source with other names for its clips."""

    name = "renamed"

    def __init__(self, source: SyntheticFaces, prefix: str) -> None:
        self.source, self.prefix, self.source_hash = source, prefix, source.source_hash + "renamed" + prefix

    def lengths(self) -> dict[str, int]:
        return {self.prefix + sample: frames for sample, frames in list(self.source.lengths().items())[:2]}

    def crops(self, sample_id: str, preprocessing: Preprocessing) -> np.ndarray:
        return self.source.crops(sample_id.removeprefix(self.prefix), preprocessing)


def test_a_data_set_may_choose_its_rows_from_several_sources(tiny: ClipData) -> None:
    table = tiny.dataset.table().iloc[[1, 16, 0]]
    table = pd.concat([table, table.iloc[[2]].assign(sample_id="x" + table["sample_id"].iloc[2])])
    other = Other(tiny.dataset, table)
    other.sources = (tiny.dataset, Renamed(tiny.dataset, "x"))
    data = ClipData(other, tiny.preprocessing)
    assert all(np.array_equal(data.frames(row), tiny.frames(at)) for row, at in enumerate([1, 16, 0, 0]))
    other.sources = (Renamed(tiny.dataset, "x"),)
    with pytest.raises(DataError, match="is in 0 of its 1 sources"):
        ClipData(other, tiny.preprocessing)
    other.sources = (tiny.dataset, Renamed(tiny.dataset, ""))
    with pytest.raises(DataError, match="is in 2 of its 2 sources"):
        ClipData(other, tiny.preprocessing)


def test_a_row_that_counts_other_frames_than_its_source_is_refused(tiny: ClipData) -> None:
    table = tiny.dataset.table().iloc[:3].copy()
    table.loc[1, "frames"] += 1
    with pytest.raises(DataError, match=f"{table['sample_id'][1]}' has {table['frames'][1]} frames in its table and {table['frames'][1] - 1} in its source"):
        ClipData(Other(tiny.dataset, table), tiny.preprocessing)


# Readings of an interval


@settings(deadline=None)
@given(st.data(), st.integers(1, 60), st.integers(0, 2**32), st.floats(-3, 3), st.floats(0, 3))
def test_readings_stay_in_order_inside_the_clip_and_begin_with_the_annotation(data: st.DataObject, frames: int, seed: int, low: float, width: float) -> None:
    start, peak, stop = sorted(data.draw(st.lists(st.integers(0, frames - 1), min_size=3, max_size=3)))
    jitter = IntervalJitter((low, low + width), (-low - width, -low), variants=6)
    readings = jitter.readings(Interval(start, peak, stop), frames, np.random.default_rng(seed))
    assert len(readings) == 6 and readings[0] == Interval(start, peak, stop)
    for r in readings[1:]:
        assert 0 <= r.start <= r.peak <= r.stop < frames
        assert r.start < r.peak or frames == 1


def test_readings_move_within_their_shares() -> None:
    jitter = IntervalJitter((-0.1, 0.2), (-0.3, 0.0), variants=400)
    readings = jitter.readings(Interval(40, 60, 80), 100, np.random.default_rng(0))
    assert (min(r.start for r in readings), max(r.start for r in readings)) == (38, 44)
    assert (min(r.peak for r in readings), max(r.peak for r in readings)) == (54, 60)


def test_readings_do_not_depend_on_the_clips_beside(tiny: ClipData, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table in another order: every sample keeps its readings."""
    jitter = IntervalJitter(variants=3)
    before = dict(zip(Clips(tiny, "micro").sample_ids, tiny.prepared(KEYFRAMES, "micro", jitter, CPU), strict=True))

    data = ClipData(Other(tiny.dataset, tiny.dataset.table().iloc[[6, 2, 16]]), tiny.preprocessing)
    after = data.prepared(KEYFRAMES, "micro", jitter, CPU)
    assert [torch.equal(before[s], a) for s, a in zip(Clips(data, "micro").sample_ids, after, strict=True)] == [True, True]
    assert not torch.equal(after[0, 0], after[0, 1]) or not torch.equal(after[0, 0], after[0, 2])


def test_jitter_options_may_come_from_json(tiny: ClipData) -> None:
    jitter = IntervalJitter(**json.loads('{"start": [0.0, 0.1], "peak": [-0.1, 0.0], "variants": 2}'))
    assert jitter == IntervalJitter((0.0, 0.1), (-0.1, 0.0), 2)
    assert tiny.prepared(KEYFRAMES, "micro", jitter, CPU).shape == (16, 2, 2, 3, 64, 64)


@pytest.mark.parametrize("options", [{"start": (0.1, -0.1)}, {"peak": (0.1,)}, {"variants": 0}, {"variants": 2.5}])
def test_jitter_that_cannot_be_is_one_line(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="interval jitter"):
        IntervalJitter(**options)  # type: ignore[arg-type]


# Prepared views


def test_views_are_prepared_once(tiny: ClipData) -> None:
    first = tiny.prepared(KEYFRAMES, "micro", None, CPU)
    assert tiny.prepared(View("keyframes", {"moments": ["start", "peak"]}), "micro", None, CPU) is first
    others = [
        tiny.prepared(View("keyframes", {"moments": ["peak", "start"]}), "micro", None, CPU),
        tiny.prepared(KEYFRAMES, "micro", IntervalJitter(variants=2), CPU),
        tiny.prepared(KEYFRAMES, "macro", None, CPU),
    ]
    assert all(other is not first for other in others)
    assert [len(first), *map(len, others)] == [16, 16, 16, 3]


def test_a_prepared_view_is_that_of_the_clip(tiny: ClipData) -> None:
    clips = Clips(tiny, "micro")
    prepared = tiny.prepared(KEYFRAMES, "micro", None, CPU)
    for at in (0, 7, 15):
        interval, frames = clips.interval(at), clips.frames(at)
        assert np.array_equal(prepared[at, 0].numpy(), frames[[interval.start, interval.peak]].transpose(0, 3, 1, 2))


def test_stored_arrays_are_those_of_the_positions_and_readings(tiny: ClipData) -> None:
    jitter = IntervalJitter(variants=3)
    clips = Clips(tiny, "micro").without([subjects(tiny)[0]])
    at, variant = torch.tensor([5, 0, 11]), torch.tensor([2, 0, 1])
    stored = clips.stored({"keyframes": KEYFRAMES}, at, CPU, jitter, variant)["keyframes"]
    everything = tiny.prepared(KEYFRAMES, "micro", jitter, CPU)
    assert all(torch.equal(stored[i], everything[4 + int(at[i]), int(variant[i])]) for i in range(3))
    annotated = clips.stored({"keyframes": KEYFRAMES}, at, CPU)["keyframes"]
    assert all(torch.equal(annotated[i], everything[4 + int(at[i]), 0]) for i in range(3))


def test_a_view_that_jitter_does_not_touch_is_prepared_once_a_clip(tiny: ClipData, monkeypatch: pytest.MonkeyPatch) -> None:
    view, jitter = View("keyframes", {"moments": ["stop"]}), IntervalJitter(variants=3)
    monkeypatch.setattr(tiny.view_kind(view), "jitter_invalidates", False)
    assert tiny.prepared(view, "micro", jitter, CPU) is tiny.prepared(view, "micro", None, CPU)
    stored = Clips(tiny, "micro").stored({"keyframes": view}, torch.tensor([3, 4]), CPU, jitter, torch.tensor([2, 1]))["keyframes"]
    assert torch.equal(stored, tiny.prepared(view, "micro", None, CPU)[[3, 4], 0])


@pytest.mark.parametrize("options", [{"moments": ["start", "peak"]}, {"moments": ["stop"]}])
@pytest.mark.parametrize("jitter", [None, IntervalJitter(variants=3)])
def test_views_beyond_the_budget_are_made_for_each_batch_with_the_same_values(
    tiny: ClipData, monkeypatch: pytest.MonkeyPatch, options: dict[str, object], jitter: IntervalJitter | None
) -> None:
    view, at, variant = View("keyframes", options), torch.tensor([5, 0, 11, 0]), torch.tensor([2, 0, 1, 1])
    wanted = Clips(tiny, "micro").stored({"x": view}, at, CPU, jitter, variant)["x"]
    small = ClipData(tiny.dataset, tiny.preprocessing)
    monkeypatch.setattr("merzoo.data.clips.KEPT_BYTES", tiny.prepared(view, "micro", jitter, CPU).nbytes - 1)
    monkeypatch.setattr(small, "prepared", None)  # nothing is prepared for all clips
    clips = Clips(small, "micro")
    assert torch.equal(clips.stored({"x": view}, at, CPU, jitter, variant)["x"], wanted) and small.reads == 5  # one for its size
    assert clips.stored({"x": view}, at, CPU, jitter)["x"].shape == wanted.shape and small.drawn == {0, 5, 11}


def test_views_are_kept_until_the_budget_is_spent(tiny: ClipData, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ClipData(tiny.dataset, tiny.preprocessing)
    other, stop = (View("keyframes", {"moments": [moment]}) for moment in ("peak", "stop"))
    monkeypatch.setattr("merzoo.data.clips.KEPT_BYTES", 16 * 3 * 64 * 64 * 3)
    clips, at = Clips(data, "micro"), torch.arange(16)
    for view, reads_again in ((KEYFRAMES, True), (KEYFRAMES, False), (other, True), (other, False), (stop, True), (stop, True)):
        reads = data.reads
        assert torch.equal(clips.stored({"x": view}, at, CPU)["x"], tiny.prepared(view, "micro", None, CPU)[:, 0])
        assert (data.reads > reads) == reads_again


def test_a_kind_of_clip_that_is_not_there_is_one_line(tiny: ClipData) -> None:
    data = ClipData(Other(tiny.dataset, tiny.dataset.table().iloc[:2]), tiny.preprocessing)
    with pytest.raises(DataError, match="other has no macro clips"):
        data.prepared(KEYFRAMES, "macro", None, CPU)


def test_an_unknown_view_and_a_wrong_option_are_one_line(tiny: ClipData) -> None:
    with pytest.raises(UnknownNameError, match="keyframes"):
        tiny.view_kind(View("keyframe"))
    with pytest.raises(UsageError, match="'keyframes' has no option frames"):
        tiny.view_kind(View("keyframes", {"frames": 3}))
