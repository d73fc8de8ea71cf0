"""Few-shot: what a draw may learn from and whom it tests, and that no strategy gets more than that."""

from __future__ import annotations

import dataclasses
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merzoo.data.clips import ClipData, Clips
from merzoo.errors import DataError, LeakageError, MerzooWarning, TrainingError
from merzoo.evaluation.evaluate import evaluate
from merzoo.evaluation.fewshot import few_shot
from merzoo.evaluation.folds import Plan, prepare, run_fold
from merzoo.evaluation.protocols import Fold, Protocol
from merzoo.evaluation.runs import RunFolder
from merzoo.registry import registry
from merzoo.specs import ModelSpec, Preprocessing, Preset, View
from merzoo.testing.runs import clip_table
from merzoo.training.data import TrainingData
from merzoo.training.machine import Machine

PINNED = "983a9949929c78a5"
SPEC = ModelSpec(
    name="tiny-resnet",
    summary="for tests",
    backbone="timm/test_resnet",
    train_views={"difference": (View("difference"),)},
    presets={
        "full": Preset(
            backbone={"view": "difference", "size": 48}, strategy={"epochs": 1, "batch_size": 6}, preprocessing=Preprocessing(size=64)
        )
    },
)


def table_of(clips: list[tuple[int, str]]) -> pd.DataFrame:
    rows = [(f"t:{who}/{i}", f"t:{who}", "micro", label) for i, (who, label) in enumerate(clips)]
    return pd.DataFrame(rows, columns=["sample_id", "subject", "kind", "emotion"])


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    clips = draw(st.lists(st.tuples(st.integers(1, 9), st.sampled_from("abcd")), min_size=2, max_size=40))
    return table_of(clips)


@settings(max_examples=80, deadline=None)
@given(tables(), st.integers(1, 5))
def test_any_table_gives_draws_that_keep_their_word(table: pd.DataFrame, k: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MerzooWarning)
        try:
            protocol = few_shot(table, k, draws=3)
        except DataError:
            assert table["subject"].nunique() < 2 or table["emotion"].nunique() < 2 or _nobody_left(table)
            return
    subject, emotion = (table.set_index("sample_id")[column].to_dict() for column in ("subject", "emotion"))
    for draw, fold in enumerate(protocol.folds):
        support = fold.train_ids
        assert support is not None and fold.draw == draw
        giving = {subject[s] for s in support}
        assert not giving & set(fold.test_subjects) and giving | set(fold.test_subjects) == set(table["subject"])
        assert set(fold.test_ids) == {s for s in subject if subject[s] not in giving}
        for label in table["emotion"].unique():
            chosen = [s for s in support if emotion[s] == label]
            holders = table.loc[table["emotion"] == label, "subject"].nunique()
            assert 1 <= len(chosen) <= k  # every class can be learned
            if holders == 1:
                continue
            # All who have the class are asked before fewer than K are taken, but for those whom the test needs.
            spared = set(table.loc[(table["emotion"] == label) & table["subject"].isin(fold.test_subjects), "subject"])
            assert len(chosen) == k or len(spared) >= 1 or len(chosen) == (table["emotion"] == label).sum()


def _nobody_left(table: pd.DataFrame) -> bool:
    """Every subject is the only one with some class, so that the support needs all of them."""
    alone = table.groupby("emotion")["subject"].agg(["nunique", "first"])
    return set(alone.loc[alone["nunique"] == 1, "first"]) == set(table["subject"])


def test_every_class_is_tested_where_two_people_have_it() -> None:
    table = table_of([(who, "abc"[who % 3]) for who in range(1, 13)] + [(1, "rare"), (2, "rare")])
    for fold in few_shot(table, 1).folds:
        assert set(table.set_index("sample_id").loc[list(fold.test_ids), "emotion"]) == {"a", "b", "c", "rare"}


def test_draws_differ_and_depend_on_the_table_alone() -> None:
    table = clip_table(subjects=10)
    protocol = few_shot(table, 2)
    assert len(protocol.folds) == 20 and len({fold.train_ids for fold in protocol.folds}) == 20
    assert few_shot(table.sample(frac=1, random_state=7), 2).hash == protocol.hash
    assert protocol.hash.startswith(PINNED)  # on any machine, with any version of any library
    assert few_shot(table, 2, draws=3).folds == protocol.folds[:3]
    assert Protocol.from_json(protocol.to_json()) == protocol


def test_a_class_too_rare_for_k_is_named() -> None:
    table = table_of([(who, "ab"[i % 2]) for who in range(1, 9) for i in range(4)] + [(1, "rare")])
    with pytest.warns(MerzooWarning, match=r"few-shot-3x2: .*rare \(1\)"):
        few_shot(table, 3, draws=2)


def test_what_cannot_be_drawn_is_one_line() -> None:
    for table, k, draws in ((clip_table(), 0, 1), (clip_table(), 1, 0), (table_of([(1, "a"), (1, "b")]), 1, 1), (table_of([(1, "a"), (2, "a")]), 1, 1)):
        with pytest.raises(DataError, match="few-shot needs"):
            few_shot(table, k, draws)
    with pytest.raises(DataError, match="nobody to test"):
        few_shot(table_of([(1, "a"), (2, "b")]), 1, 1)


# What a fold learns from


