"""Auxiliary tasks with labels and predictions of their own: from the clip table into the batch, and from the network into the run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from merzoo.builtin.supervised import Supervised
from merzoo.data.clips import ClipData, Clips
from merzoo.errors import MerzooWarning, RunError, UsageError
from merzoo.evaluation.auxiliary import auxiliary
from merzoo.evaluation.evaluate import evaluate
from merzoo.evaluation.folds import predict_clips
from merzoo.evaluation.outputs import check_scored
from merzoo.evaluation.predicting import scored_outputs
from merzoo.evaluation.protocols import Protocol
from merzoo.evaluation.records import check_fold, check_truth
from merzoo.evaluation.splits import loso
from merzoo.interfaces import AuxiliaryTask, Batch, Features
from merzoo.recognizer import Recognizer, build
from merzoo.registry import registry
from merzoo.training.batches import LabelledBatches
from merzoo.training.data import TrainingData
from merzoo.training.engine import run_stages
from merzoo.training.machine import Machine

CPU = torch.device("cpu")
UNITS = ("1", "4", "12")


class Units(AuxiliaryTask):
    """Multi-label action units; clips that nobody coded are left out of the loss."""

    predicts = True
    outputs: ClassVar[Mapping[str, tuple[str, ...]]] = {"aus": tuple(f"AU{unit}" for unit in UNITS)}

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, len(UNITS))

    def targets(self, clips: Clips) -> Mapping[str, Tensor]:
        coded = clips.data.table["aus"].to_numpy()[clips.rows]
        rows = [[float(unit in text.split("+")) for unit in UNITS] if isinstance(text, str) else [float("nan")] * len(UNITS) for text in coded]
        return {"aus": torch.tensor(rows)}

    def loss(self, features: Features, batch: Batch) -> Tensor:
        known = ~batch["aus"].isnan()
        return nn.functional.binary_cross_entropy_with_logits(self.linear(features.only_pooled())[known], batch["aus"][known])

    def predict(self, features: Features) -> dict[str, Tensor]:
        return {"aus": self.linear(features.only_pooled()).sigmoid()}


def network(data: ClipData) -> Recognizer:
    torch.manual_seed(0)
    recognizer = build(("timm/test_resnet", {"view": "difference", "size": 48}), labels=data.labels)
    recognizer.auxiliary["units"] = Units(recognizer.head.linear.in_features)  # type: ignore[index, attr-defined, arg-type]
    return recognizer


def test_targets_follow_their_clips_through_the_shuffle_and_reach_the_loss(tiny: ClipData) -> None:
    recognizer = network(tiny)
    data = TrainingData.without(tiny, [Clips(tiny, "micro").subject_of[0]], recognizer.train_views)
    stage = Supervised(epochs=2, batch_size=4).stage(recognizer, data)
    wanted = recognizer.auxiliary["units"].targets(data.micro)["aus"]
    numbered = LabelledBatches(data.micro, recognizer.backbone.inputs, recognizer.train_views, 4, targets={"at": torch.arange(len(data.micro)), "aus": wanted})
    seen = [numbered.draw(1, step, CPU) for step in range(3)]
    at = torch.cat([batch["at"] for batch in seen])
    assert sorted(at.tolist()) == list(range(12)) and at.tolist() != list(range(12))
    assert torch.equal(torch.cat([batch["aus"] for batch in seen]), wanted[at])
    assert np.array_equal(torch.cat([batch["label"] for batch in seen]), data.micro.labels[at])
    (log,) = run_stages(recognizer, [stage], seed=1, machine=Machine("cpu", "fp32", 1))
    assert all(np.isfinite(row["units"]) for row in log.rows)


def test_targets_that_do_not_fit_the_clips_are_refused(tiny: ClipData) -> None:
    recognizer, micro = network(tiny), Clips(tiny, "micro")
    for targets in ({"aus": torch.zeros(3)}, {"label": torch.zeros(16)}, {"difference": torch.zeros(16)}):
        with pytest.raises(UsageError, match="one value a clip"):
            LabelledBatches(micro, recognizer.backbone.inputs, recognizer.train_views, targets=targets)


def test_predictions_of_a_task_are_stored_per_sample_and_checked(tiny: ClipData) -> None:
    recognizer, fold = network(tiny), loso(tiny.table).folds[0]
    clips = Clips(tiny, "micro")
    tested = clips.where(np.isin(clips.sample_ids, fold.test_ids))
    rows = predict_clips(recognizer, tested, Machine("cpu", "fp32", 1))
    assert all(len(row["auxiliary"]["units"]["aus"]) == len(UNITS) and all(0 < p < 1 for p in row["auxiliary"]["units"]["aus"]) for row in rows)
    record = {"schema": 1, "seed": 0, "fold_id": fold.fold_id, "test_subjects": list(fold.test_subjects), "state_sha256": "0" * 64}
    record["stages"] = [{"name": "supervised", "scope": "fold", "subjects": ["synthetic:else"], "steps": 1, "seconds": 0.0, "loss": None}]
    asked = (0, fold, tiny.labels, "classes", fold.test_subjects, Path("fold.json"))
    check_fold({**record, "predictions": rows}, *asked)
    for wrong in ([], {"units": [1.0]}, {"units": {"aus": 0.5}}, {"units": {"aus": [None]}}, {"units": {"aus": [float("inf")]}}):
        with pytest.raises(RunError, match="auxiliary of"):
            check_fold({**record, "predictions": [{**rows[0], "auxiliary": wrong}, *rows[1:]]}, *asked)


def test_without_a_task_that_predicts_nothing_is_added(tiny: ClipData) -> None:
    recognizer = network(tiny)
    recognizer.auxiliary["units"].predicts = False
    assert all("auxiliary" not in row for row in predict_clips(recognizer, Clips(tiny, "micro"), Machine("cpu", "fp32", 1)))


def records(tiny: ClipData) -> tuple[Protocol, list[dict[str, Any]]]:
    """A fold a subject with what an untrained network predicts."""
    recognizer, protocol, out = network(tiny), loso(tiny.table), []
    micro = Clips(tiny, "micro")
    for fold in protocol.folds:
        rows = predict_clips(recognizer, micro.where(np.isin(micro.sample_ids, fold.test_ids)), Machine("cpu", "fp32", 1))
        out.append({"seed": 0, "fold_id": fold.fold_id, "predictions": rows, "auxiliary_outputs": json.loads(json.dumps(scored_outputs(recognizer)))})
    return protocol, out


def test_outputs_are_scored_against_the_table_and_the_unknown_counts_nowhere(tiny: ClipData) -> None:
    protocol, found = records(tiny)
    rows = [p for record in found for p in record["predictions"]]
    coded = dict(zip(tiny.table["sample_id"], tiny.table["aus"], strict=True))
    assert all(p["auxiliary_truth"]["units"]["aus"] == [int(unit in coded[p["sample_id"]].split("+")) for unit in UNITS] for p in rows)
    for p in rows:  # right throughout, but for AU4
        truth = p["auxiliary_truth"]["units"]["aus"]
        p["auxiliary"]["units"]["aus"] = [0.9 if truth[0] else 0.1, 0.1, 0.9 if truth[2] else 0.1]
    scores = auxiliary(Path("run"), protocol, found, resamples=20)["units"]["aus"]
    assert scores["samples"] == 16 and [scores["per_class"][f"AU{unit}"]["f1"] for unit in UNITS] == [1, 0, 1]
    assert scores["scores"]["au_f1"]["value"] == pytest.approx(2 / 3)
    for p in rows:  # of AU4 something is known of one clip, which does not show it: the misses elsewhere count nowhere
        p["auxiliary_truth"]["units"]["aus"][1], p["auxiliary"]["units"]["aus"][1] = None, 0.9
    rows[0]["auxiliary_truth"]["units"]["aus"][1], rows[0]["auxiliary"]["units"]["aus"][1] = 0, 0.1
    with pytest.warns(MerzooWarning, match="no sample of class AU4"):
        scores = auxiliary(Path("run"), protocol, found, resamples=20)["units"]["aus"]
    assert scores["samples"] == 16 and scores["per_class"]["AU4"] == {"f1": 0.0, "recall": 0.0, "support": 0}
    for p in rows:  # nobody knows of AU4 at all: it is no part of the mean
        p["auxiliary_truth"]["units"]["aus"][1] = None
    rows[0]["auxiliary_truth"]["units"]["aus"] = [None, None, None]
    scores = auxiliary(Path("run"), protocol, found, resamples=20)["units"]["aus"]
    assert scores["samples"] == 15 and scores["unknown"] == ["AU4"] and [*scores["per_class"]] == ["AU1", "AU12"]
    assert scores["scores"]["au_f1"]["value"] == 1


def test_folds_that_disagree_on_what_is_scored_are_refused(tiny: ClipData) -> None:
    protocol, found = records(tiny)
    found[1]["auxiliary_outputs"] = {}
    with pytest.raises(RunError, match="other auxiliary outputs"):
        auxiliary(Path("run"), protocol, found, resamples=20)


@pytest.mark.parametrize(
    ("names", "truth", "shares"),
    [
        (["AU1", "AU1"], [0, 1], [0.5, 0.5]),
        (["AU1"], [0, 1], [0.5]),
        (["AU1"], [2], [0.5]),
        (["AU1"], [0], [1.5]),
        (["AU1"], "no", [0.5]),
        ([], [], []),
        ("AU1", [0], [0.5]),
    ],
)
def test_outputs_of_strangers_are_checked(tiny: ClipData, names: Any, truth: Any, shares: Any) -> None:
    protocol, found = records(tiny)
    fold, rows = protocol.folds[0], found[0]["predictions"]
    record = {"schema": 1, "seed": 0, "fold_id": fold.fold_id, "test_subjects": list(fold.test_subjects), "state_sha256": "0" * 64}
    record["stages"] = [{"name": "supervised", "scope": "fold", "subjects": ["synthetic:else"], "steps": 1, "seconds": 0.0, "loss": None}]
    asked = (0, fold, tiny.labels, "classes", fold.test_subjects, Path("fold.json"))
    check_fold({**record, "predictions": rows, "auxiliary_outputs": found[0]["auxiliary_outputs"]}, *asked)
    wrong = [{**p, "auxiliary": {"units": {"aus": shares}}, "auxiliary_truth": {"units": {"aus": truth}}} for p in rows]
    with pytest.raises(RunError, match="auxiliary_outputs"):
        check_fold({**record, "predictions": wrong, "auxiliary_outputs": {"units": {"aus": names}}}, *asked)


def test_a_task_that_no_stage_trained_is_not_scored(tiny: ClipData, tmp_path: Path) -> None:
    small = ["spatial.size=48", "temporal.size=48", "spatial.widths=[8,8,8,8]", "temporal.widths=[8,8,8,8]"]
    name = ",".join(["famnet", *(f"backbone.{option}" for option in small), "preprocessing.size=64", "strategy.recipe.epochs=1", "strategy.branches={}"])
    for weight, there in ((1, True), (0, False)):
        result = evaluate(f"{name},strategy.aux_weight={weight}", "synthetic:tiny", "subject-2fold", out=tmp_path / str(weight), preset="small")
        assert ("auxiliary" in result) == there


def test_the_number_of_outputs_is_bounded(tiny: ClipData) -> None:
    protocol, found = records(tiny)
    fold, outputs = protocol.folds[0], found[0]["auxiliary_outputs"]
    record = {"schema": 1, "seed": 0, "fold_id": fold.fold_id, "test_subjects": list(fold.test_subjects), "state_sha256": "0" * 64}
    record["stages"] = [{"name": "supervised", "scope": "fold", "subjects": ["synthetic:else"], "steps": 1, "seconds": 0.0, "loss": None}]
    for many in ({f"task{i}": {} for i in range(21)}, {"units": {f"aus{i}": outputs["units"]["aus"] for i in range(21)}}):
        with pytest.raises(RunError, match="auxiliary_outputs is not at most 20 outputs"):
            check_fold(
                {**record, "predictions": found[0]["predictions"], "auxiliary_outputs": many},
                *(0, fold, tiny.labels, "classes", fold.test_subjects, Path("fold.json")),
            )


def test_what_is_known_of_a_sample_is_the_same_under_every_seed(tiny: ClipData) -> None:
    _, found = records(tiny)
    again = [{**record, "seed": 1} for record in json.loads(json.dumps(found))]
    check_truth([*found, *again], "run")
    again[2]["predictions"][1]["auxiliary_truth"]["units"]["aus"][0] = None
    with pytest.raises(RunError, match=f"run gives {again[2]['predictions'][1]['sample_id']} another auxiliary truth"):
        check_truth([*found, *again], "run")


@pytest.mark.parametrize(
    ("outputs", "targets", "fault"),
    [
        ({"smile": ("yes",)}, None, r"output 'smile' of 1 name has no prediction of that name"),
        ({"aus": ("AU1", "AU4")}, None, r"output 'aus' of 2 names has a prediction of shape \[1, 3\], not \[1, 2\]"),
        ({"aus": ("AU1", "AU1", "AU4")}, None, "must have 1 to 100 different names"),
        (None, {}, r"output 'aus' of 3 names has no target of that name"),
        (None, {"aus": torch.zeros(16)}, r"has a target of shape \[16\], not \[16, 3\]"),
        (None, {"aus": torch.full((16, 3), 0.5)}, "none of 0, 1 and NaN"),
    ],
)
def test_what_cannot_be_scored_is_said_before_anything_is_trained(tiny: ClipData, outputs: Any, targets: Any, fault: str) -> None:
    recognizer, micro = network(tiny), Clips(tiny, "micro")
    task = recognizer.auxiliary["units"]
    check_scored(recognizer, micro)
    task.outputs = task.outputs if outputs is None else outputs
    if targets is not None:
        task.targets = lambda clips: targets  # type: ignore[method-assign]
    with pytest.raises(UsageError, match=f"auxiliary task 'units': .*{fault}"):
        check_scored(recognizer, micro)


def test_an_evaluation_asks_before_it_makes_a_run(tiny: ClipData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer = network(tiny)
    recognizer.auxiliary["units"].outputs = {"smile": ("yes",)}
    monkeypatch.setattr("merzoo.evaluation.evaluate.assemble", lambda *_, **__: recognizer)
    spec = registry().model("timm/test_resnet+linear+supervised,backbone.size=48,preprocessing.size=64")
    with pytest.raises(UsageError, match="auxiliary task 'units'"):
        evaluate(spec, tiny.dataset, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