@pytest.fixture(scope="module")
def fold(tiny: ClipData) -> Fold:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MerzooWarning)
        return few_shot(tiny.table, 1, draws=1).folds[0]


def plan_of(data: ClipData, fold: Fold, folder: Path, spec: ModelSpec = SPEC) -> Plan:
    return Plan(spec, "full", data.dataset, data.labels, frozenset(fold.test_subjects), Machine("cpu", "fp32", 1), folder)


def test_a_strategy_is_given_the_support_alone(tiny: ClipData, fold: Fold, tmp_path: Path) -> None:
    _, (stage,) = prepare(plan_of(tiny, fold, tmp_path), tiny, fold, 0)
    assert set(stage.clips[0].sample_ids) == set(fold.train_ids or ())


def test_a_training_list_with_a_test_subject_is_refused(tiny: ClipData, fold: Fold, tmp_path: Path) -> None:
    tested = fold.test_ids[0]
    leaky = dataclasses.replace(fold, test_ids=fold.test_ids[1:], train_ids=(*(fold.train_ids or ()), tested))
    subject = tiny.table.set_index("sample_id").loc[tested, "subject"]
    with pytest.raises(LeakageError, match=subject):
        run_fold(plan_of(tiny, leaky, tmp_path), tiny, leaky, 0)


def test_a_training_list_of_other_data_is_refused(tiny: ClipData, fold: Fold, tmp_path: Path) -> None:
    foreign = dataclasses.replace(fold, train_ids=(*(fold.train_ids or ()), "elsewhere:1"))
    with pytest.raises(DataError, match="trains on elsewhere:1"):
        run_fold(plan_of(tiny, foreign, tmp_path), tiny, foreign, 0)


GREEDY = """
from merzoo.builtin.supervised import Supervised
from merzoo.data.clips import Clips
from merzoo.training.batches import LabelledBatches
from merzoo.training.stages import GradientStage, ParameterGroup

class Greedy(Supervised):
    def __init__(self, silent=False, **options):
        super().__init__(**options)
        self.silent = silent

    def stages(self, recognizer, data):
        # People who are not tested, but more of their clips than the fold names.
        everything = LabelledBatches(Clips(data.micro.data, "micro").without(data.micro.forbidden), recognizer.backbone.inputs, data.views)
        silent = self.silent

        class Drawn:
            clips = (data.micro,) if silent else everything.clips
            draw = staticmethod(everything.draw)
            steps_per_epoch = staticmethod(everything.steps_per_epoch)

        return [GradientStage("greedy", Drawn(), self.loss, (ParameterGroup(("backbone",), 1e-3),), epochs=1)]
"""


@pytest.mark.parametrize("silent", [False, True])
def test_a_strategy_that_takes_more_than_the_support_is_refused(
    tiny: ClipData, fold: Fold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    from merzoo.entries import Register

    (tmp_path / "greedy_strategy.py").write_text(GREEDY)
    monkeypatch.syspath_prepend(tmp_path)
    if "greedy" not in [entry.name for entry in registry().entries("strategy")]:
        register = Register("greedy")
        register.strategy("greedy", "greedy_strategy:Greedy")
        registry().add(register)
    preset = dataclasses.replace(SPEC.presets["full"], strategy={"silent": silent})
    spec = dataclasses.replace(SPEC, strategy="greedy", presets={"full": preset})
    with pytest.raises(TrainingError, match="not among those that this fold may train on"):
        run_fold(plan_of(tiny, fold, tmp_path, spec), tiny, fold, 0)
    sys.modules.pop("greedy_strategy", None)


def test_a_stage_on_the_support_never_runs_once_for_all_folds(tiny: ClipData, fold: Fold) -> None:
    """Two folds may test the same people and learn from different clips, so that nobody who is learned from is tested anywhere."""
    data = TrainingData.without(tiny, fold.test_subjects, {}, fold.test_subjects, train_ids=fold.train_ids)
    assert data.scope_for(data.micro) == "fold"
    free = TrainingData.without(tiny, fold.test_subjects, {}, fold.test_subjects)
    assert free.scope_for(free.micro.without(fold.test_subjects)) == "run" and data.scope_for(data.macro) == "run"


@pytest.mark.parametrize("model", ["flow-svm", "miacnet"])
@pytest.mark.filterwarnings("ignore::merzoo.errors.MerzooWarning")
def test_few_shot_end_to_end(model: str, tiny: ClipData, tmp_path: Path) -> None:
    if model not in [entry.name for entry in registry().entries("model")]:
        pytest.skip(f"{model} is not installed")
    spec = registry().model(model)
    small = spec.presets["small"]
    if model == "miacnet":
        small = dataclasses.replace(small, strategy={**small.strategy, "epochs": 1})
    result = evaluate(dataclasses.replace(spec, presets={"small": small}), "synthetic:tiny", "few-shot-1x2", out=tmp_path / "run", preset="small")
    run = RunFolder.open(tmp_path / "run")
    assert result["complete"] and len(run.protocol.folds) == 2
    for record in run.folds():
        fold = run.protocol.by_id[record["fold_id"]]
        assert {p["sample_id"] for p in record["predictions"]} == set(fold.test_ids)
        learned_from = set(Clips(tiny, "micro").subjects) - set(fold.test_subjects)
        assert set(record["stages"][-1]["subjects"]) == learned_from
